"""How a batch reaches its processor: through one thread hop if that is synchronous, through none if it is not."""

import asyncio
import threading
from contextvars import Context
from typing import Any

import pytest

from kcl_py.config import Config
from kcl_py.core.batch import RecordBatch
from kcl_py.core.checkpoint import TRIM_HORIZON
from kcl_py.core.lease import Lease
from kcl_py.core.position import ReadFrom
from kcl_py.core.record import Record
from kcl_py.interfaces import Page
from kcl_py.processor import Checkpointer, RecordProcessor
from kcl_py.runtime.data.batches import BATCH_RECORDS_MAX
from kcl_py.runtime.data.buffer import ByteBudget
from kcl_py.runtime.data.data_plane import DataPlane
from kcl_py.runtime.data.deadline import Deadline
from kcl_py.runtime.data.workplace import Workplace
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.mailbox import Answer, FromDataPlane, KeeperLine, Mailbox, Request, Yours
from tests.core.kpl_aggregator import UserRecord, packed

BATCHES = 3


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts what comes back from other threads, and the tasks that are made."""

    def __init__(self) -> None:
        super().__init__()
        self.hops = 0
        self.set_task_factory(self._made)
        self.tasks = 0

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Any, *arguments: Any, context: Context | None = None
    ) -> asyncio.Handle:
        self.hops += 1
        return super().call_soon_threadsafe(callback, *arguments, context=context)

    def _made(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> "asyncio.Task[Any]":
        self.tasks += 1
        return asyncio.Task(coroutine, loop=loop, **options)


class OnePage:
    """A shard whose first read gives so many batches, and whose second one never ends."""

    def __init__(self) -> None:
        data = packed([UserRecord("k", b"") for _ in range(BATCHES * BATCH_RECORDS_MAX)])
        record = Record(data=data, partition_key="k", sequence_number="7", arrival_timestamp_seconds=0.0)
        self._pages = [Page(records=[record], next_iterator="2", millis_behind_latest=1, size_bytes=len(data))]

    async def open(self, shard_id: str, position: ReadFrom) -> str:
        return "1"

    async def read(self, iterator: str, limit: int) -> Page:
        if not self._pages:
            await asyncio.Event().wait()
        return self._pages.pop()


class Seen:
    """What every processor of a test saw."""

    def __init__(self) -> None:
        self.all = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        self.tasks: list[int] = []
        self.threads: list[int] = []

    def note(self, batch: RecordBatch) -> None:
        assert len(batch) == BATCH_RECORDS_MAX
        assert isinstance(self.loop, CountingLoop)
        self.tasks.append(self.loop.tasks)
        self.threads.append(threading.get_ident())


class Sync(RecordProcessor):
    seen: Seen

    def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        self.seen.note(records)


class Async(RecordProcessor):
    seen: Seen

    async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        self.seen.note(records)


async def delivered_to(kind: type[RecordProcessor]) -> tuple[Seen, int]:
    """Let a data plane deliver all batches; what was seen, and how often something came back from another thread."""
    seen = Seen()
    loop, mailbox, done = asyncio.get_running_loop(), Mailbox(), 0

    def keep(message: FromDataPlane) -> None:
        if isinstance(message, Request) and message.request_id:
            mailbox.to_data_plane.put(Answer(message.request_id))

    def hear(event: object) -> None:
        nonlocal done
        done += type(event).__name__ == "BatchDone"
        if done == BATCHES:
            seen.all.set()

    mailbox.to_keeper.open(keep)
    deadline = Deadline(loop.time)
    deadline.extend(float("inf"))
    place = Workplace(
        config=Config(stream="orders", application="billing"),
        stream=OnePage(),  # type: ignore[arg-type]
        factory=type(kind.__name__, (kind,), {"seen": seen}),
        line=KeeperLine(mailbox),
        budget=ByteBudget(2**20),
        deadline=deadline,
        emit=Emitter([hear]),
        clock=loop.time,
        has_read=asyncio.Event(),
    )
    plane = DataPlane(place, mailbox)
    mailbox.to_data_plane.put(
        Yours(Lease(key="shardId-000000000000", owner="w", counter=1, checkpoint=TRIM_HORIZON), 0)
    )
    await asyncio.wait_for(seen.all.wait(), 30)
    assert isinstance(loop, CountingLoop)
    hops = loop.hops
    await plane.close()
    return seen, hops


@pytest.mark.parametrize(("kind", "hops"), [(Sync, 2 + BATCHES), (Async, 0)])
def test_a_batch_takes_one_hop_to_a_sync_processor_and_none_to_an_async_one(
    kind: type[RecordProcessor], hops: int
) -> None:
    """A sync one is made and initialized in its thread as well."""
    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        seen, counted = runner.run(delivered_to(kind))
    assert counted == hops
    assert len(set(seen.threads)) == 1
    assert (seen.threads[0] == threading.get_ident()) == (kind is Async)


@pytest.mark.parametrize("kind", [Sync, Async])
def test_no_task_is_made_for_a_batch(kind: type[RecordProcessor]) -> None:
    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        seen, _ = runner.run(delivered_to(kind))
    assert len(seen.tasks) == BATCHES
    assert len(set(seen.tasks)) == 1
