"""Reads one shard into its buffer: by polling, or by enhanced fan-out with polling where that does not work for now.

After a hand-over or a crash the service may refuse a subscription for five seconds, because the one before has just
begun. Polling stands in, so that the next record is delivered as soon as without fan-out. Both move one position on,
so nothing is lost or read twice where they take turns.
"""

import asyncio

import msgspec

from kcl_py.core.position import ReadFrom
from kcl_py.core.shard import ChildShard
from kcl_py.runtime.data.buffer import PageBuffer
from kcl_py.runtime.data.epoch_line import EpochLine
from kcl_py.runtime.data.pace import Pace
from kcl_py.runtime.data.poller import Poller
from kcl_py.runtime.data.pulse import Pulse
from kcl_py.runtime.data.registration import Registration
from kcl_py.runtime.data.shard_position import ShardPosition
from kcl_py.runtime.data.subscriber import Subscriber
from kcl_py.runtime.data.workplace import Workplace
from kcl_py.runtime.mailbox import ConfirmEnd, ShardMissing, VerifyLease


class Start(msgspec.Struct, frozen=True):
    """Where a reader begins; see `ShardPosition`."""

    shard_id: str
    read_from: ReadFrom
    may_have_gap: bool
    done: str | None = None


class ShardReader:
    """Of one epoch, from where it begins or goes on to the end of the shard."""

    def __init__(self, start: Start, buffer: PageBuffer, *, line: EpochLine, pulse: Pulse, place: Workplace) -> None:
        """Prepare to read.

        Args:
            start: where.
            buffer: where pages go.
            line: to the keeper.
            pulse: told of every attempt.
            place: what all shards of the worker share.
        """
        self._line = line
        self._buffer = buffer
        self._pulse = pulse
        self._place = place
        self._position = ShardPosition(
            start.shard_id,
            start.read_from,
            confirm_end=self._confirm_end,
            may_have_gap=start.may_have_gap,
            done=start.done,
            emit=place.emit,
            clock=place.clock,
        )
        self._subscriber = self._make_subscriber(place.registration) if place.registration is not None else None
        self._poller = self._make_poller()
        self._reads_now: Poller | Subscriber = self._subscriber or self._poller

    @property
    def tip_seen_at(self) -> float | None:
        """An instant of the shared clock at which the shard was at its tip, if it still is as far as anybody knows."""
        return self._reads_now.tip_seen_at

    async def run(self) -> None:
        """Read to the end of the shard, then return.

        Raises:
            LeaseLost: the epoch is over.
            SequenceRefused: the place is not one of this shard.
            AccessDenied: reading is not permitted, and never was.
        """
        if self._subscriber is None:
            await self._poller.run()
            return
        while (seconds := await self._subscriber.run()) is not None:
            if not self._place.config.fan_out_fallback:
                with self._pulse.waiting():
                    await self._place.sleep(seconds)
                continue
            self._reads_now = self._poller
            if await self._poller.run(asyncio.get_running_loop().time() + seconds):
                return
            self._reads_now = self._subscriber

    def _make_poller(self) -> Poller:
        place = self._place
        has_read = place.has_read
        if self._subscriber is not None:
            has_read = asyncio.Event()
            has_read.set()  # who may not poll goes on with fan-out: that is told, and no reason to stop the worker
        return Poller(
            place.stream,
            self._position,
            self._buffer,
            pace=Pace(place.config.idle_read_interval_seconds),
            pulse=self._pulse,
            page_records_max=place.config.read_limit,
            report_missing=lambda: self._line.tell(ShardMissing()),
            has_read=has_read,
            emit=place.emit,
            clock=place.clock,
            sleep=place.sleep,
        )

    def _make_subscriber(self, registration: Registration) -> Subscriber:
        place = self._place
        return Subscriber(
            registration,
            self._position,
            self._buffer,
            pulse=self._pulse,
            deadline=place.deadline,
            verify_lease=lambda: self._line.ask(VerifyLease()),
            report_missing=lambda: self._line.tell(ShardMissing()),
            is_polled_meanwhile=place.config.fan_out_fallback,
            has_read=place.has_read,
            emit=place.emit,
            clock=place.clock,
            sleep=place.sleep,
        )

    async def _confirm_end(self) -> tuple[ChildShard, ...] | None:
        answer = await self._line.ask(ConfirmEnd())
        assert answer is None or isinstance(answer, tuple)
        return answer
