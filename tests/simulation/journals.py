"""Processors that write down what they are given."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Protocol

from kcl_py.core.batch import RecordBatch
from kcl_py.core.record import Record
from kcl_py.errors import CheckpointError, LeaseLost
from kcl_py.processor import Checkpointer, RecordProcessor, ShardContext
from tests.simulation.facts import Delivered, Done, Put, Raised, What

LATER_SECONDS = 4.0


class Employer(Protocol):
    """The worker that a journal works for.

    Attributes:
        processing_seconds: how long the next batch takes.
        is_failing: whether its processor raises.
        dice: for what a processor decides by itself.
    """

    processing_seconds: Callable[[], float]
    is_failing: Callable[[], bool]

    @property
    def dice(self) -> random.Random: ...

    def note(self, what: What) -> None:
        """Write into the log."""


class Journal(RecordProcessor):
    """Notes what it is given. It may be slow, and may fail, if the worker says so."""

    worker: Employer

    async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        noted = self._seen(records)
        await self._process(noted)
        self._note(Done, noted)

    async def _process(self, noted: tuple[Put, ...]) -> None:
        await asyncio.sleep(self.worker.processing_seconds())
        if self.worker.is_failing():
            self._note(Raised, noted)
            raise ValueError("now and then")

    def _seen(self, records: RecordBatch) -> tuple[Put, ...]:
        noted = tuple(_put(self.context.shard_id, record) for record in records)
        self._note(Delivered, noted)
        return noted

    def _note(self, kind: type[Delivered | Done | Raised], records: tuple[Put, ...]) -> None:
        here = self.context
        self.worker.note(kind(shard_id=here.shard_id, token=here.fencing_token, records=records))


class ManualJournal(Journal):
    """Checkpoints by itself: sometimes a part, sometimes all, sometimes nothing, all after a while, and all when it is
    asked to stop.
    """

    checkpointing = "manual"

    async def initialize(self, context: ShardContext) -> None:
        self._open: list[Record] = []
        self._turn = asyncio.Lock()  # one checkpoint after the other
        self._later: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        noted = self._seen(records)
        fresh = [record for record in records if record not in self._open]
        await self._process(noted)
        self._open += fresh
        chosen = self.worker.dice.choice([0, len(self._open) // 2, len(self._open)])
        if chosen:
            await self._checkpoint(chosen, checkpointer)
        if self._open and self._later is None:
            self._later = asyncio.get_running_loop().call_later(LATER_SECONDS, self._begin_late, checkpointer)

    async def lease_lost(self) -> None:
        self._forget_later()

    async def shard_ended(self, checkpointer: Checkpointer) -> None:
        await self._checkpoint(len(self._open), checkpointer)

    async def shutdown_requested(self, checkpointer: Checkpointer) -> None:
        self._forget_later()
        await self._checkpoint(len(self._open), checkpointer)

    def _forget_later(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None

    def _begin_late(self, checkpointer: Checkpointer) -> None:
        self._later = None
        task = asyncio.get_running_loop().create_task(self._checkpoint_late(checkpointer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _checkpoint_late(self, checkpointer: Checkpointer) -> None:
        with contextlib.suppress(LeaseLost, CheckpointError):
            await self._checkpoint(len(self._open), checkpointer)

    async def _checkpoint(self, count: int, checkpointer: Checkpointer) -> None:
        """Say that the oldest of what is open is done, and write it down."""
        async with self._turn:
            records = self._open[:count]
            if records:
                self._note(Done, tuple(_put(self.context.shard_id, record) for record in records))
                await checkpointer.checkpoint(records[-1])
                del self._open[: len(records)]


def _put(shard_id: str, record: Record) -> Put:
    key, number = record.data.split(b" ")[:2]
    position = (int(record.sequence_number), record.sub_sequence_number)
    return Put(shard_id=shard_id, position=position, key=key.decode(), number=int(number))
