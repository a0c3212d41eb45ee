"""What a processor may call to record progress in its shard; forward only.

A position reaches the keeper only when the watermark allows it. The keeper writes it under the epoch's fencing token,
or answers LeaseLost; a call returns when it is durable.
"""

import asyncio
import sys
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any, TypeVar

from kcl_py.core.batch import RecordBatch
from kcl_py.core.checkpoint import Checkpoint
from kcl_py.core.lease import Lease
from kcl_py.core.record import Record
from kcl_py.core.watermark import Batch, Watermark
from kcl_py.errors import CheckpointError
from kcl_py.runtime.data.epoch_line import EpochLine
from kcl_py.runtime.data.pulse import Pulse
from kcl_py.runtime.mailbox import PrepareCheckpoint, SaveCheckpoint

Result = TypeVar("Result")


class ShardCheckpointer:
    """The progress of one epoch. Made in the data plane's loop; its public methods may be called from any thread."""

    def __init__(self, lease: Lease, line: EpochLine, pulse: Pulse, *, is_manual: bool) -> None:
        self._shard_id = lease.key
        self._line = line
        self._pulse = pulse
        self._loop = asyncio.get_running_loop()
        self._watermark = Watermark(lease.checkpoint)
        self._batch: Batch | None = None
        self._size_bytes = 0  # of all batches delivered
        self._lock = asyncio.Lock()
        self.is_manual = is_manual
        self.written = lease.checkpoint  # the last durable checkpoint; never goes back

    # -- what user code calls ---------------------------------------------------------------------------------------

    def checkpoint(self, record: Record | None = None) -> Awaitable[None]:
        """See `processor.Checkpointer.checkpoint`."""
        if record is None and self.is_manual and sys.exc_info()[1] is not None:
            raise CheckpointError(
                f"{self._shard_id}: checkpoint() without a record was called while an exception is being handled, and "
                "would pass records that may not be done: name the last record that is"
            )
        return self._run(self._checkpoint(record))

    def prepare(self, record: Record | None = None, state: bytes | None = None) -> "Prepared":
        """See `processor.Checkpointer.prepare`."""
        position = self._position(record)
        return Prepared(self, position, self._run(self._prepare(position, state)))

    def checkpoint_at(self, position: Checkpoint) -> Awaitable[None]:
        """Put a prepared position in force."""
        return self._run(self._advance(position))

    # -- what the consumer calls, in its loop -----------------------------------------------------------------------

    def delivering(self, batch: RecordBatch) -> None:
        """A batch is about to be delivered."""
        if batch.last > self._watermark.reached:  # what is delivered again flows once
            self._size_bytes += batch.size_bytes
        self._batch = self._watermark.delivered(batch)

    def completed(self) -> None:
        """The batch in flight was processed. With manual checkpoints that alone finishes nothing."""
        assert self._batch is not None
        if not self.is_manual:
            self._watermark.completed(self._batch)

    def withdrawn(self) -> None:
        """The batch in flight was in vain: what is not done of it is to be read and delivered again."""
        assert self._batch is not None
        self._watermark.withdrawn(self._batch)
        self._batch = None
        self._watermark.checkpointed(self.written)

    @property
    def delivered_to(self) -> Checkpoint:
        """Behind it delivery goes on."""
        return self._watermark.delivered_to

    @property
    def unwritten(self) -> Checkpoint | None:
        """Progress that no checkpoint covers yet; None if there is none, or if it is the user's to declare."""
        position = self._watermark.position
        return position if position > self.written and not self.is_manual else None

    @property
    def is_all_written(self) -> bool:
        """True if every delivered record is covered by a durable checkpoint."""
        return self.written >= self._watermark.delivered_to

    @property
    def uncheckpointed_records(self) -> int:
        """Records delivered that no durable checkpoint covers."""
        return self._watermark.uncheckpointed

    async def save(self) -> None:
        """Write the progress that there is.

        Raises:
            LeaseLost: the epoch is over.
        """
        if self.unwritten is not None:
            await self._write(self.unwritten)

    # -- the one way ------------------------------------------------------------------------------------------------

    async def _checkpoint(self, record: Record | None) -> None:
        await self._advance(self._position(record))

    async def _prepare(self, position: Checkpoint, state: bytes | None) -> None:
        self._check(position)
        with self._pulse.asking():
            await self._line.ask(PrepareCheckpoint(position, state))

    def _position(self, record: Record | None) -> Checkpoint:
        if record is not None:
            return Checkpoint.at(record)
        return self._watermark.delivered_to if self.is_manual else self._watermark.position

    async def _advance(self, position: Checkpoint) -> None:
        with self._pulse.asking():
            if position == self.written:
                return
            self._check(position)
            if self.is_manual:
                self._watermark.completed_to(position)
            await self._write(position)

    def _check(self, position: Checkpoint) -> None:
        if position < self.written:
            raise CheckpointError(f"{self._shard_id}: {position} is behind the last checkpoint, {self.written}")
        allowed = self._watermark.reached if self.is_manual else self._watermark.position
        if position > allowed:
            what = "delivered" if self.is_manual else "completed: process_records has not returned for it"
            raise CheckpointError(f"{self._shard_id}: {position} was not {what}; the last one that was is {allowed}")

    async def _write(self, position: Checkpoint) -> None:
        async with self._lock:
            if position <= self.written:
                return  # a later one was written while we waited
            await self._line.ask(SaveCheckpoint(position, self._size_bytes))
            self.written = position
            self._watermark.checkpointed(position)

    def _run(self, work: Coroutine[Any, Any, Result]) -> "Awaitable[Result]":
        """Start `work` in the data plane's loop; block for it unless called from there."""
        try:
            is_here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            is_here = False
        if is_here:
            return self._loop.create_task(work)
        return _Ready(asyncio.run_coroutine_threadsafe(work, self._loop).result())


class Prepared:
    """See `processor.PendingCheckpoint`."""

    def __init__(self, checkpointer: ShardCheckpointer, position: Checkpoint, noted: Awaitable[object]) -> None:
        self._checkpointer = checkpointer
        self._position = position
        self._noted = noted

    def checkpoint(self) -> Awaitable[None]:
        """See `processor.PendingCheckpoint.checkpoint`."""
        return self._checkpointer.checkpoint_at(self._position)

    def __await__(self) -> Generator[Any, None, "Prepared"]:
        yield from self._noted.__await__()
        return self


class _Ready(Awaitable[Result]):
    """A result that was waited for already."""

    def __init__(self, result: Result) -> None:
        self._result = result

    def __await__(self) -> Generator[Any, None, Result]:
        yield from ()
        return self._result
