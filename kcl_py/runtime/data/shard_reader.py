"""Reads one shard into its buffer, the way the worker reads."""

from kcl_py.core.lease import Lease
from kcl_py.core.position import ReadFrom
from kcl_py.core.shard import ChildShard
from kcl_py.runtime.data.buffer import PageBuffer
from kcl_py.runtime.data.epoch_line import EpochLine
from kcl_py.runtime.data.horizon import Horizon
from kcl_py.runtime.data.pace import Pace
from kcl_py.runtime.data.poller import Poller
from kcl_py.runtime.data.pulse import Pulse
from kcl_py.runtime.data.shard_position import ShardPosition
from kcl_py.runtime.data.workplace import Workplace
from kcl_py.runtime.mailbox import ConfirmEnd, ShardMissing


class ShardReader:
    """Of one epoch, from its checkpoint to the end of the shard."""

    def __init__(
        self, lease: Lease, horizon: Horizon, buffer: PageBuffer, *, line: EpochLine, pulse: Pulse, place: Workplace
    ) -> None:
        """Prepare to read.

        Args:
            lease: as picked up.
            horizon: the trim horizon, as the lease stands to it.
            buffer: where pages go.
            line: to the keeper.
            pulse: told of every attempt.
            place: what all shards of the worker share.
        """
        self._line = line
        position = ShardPosition(
            lease.key,
            ReadFrom.resuming(lease.checkpoint, lease.start_at_ms),
            confirm_end=self._confirm_end,
            may_have_gap=horizon.may_have_gap,
            emit=place.emit,
            clock=place.clock,
        )
        self._poller = Poller(
            place.stream,
            position,
            buffer,
            pace=Pace(place.config.idle_read_interval_seconds),
            pulse=pulse,
            page_records_max=place.config.read_limit,
            report_missing=lambda: line.tell(ShardMissing()),
            has_read=place.has_read,
            emit=place.emit,
            clock=place.clock,
            sleep=place.sleep,
        )

    @property
    def tip_seen_at(self) -> float | None:
        """An instant of the shared clock at which the shard was at its tip, if it still is as far as anybody knows."""
        return self._poller.tip_seen_at

    async def run(self) -> None:
        """Read to the end of the shard, then return.

        Raises:
            LeaseLost: the epoch is over.
            SequenceRefused: the place is not one of this shard.
            AccessDenied: reading is not permitted, and never was.
        """
        await self._poller.run()

    async def _confirm_end(self) -> tuple[ChildShard, ...] | None:
        answer = await self._line.ask(ConfirmEnd())
        assert answer is None or isinstance(answer, tuple)
        return answer
