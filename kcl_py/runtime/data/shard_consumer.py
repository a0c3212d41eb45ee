"""One shard, start to end: read, process, checkpoint."""

import asyncio
from collections.abc import Awaitable
from enum import IntEnum

from kcl_py.core.batch import RecordBatch
from kcl_py.core.checkpoint import AT_TIMESTAMP
from kcl_py.core.lease import Lease
from kcl_py.core.position import ReadFrom
from kcl_py.core.shard import ChildShard
from kcl_py.errors import LeaseLost
from kcl_py.events import BatchDelivered, BatchDone, CheckpointOverdue, RecordsMissing, ShardStarted
from kcl_py.processor import ShardContext
from kcl_py.retrying import jittered
from kcl_py.runtime.data.attendant import Attendant
from kcl_py.runtime.data.batches import Batches
from kcl_py.runtime.data.buffer import PageBuffer
from kcl_py.runtime.data.checkpointer import ShardCheckpointer
from kcl_py.runtime.data.pace import Pace
from kcl_py.runtime.data.poller import Poller
from kcl_py.runtime.data.workplace import Workplace
from kcl_py.runtime.mailbox import Closed, ConfirmEnd, EndShard, EpochLine, LetGo, NoteCaughtUp, ShardMissing

END_GRACE_SECONDS = 4.0  # for a SHARD_END that is on its way when a stop is asked for
CAUGHT_UP_NOTE_SECONDS = 600.0  # how often an idle shard notes that it missed nothing


class Ending(IntEnum):
    """Why a consumer stops; a stronger reason replaces a weaker one."""

    SHARD_END = 1
    LET_GO = 2
    LOST = 3


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
        # a shard that was idle at its tip after the horizon has lost nothing, whatever became of its last record
        self._may_have_gap = lease.caught_up_at_ms is None or lease.caught_up_at_ms < horizon_ms
        # a user may ask for a time before the horizon; whoever comes back after it has missed something
        is_asked_for = lease.checkpoint == AT_TIMESTAMP and lease.counter == 1
        is_old = lease.start_at_ms is not None and lease.start_at_ms < horizon_ms
        self._is_late = is_old and not lease.checkpoint.is_number and not is_asked_for
        self._place = place
        self._emit = place.emit
        self._line = EpochLine(place.line, lease)
        self._attendant = Attendant(lease.key, place)
        self._batches = Batches(lease, place.config.stream_name, place.emit)
        self._buffer = PageBuffer(place.budget)
        self._ending: Ending | None = None
        self._children: tuple[ChildShard, ...] = ()
        self._failure: BaseException | None = None
        self._is_overdue = False  # manual checkpoints: told, and not mended since
        self._caught_up_noted_at = float("-inf")
        self.context = ShardContext(
            application=place.config.application,
            stream=place.config.stream_name,
            shard_id=lease.key,
            worker_id=place.config.worker_id,
            checkpoint=lease.checkpoint,
            fencing_token=lease.counter,
            pending_checkpoint=lease.pending_checkpoint,
            pending_checkpoint_state=lease.pending_checkpoint_state,
        )

    async def run(self) -> None:
        """Consume until the shard ends, is let go or is lost.

        Raises:
            KclError: the worker cannot go on: the processor is none, a permission is missing, the place is not one of
                this stream.
        """
        try:
            await self._consume()
        finally:
            self._attendant.user.close()
            self._buffer.release_all()
            self._line.tell(Closed())

    def stop(self, ending: Ending) -> None:
        """Begin no other batch; the one in flight is waited for."""
        if self._ending is None or ending > self._ending:
            self._ending = ending
        if ending is not Ending.SHARD_END:
            self.context.is_cancelled = True
            self._attendant.stop()
        self._buffer.close()

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
        checkpointer = ShardCheckpointer(self._lease, self._line, is_manual=is_manual)
        if not await self._attendant.call("initialize", self.context):
            return None
        self._emit(ShardStarted(shard_id=self.shard_id, checkpoint=str(self._lease.checkpoint)))
        if self._is_late:
            self._emit(
                RecordsMissing(
                    shard_id=self.shard_id,
                    after=str(self._lease.checkpoint),
                    before="the oldest record",
                    reason="the row is older than the stream's retention, and nothing was checkpointed since",
                )
            )
        return checkpointer

    async def _read_and_deliver(self, checkpointer: ShardCheckpointer) -> None:
        poller = self._make_poller()
        background = (
            asyncio.create_task(self._read(poller), name=f"read {self.shard_id}"),
            asyncio.create_task(self._checkpoint_on_time(checkpointer, poller), name=f"checkpoint {self.shard_id}"),
        )
        for task in background:
            task.add_done_callback(self._note_end)
        try:
            await self._deliver(checkpointer)
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        """A reader or a timer that dies ends the consumer, which would wait for it for ever."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._failure = self._failure or error
            self._buffer.close()

    async def _deliver(self, checkpointer: ShardCheckpointer) -> None:
        while (page := await self._buffer.get()) is not None:
            for batch in self._batches.of(page):
                await asyncio.sleep(0)  # what the keeper said while a processor blocked the loop is heard first
                if await self._has_room(checkpointer):
                    await self._process(batch, checkpointer)
                if self._ending is not None:
                    return
            if page.next_iterator is None:
                self._children = page.child_shards
                self.stop(Ending.SHARD_END)
                return

    async def _process(self, batch: RecordBatch, checkpointer: ShardCheckpointer) -> None:
        checkpointer.delivering(batch)
        began = self._place.clock()

        def rest_of_it(attempt: int) -> tuple[RecordBatch, ShardCheckpointer] | None:
            rest = batch.after(checkpointer.written)
            if rest is None:
                return None
            self._emit(
                BatchDelivered(
                    shard_id=self.shard_id,
                    first=str(rest.first),
                    last=str(rest.last),
                    records=len(rest),
                    attempt=attempt,
                    fencing_token=self.fencing_token,
                )
            )
            return rest, checkpointer

        if not await self._attendant.call_with("process_records", rest_of_it):
            return
        checkpointer.completed()
        self._emit(
            BatchDone(
                shard_id=self.shard_id,
                last=str(batch.last),
                records=len(batch),
                size_bytes=batch.size_bytes,
                millis_behind_latest=batch.millis_behind_latest,
                seconds=self._place.clock() - began,
            )
        )

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

    # -- reading --------------------------------------------------------------------------------------------------

    def _make_poller(self) -> Poller:
        lease, place = self._lease, self._place
        return Poller(
            place.stream,
            self.shard_id,
            ReadFrom.resuming(lease.checkpoint, lease.start_at_ms),
            self._buffer,
            pace=Pace(place.config.idle_read_interval_seconds),
            page_records_max=place.config.read_limit,
            confirm_end=self._confirm_end,
            report_missing=lambda: self._line.tell(ShardMissing()),
            may_have_gap=self._may_have_gap,
            has_read=place.has_read,
            emit=self._emit,
            clock=place.clock,
            sleep=place.sleep,
        )

    async def _read(self, poller: Poller) -> None:
        try:
            await poller.run()
        except LeaseLost:
            self.stop(Ending.LOST)

    async def _confirm_end(self) -> tuple[ChildShard, ...] | None:
        answer = await self._line.ask(ConfirmEnd())
        assert answer is None or isinstance(answer, tuple)
        return answer

    # -- checkpoints ------------------------------------------------------------------------------------------------

    async def _checkpoint_on_time(self, checkpointer: ShardCheckpointer, poller: Poller) -> None:
        noted_at = float("-inf")
        interval_seconds = self._place.config.checkpoint_interval_seconds
        pause_seconds = jittered(interval_seconds, interval_seconds)(1)  # shards that start at once write apart
        while True:
            await self._place.sleep(pause_seconds)
            pause_seconds = interval_seconds
            await self._or_lose(checkpointer.save())
            # an idle shard notes now and then that it missed nothing: then retention passing its checkpoint is no gap
            at = poller.tip_seen_at
            is_due = self._place.clock() - noted_at >= CAUGHT_UP_NOTE_SECONDS
            if at is not None and is_due and checkpointer.is_all_written and checkpointer.written.is_number:
                noted_at = self._place.clock()
                await self._or_lose(self._line.ask(NoteCaughtUp(at)))

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
