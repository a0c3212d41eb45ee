"""Writes a shard's progress on time, and that an idle shard has missed nothing."""

from collections.abc import Callable

from kcl_py.retrying import jittered
from kcl_py.runtime.data.checkpointer import ShardCheckpointer
from kcl_py.runtime.data.epoch_line import EpochLine
from kcl_py.runtime.data.workplace import Workplace
from kcl_py.runtime.mailbox import NoteCaughtUp

CAUGHT_UP_NOTE_SECONDS = 600.0  # how often an idle shard notes that it missed nothing


class CheckpointTimer:
    """Of one epoch."""

    def __init__(
        self,
        checkpointer: ShardCheckpointer,
        tip_seen_at: Callable[[], float | None],
        line: EpochLine,
        place: Workplace,
    ) -> None:
        self._checkpointer = checkpointer
        self._tip_seen_at = tip_seen_at
        self._line = line
        self._place = place
        self._noted_at = float("-inf")

    async def run(self) -> None:
        """Go on for ever.

        Raises:
            LeaseLost: the epoch is over.
        """
        interval_seconds = self._place.config.checkpoint_interval_seconds
        pause_seconds = jittered(interval_seconds, interval_seconds)(1)  # shards that start at once write apart
        while True:
            await self._place.sleep(pause_seconds)
            pause_seconds = interval_seconds
            await self._checkpointer.save()
            await self._note_caught_up()

    async def _note_caught_up(self) -> None:
        """Now and then, if it is so: then retention passing the checkpoint of an idle shard is no gap."""
        at, now = self._tip_seen_at(), self._place.clock()
        is_due = now - self._noted_at >= CAUGHT_UP_NOTE_SECONDS
        if at is not None and is_due and self._checkpointer.is_all_written and self._checkpointer.written.is_number:
            self._noted_at = now
            await self._line.ask(NoteCaughtUp(at))
