"""The way out: whatever a stop meets, it ends in time, repeats nothing it need not, and leaves nothing held."""

import asyncio
import threading
import time

import msgspec
import pytest

from kcl_py import Config, RecordProcessor, Worker
from kcl_py.core.batch import RecordBatch
from kcl_py.core.session import Session
from kcl_py.errors import TableError
from kcl_py.events import LeaseGivenUp, LeaseHandedOver, LeasePickedUp, LeaseWasLost, ProcessorFailed
from kcl_py.interfaces import Page
from kcl_py.local import requests
from kcl_py.local.doors import LocalStream
from kcl_py.local.faults import AnswerChanged, ListingStale
from kcl_py.local.faults import Fault as StreamFault
from kcl_py.local.faulty_lease_table import Fault
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.memory_lease_table import MemoryLeaseTable
from kcl_py.local.operations import perform
from kcl_py.processor import Checkpointer, ProcessorFactory
from kcl_py.runtime.mailbox import Request, ShardMissing
from tests.runtime.bench import SHARD_0, SHARD_1, STREAM, BenchWorker, Recording, Site
from tests.virtual_time import run


class SlowInShard0(Recording):
    async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        if self.context.shard_id == SHARD_0:
            await asyncio.sleep(15)
        await super().process_records(records, checkpointer)


async def called(worker: BenchWorker, call: str) -> None:
    async with asyncio.timeout(600):
        while call not in worker.calls:
            await asyncio.sleep(0.05)


def test_a_stop_while_the_shard_end_is_being_written_calls_the_processor_no_more():
    async def story():
        site = Site()
        worker = BenchWorker(site)
        site.put(5)
        await asyncio.sleep(12)
        worker.table.faults.append(Fault(kind="delay_answer", operation="write", key=SHARD_0, seconds=3))
        site.split()
        await called(worker, f"shard_ended {SHARD_0}")
        await asyncio.sleep(0.5)
        await worker.drain()
        started = [call for call in worker.calls if call.startswith("initialize")]
        assert worker.calls.count("shutdown_requested") == len(started) - 1, "only of the children, if they began"
        assert (await site.row()).is_finished

    run(story())


@pytest.mark.parametrize("seconds", [0, 15])
def test_a_batch_that_still_raises_when_the_worker_leaves_is_left_to_the_next_one(seconds):
    class Failing(Recording):
        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            self.calls.append("process")
            await asyncio.sleep(seconds)
            raise ValueError

    async def story():
        site = Site()
        put = site.put(10)
        first = BenchWorker(site, Failing)
        await called(first, "process")
        await asyncio.sleep(5)
        await first.drain()
        assert first.seen(ProcessorFailed)
        second = BenchWorker(site)
        await asyncio.sleep(5)
        assert site.payloads() == put
        await second.drain()

    run(story())


def test_a_processor_that_was_never_initialized_is_asked_for_nothing_when_the_worker_leaves():
    class Refusing(Recording):
        async def initialize(self, context: object) -> None:
            raise ValueError

    async def story():
        site = Site()
        site.put(10)
        worker = BenchWorker(site, Refusing)
        await asyncio.sleep(5)
        assert worker.seen(ProcessorFailed)
        await worker.drain()
        assert worker.calls == []
        assert (await site.row()).owner is None

    run(story())


@pytest.mark.parametrize("raised", [ValueError, asyncio.CancelledError])
def test_a_shutdown_request_that_raises_is_told_and_costs_nothing(raised):
    class Clumsy(Recording):
        async def shutdown_requested(self, checkpointer: Checkpointer) -> None:
            raise raised

    async def story():
        site = Site()
        put = site.put(10)
        first = BenchWorker(site, Clumsy, checkpoint_interval_seconds=3_600)
        await asyncio.sleep(5)
        assert site.payloads() == put
        await first.drain()
        assert [failed.method for failed in first.seen(ProcessorFailed)] == ["shutdown_requested"]
        assert (await site.row()).owner is None
        second = BenchWorker(site)
        await asyncio.sleep(5)
        assert site.payloads() == put, "what was done was saved all the same"
        await second.drain()

    run(story())


async def whose_children_are_not_known_yet(site: Site) -> tuple[BenchWorker, list[str]]:
    """A worker whose shard has ended, without anything that says what follows; and what was put."""

    def with_one_child(page: Page) -> Page:
        return msgspec.structs.replace(page, child_shards=page.child_shards[:1])

    worker = BenchWorker(site, checkpoint_interval_seconds=3600)
    await asyncio.sleep(2)
    put = site.put(5)
    await asyncio.sleep(2)
    worker.stream.faults += [
        StreamFault(effect=AnswerChanged(with_one_child), operation="read"),
        StreamFault(effect=ListingStale(1000), operation="list_shards"),
    ]
    site.split()
    await called(worker, f"shard_ended {SHARD_0}")
    await asyncio.sleep(1)
    return worker, put


def test_a_stop_while_the_children_are_not_known_yet_is_quick_and_repeats_nothing():
    async def story():
        site = Site()
        worker, put = await whose_children_are_not_known_yet(site)
        began = asyncio.get_running_loop().time()
        await worker.drain()
        assert asyncio.get_running_loop().time() - began < 5
        successor = BenchWorker(site, worker_id="w2")
        put += site.put(5)
        await asyncio.sleep(30)
        assert sorted(site.payloads(), key=int) == put
        await successor.drain()

    run(story())


def test_a_hand_off_while_the_children_are_not_known_yet_is_quick_and_repeats_nothing():
    async def story():
        site = Site()
        worker, put = await whose_children_are_not_known_yet(site)
        receiver = BenchWorker(site, worker_id="w2")
        await asyncio.sleep(10)
        await site.offer("w2")
        await asyncio.sleep(8)
        assert [event.is_forced for event in worker.seen(LeaseHandedOver)] == [False]
        put += site.put(5)
        await asyncio.sleep(30)
        assert sorted(site.payloads(), key=int) == put
        assert (await site.row()).is_finished
        await receiver.drain()
        await worker.drain()

    run(story())


def test_a_lease_that_is_lost_while_the_children_are_not_known_yet_is_lost_and_its_worker_goes_on():
    async def story():
        site = Site()
        worker, put = await whose_children_are_not_known_yet(site)
        await site.revoke()
        await called(worker, "lease_lost")
        worker.stream.faults.clear()
        put += site.put(5)
        await asyncio.sleep(60)
        assert worker.calls.count("lease_lost") == 1
        assert sorted(site.payloads(), key=int) == put
        assert (await site.row()).is_finished
        await worker.drain()

    run(story())


def test_what_a_draining_worker_let_go_it_does_not_take_again():
    async def story():
        site = Site(shards=2)
        worker = BenchWorker(site, SlowInShard0)
        site.put(20)
        await asyncio.sleep(3)
        await worker.drain()
        assert len(worker.seen(LeasePickedUp)) == 2
        assert [event.shard_id for event in worker.seen(LeaseGivenUp)] == [SHARD_1, SHARD_0]

    run(story())


def test_a_lease_whose_pick_up_lands_while_the_worker_drains_is_let_go_undelivered():
    async def story():
        site = Site(shards=2)
        worker = BenchWorker(site, SlowInShard0)
        worker.table.faults.append(Fault(kind="delay_answer", operation="write", key=SHARD_1, nth=1, seconds=6))
        put = site.put(20)
        await asyncio.sleep(3)
        assert [event.shard_id for event in worker.seen(LeasePickedUp)] == [SHARD_0]
        await worker.drain()
        assert len(worker.seen(LeasePickedUp)) == 2
        assert f"initialize {SHARD_1}" not in worker.calls
        assert (await site.row(SHARD_1)).owner is None
        successor = BenchWorker(site, worker_id="w2")
        await asyncio.sleep(10)
        assert sorted(site.payloads(), key=int) == put
        await successor.drain()

    run(story())


@pytest.mark.parametrize("is_lost_first", [True, False])
def test_a_lease_that_is_lost_around_a_stop_is_lost_and_not_let_go(is_lost_first):
    async def story():
        site = Site()
        worker = BenchWorker(site, SlowInShard0)
        site.put(5)
        await asyncio.sleep(2)
        if is_lost_first:
            await site.revoke()
            while not worker.seen(LeaseWasLost):
                await asyncio.sleep(0.1)
            await worker.drain()
        else:
            draining = asyncio.create_task(worker.drain())
            await asyncio.sleep(1)
            await site.revoke()
            await draining
        assert worker.calls[-1] == "lease_lost"
        assert "shutdown_requested" not in worker.calls

    run(story())


def now_ms() -> int:
    return int(time.time() * 1000)


class BreakableTable(MemoryLeaseTable):
    is_broken = False

    async def write_session(self, before: Session | None, after: Session | None) -> None:
        if self.is_broken:
            raise TableError("ValidationException")
        await super().write_session(before, after)


class MemoryWorker(Worker):
    """The whole worker, threads and all, between a stream in memory with one record and a table in memory."""

    def __init__(self, processor: ProcessorFactory, shutdown_grace_seconds: float = 0.5) -> None:
        config = Config(stream=STREAM, application="app", worker_id="w1", shutdown_grace_seconds=shutdown_grace_seconds)
        super().__init__(processor, config)
        self.table = BreakableTable()
        self._model = KinesisModel()
        perform(self._model, requests.CreateStream(stream_name=STREAM, shard_count=1), now_ms() - 60_000)
        perform(self._model, requests.PutRecord(stream_name=STREAM, data=b"0", partition_key="k"), now_ms())

    def _open_stream(self) -> LocalStream:
        return LocalStream(self._model, STREAM, clock_ms=now_ms)

    def _open_table(self) -> BreakableTable:
        return self.table

    async def has_left(self) -> bool:
        """True if neither a lease nor an entry tells of it any more, nor a thread or a task."""
        snapshot = await self.table.snapshot()
        threads = [thread for thread in threading.enumerate() if thread.name == "kcl-py keeper"]
        tasks = [task for task in asyncio.all_tasks() if task.get_name().startswith("consume")]
        is_held = snapshot.sessions or any(lease.owner for lease in snapshot.leases)
        return not threads and not tasks and not is_held


async def test_a_second_cancellation_ends_the_way_out_and_leaves_nothing_running():
    begun = asyncio.Event()

    class Slow(RecordProcessor):
        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            begun.set()
            await asyncio.sleep(60)

    worker = MemoryWorker(Slow, shutdown_grace_seconds=60)

    async def embed() -> None:
        async with worker:
            await asyncio.sleep(60)

    embedding = asyncio.create_task(embed())
    await asyncio.wait_for(begun.wait(), 10)
    embedding.cancel()
    await asyncio.sleep(0.1)
    embedding.cancel()
    await asyncio.wait([embedding], timeout=5)
    assert embedding.cancelled()
    async with asyncio.timeout(5):
        while not await worker.has_left():
            await asyncio.sleep(0.05)


async def test_a_full_default_executor_does_not_keep_the_worker_from_leaving():
    begun, release = asyncio.Event(), threading.Event()

    class Threads(RecordProcessor):
        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            begun.set()
            await asyncio.gather(*(asyncio.to_thread(release.wait, 20) for _ in range(64)))

    worker = MemoryWorker(Threads)
    try:
        async with worker:
            await asyncio.wait_for(begun.wait(), 10)
            await asyncio.sleep(0.1)
            began = time.monotonic()
        assert time.monotonic() - began < 5
        assert await worker.has_left()
    finally:
        release.set()


async def test_a_processor_that_swallows_its_cancellation_does_not_keep_the_worker():
    begun = asyncio.Event()

    class Stubborn(RecordProcessor):
        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            begun.set()
            try:
                await asyncio.sleep(60)
            except BaseException:  # noqa: BLE001 - as people write it
                return

    worker = MemoryWorker(Stubborn)
    async with asyncio.timeout(10):
        async with worker:
            await begun.wait()
        assert await worker.has_left()


async def test_a_keeper_that_fails_while_the_worker_drains_is_heard_of():
    begun = asyncio.Event()

    class Quick(RecordProcessor):
        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            begun.set()

    worker = MemoryWorker(Quick)
    with pytest.raises(TableError, match="ValidationException"):
        async with worker:
            await asyncio.wait_for(begun.wait(), 10)
            worker.table.is_broken = True


def test_a_look_at_the_stream_that_is_cut_off_before_it_begins_is_not_left_unawaited():
    async def story():
        site = Site()
        worker = BenchWorker(site)
        await asyncio.sleep(12)
        token = (await site.row()).counter
        worker.keeper._receive(Request(0, SHARD_0, token, ShardMissing()))
        await worker.keeper._errands.cut_off()
        assert worker.failure is None
        await worker.drain()

    run(story())  # a coroutine that nobody awaits is a warning, and so an error
