"""One shard, start to end: read, process, checkpoint."""

import asyncio
from collections.abc import Awaitable

from kcl_py.core.batch import RecordBatch
from kcl_py.core.checkpoint import Checkpoint
from kcl_py.core.lease import Lease
from kcl_py.core.position import ReadFrom
from kcl_py.core.shard import ChildShard
from kcl_py.errors import LeaseLost
from kcl_py.events import CheckpointOverdue, ShardStarted
from kcl_py.runtime.data.attendant import Attendant, StandsStill
from kcl_py.runtime.data.batches import Batches, delivered, done
from kcl_py.runtime.data.buffer import PageBuffer
from kcl_py.runtime.data.checkpoint_timer import CheckpointTimer
from kcl_py.runtime.data.checkpointer import ShardCheckpointer
from kcl_py.runtime.data.ending import Ending
from kcl_py.runtime.data.epoch_line import EpochLine
from kcl_py.runtime.data.horizon import Horizon
from kcl_py.runtime.data.pulse import Pulse
from kcl_py.runtime.data.shard_reader import ShardReader, Start
from kcl_py.runtime.data.workplace import Workplace
from kcl_py.runtime.in_parallel import beside
from kcl_py.runtime.mailbox import Closed, EndShard, LetGo, Stalled

END_GRACE_SECONDS = 4.0  # for a SHARD_END that is on its way when a stop is asked for


class ShardConsumer:
    """One epoch of one shard, in the data plane."""

    def __init__(self, lease: Lease, horizon_ms: int, place: Workplace) -> None:
        """Prepare to deliver what follows a lease's checkpoint.

        Args:
            lease: as picked up; its counter is the fencing token.
            horizon_ms: records that arrived before it may be trimmed.
            place: what all shards of the worker share.
        """
        self.shard_id = lease.key
        self.fencing_token = lease.counter
        self._lease = lease
        self._horizon = Horizon(lease, horizon_ms)
        self._place = place
        self._emit = place.emit
        self.pulse = Pulse()
        self._line = EpochLine(place.line, lease, self.pulse)
        self._attendant = Attendant(lease.key, place, self.pulse)
        self._batches = Batches(lease, place.config, place.emit)
        self._buffer = PageBuffer(place.budget)
        self._start = Start(
            lease.key, ReadFrom.resuming(lease.checkpoint, lease.start_at_ms), self._horizon.may_have_gap
        )
        self._reader: ShardReader | None = None  # while one reads
        self._ending: Ending | None = None
        self._children: tuple[ChildShard, ...] = ()
        self._failure: BaseException | None = None
        self._is_overdue = False  # manual checkpoints: told, and not mended since
        self._task: asyncio.Task[object] | None = None
        self._checkpointer: ShardCheckpointer | None = None
        self._restarts = False  # stalled, and to begin again here
        self.is_stalled = False  # told so: what it did not finish is left to a later epoch
        self.is_abandoned = False  # its lease was passed on though its call has not ended
        self.has_progressed = False  # a batch was done
        self.context = place.context_of(lease)

    async def run(self) -> None:
        """Consume until the shard ends, is let go or is lost.

        Raises:
            KclError: the worker cannot go on: the processor is none, a permission is missing, the place is not one of
                this stream.
        """
        self._task = asyncio.current_task()
        try:
            await self._consume()
        except asyncio.CancelledError:
            if not self.is_stalled:
                raise
            if self._ending is not Ending.LOST:
                await self._or_lose(self._line.ask(self._stalled(may_restart=self._restarts)))
        finally:
            self._buffer.release_all()
            self._attendant.user.close(then=lambda: self._line.tell(Closed()))

    def stop(self, ending: Ending) -> None:
        """Begin no other batch; the one in flight is waited for."""
        if self._ending is None or ending > self._ending:
            self._ending = ending
        if ending is not Ending.SHARD_END:
            self.context.is_cancelled = True
            self._attendant.stop()
        self._buffer.close()

    def stall(self, *, may_restart: bool) -> bool:
        """Begin no other call, and cancel what hangs; then pass the lease on, to a new epoch here if that may be.

        Returns:
            True if so: no call runs in a thread, where nothing can end it, and nobody else is to have the lease.
        """
        is_wanted = self._ending in (None, Ending.SHARD_END)
        self._restarts = may_restart and is_wanted and not self._attendant.user.is_in_thread
        self.is_stalled = True
        self.stop(Ending.LET_GO)
        self._attendant.user.cut()
        if self._task is not None:
            self._task.cancel()
        return self._restarts

    def abandon(self) -> None:
        """The call in flight does not end even when cancelled: pass the lease on, and let it be."""
        self.is_abandoned = True
        self._line.tell(self._stalled(may_restart=False))

    def _stalled(self, *, may_restart: bool) -> Stalled:
        done = self._checkpointer.unwritten if self._checkpointer is not None else None
        return Stalled(done, may_restart)

    # -- the straight line ----------------------------------------------------------------------------------------

    async def _consume(self) -> None:
        checkpointer = await self._initialize()
        if checkpointer is not None:
            await self._read_and_deliver(checkpointer)
        if self._failure is not None:
            if checkpointer is not None:
                await self._or_lose(checkpointer.save())
            raise self._failure  # the worker stops, and gives the lease up with all the others
        if self._ending is Ending.SHARD_END and checkpointer is not None and await self._end_shard(checkpointer):
            return
        if self._ending is Ending.LET_GO:
            await self._let_go(checkpointer)
        if self._ending is Ending.LOST and checkpointer is not None:
            await self._attendant.call_once("lease_lost")

    async def _initialize(self) -> ShardCheckpointer | None:
        if not await self._attendant.create():
            return None
        processor = self._attendant.user.processor
        assert processor is not None
        processor.context = self.context
        is_manual = processor.checkpointing == "manual"
        checkpointer = ShardCheckpointer(self._lease, self._line, self.pulse, is_manual=is_manual)
        self._checkpointer = checkpointer
        if not await self._attendant.call("initialize", self.context):
            return None
        self._emit(ShardStarted(shard_id=self.shard_id, checkpoint=str(self._lease.checkpoint)))
        if self._horizon.gap is not None:
            self._emit(self._horizon.gap)
        return checkpointer

    async def _read_and_deliver(self, checkpointer: ShardCheckpointer) -> None:
        """To the end; where a batch stands still, what it holds is let go of, and it is read again for its next try."""
        work = self._write_on_time(checkpointer)
        async with beside(work, name=f"checkpoint {self.shard_id}", on_end=self._note_end):
            while not await self._has_delivered_all(checkpointer):
                self._buffer.release_all()
                await self._attendant.stand_still()
                if self._ending is not None or self._failure is not None:
                    return
                self._start_again(checkpointer.delivered_to)
            self._buffer.release_all()

    async def _has_delivered_all(self, checkpointer: ShardCheckpointer) -> bool:
        """Read and deliver from the start on; False if a batch stands still, which is the start then."""
        reader = ShardReader(self._start, self._buffer, line=self._line, pulse=self.pulse, place=self._place)
        self._reader = reader
        try:
            async with beside(self._read(reader), name=f"read {self.shard_id}", on_end=self._note_end):
                while await self._deliver_page(checkpointer):
                    pass
        except StandsStill:
            return False
        finally:
            self._reader = None
        return True

    async def _read(self, reader: ShardReader) -> None:
        await self._or_lose(reader.run())

    def _note_end(self, task: asyncio.Task[None]) -> None:
        """A reader or a timer that dies ends the consumer, which would wait for it for ever."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._failure = self._failure or error
            self._buffer.close()

    async def _deliver_page(self, checkpointer: ShardCheckpointer) -> bool:
        """Deliver the next page, and hold none while it is waited for; True if more are to follow."""
        page = await self._buffer.get()
        if page is None:
            return False
        for batch in self._batches.of(page):
            await asyncio.sleep(0)  # what the keeper said while a processor blocked the loop is heard first
            if await self._has_room(checkpointer):
                await self._process(batch, checkpointer)
            if self._ending is not None:
                return False
        if page.next_iterator is None:
            self._children = page.child_shards
            self.stop(Ending.SHARD_END)
        return page.next_iterator is not None

    async def _process(self, batch: RecordBatch, checkpointer: ShardCheckpointer) -> None:
        checkpointer.delivering(batch)
        began = self._place.clock()

        def rest_of_it(attempt: int) -> tuple[RecordBatch, ShardCheckpointer] | None:
            rest = batch.after(checkpointer.written)
            if rest is None:
                return None
            self._emit(delivered(rest, attempt, self.fencing_token))
            return rest, checkpointer

        try:
            is_done = await self._attendant.call_with("process_records", rest_of_it)
        except StandsStill:
            if batch.after(checkpointer.written) is not None:
                self._stand_still(batch, checkpointer)
                raise
            self._attendant.begin_another()
            is_done = True
        if not is_done:
            checkpointer.withdrawn()  # what shutdown_requested may checkpoint ends before it
            return
        checkpointer.completed()
        self.has_progressed = True
        self._emit(done(batch, self._place.clock() - began))

    def _stand_still(self, batch: RecordBatch, checkpointer: ShardCheckpointer) -> None:
        self._reader = None  # at once: whatever tip it has seen, a record before it is not done
        checkpointer.withdrawn()
        rest = batch.after(checkpointer.delivered_to)
        self._stood = (batch.first if rest is None else rest.first, batch.last)

    def _start_again(self, after: Checkpoint) -> None:
        """Read again, behind what is done: with manual checkpoints that may be more than when the shard stood still."""
        first, last = self._stood
        if after >= last:
            self._attendant.begin_another()
        number = max(first, after).sequence_number
        self._start = Start(self.shard_id, ReadFrom("AT_SEQUENCE_NUMBER", number), may_have_gap=True, done=str(after))
        self._batches.done = after
        self._buffer = PageBuffer(self._place.budget)

    async def _end_shard(self, checkpointer: ShardCheckpointer) -> bool:
        """True once SHARD_END is durable. To know the children can take minutes, for which a stop does not wait."""
        if not await self._attendant.call("shard_ended", checkpointer):
            return False
        await self._or_lose(checkpointer.save())
        ending = asyncio.ensure_future(self._line.ask(EndShard(self._children)))
        try:
            await self._attendant.unless_stopping(asyncio.wait([ending]))
            await asyncio.wait([ending], timeout=END_GRACE_SECONDS)
        finally:
            ending.cancel()
            (outcome,) = await asyncio.gather(ending, return_exceptions=True)
        if isinstance(outcome, LeaseLost):
            self.stop(Ending.LOST)
        return not isinstance(outcome, BaseException)

    async def _let_go(self, checkpointer: ShardCheckpointer | None) -> None:
        position = None
        if checkpointer is not None:
            if self._place.deadline.is_ahead:
                await self._attendant.call_once("shutdown_requested", checkpointer)
            position = checkpointer.unwritten
        await self._or_lose(self._line.ask(LetGo(position)))

    # -- checkpoints ------------------------------------------------------------------------------------------------

    async def _write_on_time(self, checkpointer: ShardCheckpointer) -> None:
        timer = CheckpointTimer(checkpointer, self._tip_seen_at, self._line, self._place)
        await self._or_lose(timer.run())

    def _tip_seen_at(self) -> float | None:
        """When the shard was at its tip, if all that was read is done with."""
        return self._reader.tip_seen_at if self._reader is not None and self._buffer.is_empty else None

    async def _has_room(self, checkpointer: ShardCheckpointer) -> bool:
        """Wait until few enough records are delivered and not checkpointed (law S8); False if the consumer stops."""
        records = checkpointer.uncheckpointed_records
        if records >= self._place.config.uncheckpointed_records_max:
            if not checkpointer.is_manual:
                await self._or_lose(checkpointer.save())
            elif not self._is_overdue:
                self._is_overdue = True
                self._emit(CheckpointOverdue(shard_id=self.shard_id, records=records))
        else:
            self._is_overdue = False
        return self._ending is None

    async def _or_lose(self, asked: Awaitable[object]) -> None:
        try:
            await asked
        except LeaseLost:
            self.stop(Ending.LOST)
