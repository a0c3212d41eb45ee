"""A shard whose processor keeps raising: it holds nothing meanwhile, reads again for every try, and skips nothing."""

import asyncio
import gc
from typing import ClassVar

import msgspec
import pytest

from kcl_py.core.batch import RecordBatch
from kcl_py.core.checkpoint import Checkpoint
from kcl_py.errors import ServiceUnavailable
from kcl_py.events import (
    BatchDelivered,
    BatchDone,
    ForeignRecordsDropped,
    LeaseWasLost,
    MalformedAggregate,
    ProcessorFailed,
    RecordsMissing,
    ServiceTrouble,
    ShardStopped,
)
from kcl_py.interfaces import Page
from kcl_py.local.doors import loop_clock_ms
from kcl_py.local.faults import AnswerChanged, Fault, Refused
from kcl_py.processor import Checkpointer
from kcl_py.runtime.data.batches import BATCH_RECORDS_MAX
from kcl_py.runtime.data.ending import Ending
from kcl_py.runtime.data.subscriber import REFUSED_SECONDS
from tests.core.kpl_aggregator import UserRecord, packed
from tests.runtime.bench import SHARD_0, SHARD_1, BenchWorker, Recording, Site
from tests.virtual_time import run

LARGE = 300_000


class Failing(Recording):
    """Raises for a while, in every shard but one."""

    fails = True

    async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        if Failing.fails and self.context.shard_id != SHARD_1:
            raise ValueError(records)
        await super().process_records(records, checkpointer)


@pytest.fixture(autouse=True)
def _fails() -> None:
    Failing.fails = True


def alive() -> int:
    gc.collect()
    return sum(isinstance(one, RecordBatch) for one in gc.get_objects())


@pytest.mark.parametrize("fan_out", [False, True])
def test_shards_that_stand_still_leave_the_whole_buffer_to_the_others(fan_out: bool):
    async def story() -> None:
        site = Site(shards=8)
        put = [f"{number:0{LARGE}}" for number in range(64)]
        for payload in put:
            site.put_data(payload.encode(), key=payload[-9:])
            await asyncio.sleep(0.4)
        before = alive()
        worker = BenchWorker(
            site, Failing, buffer_bytes_max=2**20, read_limit=3, fan_out=fan_out, fan_out_fallback=not fan_out
        )
        await asyncio.sleep(150)
        assert len(worker.seen(ShardStopped)) == 7
        worker.events.clear()  # what failed is told with the error, which holds whatever the processor gave it
        assert alive() <= before + 1, "what was raised last may be remembered"
        assert worker.budget.used <= 2**20
        assert {shard for _, shard, _, _ in site.delivered} == {SHARD_1}
        first = set(site.payloads())
        late = site.put(200)
        await asyncio.sleep(20)
        assert {shard for _, shard, _, _ in site.delivered} == {SHARD_1}
        assert set(site.payloads()) > first, "it goes on"
        Failing.fails = False
        await asyncio.sleep(100)
        assert set(site.payloads()) == {*put, *late}
        await worker.drain()
        assert worker.failure is None

    run(story())


def test_its_attempts_go_on_counting_and_nothing_is_done_twice():
    async def story() -> None:
        site = Site()
        put = site.put(20, key="k")
        worker = BenchWorker(site, Failing)
        await asyncio.sleep(200)
        attempts = [event.attempt for event in worker.seen(BatchDelivered)]
        assert attempts == list(range(1, len(attempts) + 1))
        assert len(attempts) >= 7
        more = site.put(5, key="k")
        Failing.fails = False
        await asyncio.sleep(61)
        assert site.payloads() == put + more
        assert [event.attempt for event in worker.seen(BatchDelivered)][-2:] != [1, 1]
        last = site.put(1, key="k")
        await asyncio.sleep(5)
        assert site.payloads() == put + more + last
        assert worker.seen(BatchDelivered)[-1].attempt == 1, "another batch is another count"
        await worker.drain()
        assert str((await site.row()).checkpoint) == worker.seen(BatchDone)[-1].last

    run(story())


def test_what_it_checkpointed_within_the_batch_is_not_delivered_again():
    class Halfway(Recording):
        checkpointing = "manual"
        batches: ClassVar[list[list[str]]] = []

        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            Halfway.batches.append([record.data.decode() for record in records])
            if len(records) > 1:
                await checkpointer.checkpoint(records[min(2, len(records) - 2)])
            if Failing.fails:
                raise ValueError
            await checkpointer.checkpoint()

    async def story() -> None:
        site = Site()
        site.put_data(b"plain")
        site.put_data(packed([UserRecord("k", f"a{number}".encode()) for number in range(8)]))
        worker = BenchWorker(site, Halfway)
        await asyncio.sleep(600)
        assert [len(batch) for batch in Halfway.batches[:4]] == [9, 6, 3, 1]
        assert set(map(tuple, Halfway.batches[3:])) == {("a7",)}
        assert len(Halfway.batches) > 8
        Failing.fails = False
        await asyncio.sleep(61)
        await worker.drain()
        row = await site.row()
        assert row.checkpoint.sub_sequence_number == 7
        assert Halfway.batches[-1] == ["a7"]

    run(story())


def test_what_left_the_streams_retention_meanwhile_is_told():
    def trimmed(page: Page) -> Page:
        return msgspec.structs.replace(page, records=page.records[2:])

    async def story() -> None:
        site = Site()
        Failing.fails = False
        site.put(3)
        worker = BenchWorker(site, Failing)
        await asyncio.sleep(10)
        Failing.fails = True
        put = site.put(4)
        await asyncio.sleep(30)
        (stopped,) = worker.seen(ShardStopped)
        assert stopped.tried_again_every_seconds > 30
        site.delivered.clear()
        worker.stream.faults.append(Fault(effect=AnswerChanged(trimmed), operation="read", first=1, times=1))
        Failing.fails = False
        await asyncio.sleep(60)
        (missing,) = worker.seen(RecordsMissing)
        assert missing.after == worker.seen(BatchDone)[0].last, "nothing behind it was done"
        assert missing.before == worker.seen(BatchDelivered)[-1].first.partition("/")[0]
        assert site.payloads() == put[2:]
        await worker.drain()

    run(story())


def test_who_is_pushed_to_stands_still_as_long_as_a_new_subscription_is_refused_and_says_so():
    async def story() -> None:
        site = Site()
        put = site.put(1)
        worker = BenchWorker(site, Failing, retry_stopped_seconds=1.0, fan_out=True, fan_out_fallback=False)
        await asyncio.sleep(60)
        (stopped,) = worker.seen(ShardStopped)
        assert stopped.tried_again_every_seconds == REFUSED_SECONDS
        assert {failed.retry_in_seconds for failed in worker.seen(ProcessorFailed) if failed.is_stopped} == {5.5}
        assert not worker.seen(ServiceTrouble)
        Failing.fails = False
        await asyncio.sleep(6)
        assert site.payloads() == put
        await worker.drain()

    run(story())


def test_the_last_batch_of_a_shard_may_stand_still_as_well():
    async def story() -> None:
        site = Site()
        put = site.put(10)
        site.split()
        worker = BenchWorker(site, Failing)
        await asyncio.sleep(300)
        assert not site.delivered, "the children wait"
        assert not (await site.row()).is_finished
        Failing.fails = False
        more = site.put(10)
        await asyncio.sleep(100)
        assert sorted(map(int, site.payloads())) == sorted(map(int, put + more))
        assert site.payloads()[:10] == put
        assert (await site.row()).is_finished
        await worker.drain()

    run(story())


def test_it_is_let_go_of_at_once():
    async def story() -> None:
        site = Site()
        put = site.put(10)
        worker = BenchWorker(site, Failing)
        await asyncio.sleep(100)
        began = asyncio.get_running_loop().time()
        await worker.drain()
        assert asyncio.get_running_loop().time() - began < 1
        assert worker.calls[-1] == "shutdown_requested"
        assert not worker.seen(LeaseWasLost)
        Failing.fails = False
        successor = BenchWorker(site, worker_id="w2")
        await asyncio.sleep(10)
        assert site.payloads() == put
        await successor.drain()
        assert SHARD_0 in {shard for _, shard, _, _ in site.delivered}

    run(story())


# -- what may come at the very moment ------------------------------------------------------------------------------


@pytest.mark.parametrize("is_stream_down", [False, True])
def test_a_stop_that_is_heard_right_after_the_call_that_raised_is_no_lost_one(is_stream_down: bool):
    calls: list[str] = []

    class Interrupted(Recording):
        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            calls.append(self.context.shard_id)
            if len(calls) == 5:
                asyncio.get_running_loop().call_soon(stop)
            raise ValueError

    def stop() -> None:
        (consumer,) = workers[0].data_plane._consumers.values()
        consumer.stop(Ending.LET_GO)
        if is_stream_down:
            down = Refused(ServiceUnavailable("503"))
            workers[0].stream.faults += [Fault(effect=down, operation="open"), Fault(effect=down, operation="read")]

    workers: list[BenchWorker] = []

    async def story() -> None:
        site = Site()
        site.put(1)
        workers.append(BenchWorker(site, Interrupted))
        await asyncio.sleep(15)
        assert "shutdown_requested" in workers[0].calls
        workers[0].stream.faults.clear()
        await workers[0].drain()

    run(story())


def test_no_row_says_that_nothing_is_missed_while_a_batch_is_not_done():
    class Slow(Failing):
        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            if Failing.fails:
                await asyncio.sleep(3)  # the reader is at the tip meanwhile
                asyncio.get_running_loop().now += 1.0  # type: ignore[attr-defined]  # a loop that is busy
            await super().process_records(records, checkpointer)

    async def story() -> None:
        site = Site()
        Failing.fails = False
        site.put(1)
        worker = BenchWorker(site, Slow)
        await asyncio.sleep(8)
        Failing.fails = True
        site.put(1)
        arrived_ms = loop_clock_ms()
        for _ in range(1800):
            await asyncio.sleep(1)
            assert ((await site.row()).caught_up_at_ms or 0) <= arrived_ms
        await worker.drain()

    run(story())


def test_no_row_says_so_in_the_midst_of_a_page():
    class Halfway(Recording):
        checkpointing = "manual"

        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            await checkpointer.checkpoint(records[-1])
            await asyncio.sleep(60)

    async def story() -> None:
        site = Site()
        site.put_data(packed([UserRecord("k", b"x") for _ in range(BATCH_RECORDS_MAX + 10)]))
        worker = BenchWorker(site, Halfway)
        await asyncio.sleep(50)
        row = await site.row()
        assert row.checkpoint.sub_sequence_number == BATCH_RECORDS_MAX - 1
        assert row.caught_up_at_ms is None
        await asyncio.sleep(100)
        assert (await site.row()).caught_up_at_ms is not None
        await worker.drain()

    run(story())


# -- manual checkpoints --------------------------------------------------------------------------------------------


class Manual(Recording):
    """Raises; keeps what it was given, for somebody else to finish."""

    checkpointing = "manual"
    given: ClassVar[list[tuple[RecordBatch, Checkpointer]]] = []

    async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        Manual.given.append((records, checkpointer))
        raise ValueError

    async def shutdown_requested(self, checkpointer: Checkpointer) -> None:
        await checkpointer.checkpoint()


@pytest.mark.parametrize("count", [2, 3])
def test_what_is_finished_elsewhere_while_the_shard_stands_still_can_be_checkpointed(count: int):
    async def story() -> None:
        Manual.given.clear()
        site = Site()
        put = site.put(3, key="k")
        worker = BenchWorker(site, Manual)
        await asyncio.sleep(30)
        records, checkpointer = Manual.given[-1]
        await checkpointer.checkpoint(records[count - 1])
        assert (await site.row()).checkpoint == Checkpoint.at(records[count - 1])
        put += site.put(2, key="k")
        worker.events.clear()
        Manual.given.clear()
        await asyncio.sleep(60)
        assert [record.data.decode() for record in Manual.given[0][0]] == put[count:]
        assert worker.seen(BatchDelivered)[0].attempt == (1 if count == 3 else 6), "another batch is another count"
        await worker.drain()

    run(story())


@pytest.mark.parametrize("seconds", [2, 30])
def test_a_checkpoint_on_the_way_out_covers_no_batch_that_raised(seconds: int):
    async def story() -> None:
        site = Site()
        put = site.put(3)
        worker = BenchWorker(site, Manual)
        await asyncio.sleep(seconds)
        await worker.drain()
        assert not (await site.row()).checkpoint.is_number
        successor = BenchWorker(site, worker_id="w2")
        await asyncio.sleep(10)
        assert site.payloads() == put
        await successor.drain()

    run(story())


def test_a_batch_that_was_checkpointed_to_its_end_does_not_stand_still():
    class Late(Recording):
        checkpointing = "manual"

        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            await super().process_records(records, checkpointer)
            if len(site_of[0].delivered) == 5:
                await checkpointer.checkpoint(records[-1])
            if len(site_of[0].delivered) <= 5:
                raise ValueError
            await checkpointer.checkpoint()

    site_of: list[Site] = []

    async def story() -> None:
        site = Site()
        site_of.append(site)
        site.put(1)
        worker = BenchWorker(site, Late)
        await asyncio.sleep(20)
        site.put(1)
        await asyncio.sleep(10)
        assert [event.attempt for event in worker.seen(BatchDelivered)] == [1, 2, 3, 4, 5, 1]
        assert len(worker.seen(BatchDone)) == 2
        await worker.drain()

    run(story())


def test_what_is_wrong_with_a_record_is_told_once_and_what_flows_is_counted_once():
    async def story() -> None:
        site = Site()
        site.put_data(packed([UserRecord("k", b"x")])[:-1] + b"y")
        worker = BenchWorker(site, Failing, checkpoint_interval_seconds=1.0)
        await asyncio.sleep(600)
        assert len(worker.seen(MalformedAggregate)) == 1
        (consumer,) = worker.data_plane._consumers.values()
        assert consumer._checkpointer is not None
        assert consumer._checkpointer._size_bytes < 100
        await worker.drain()

    run(story())


def test_what_is_dropped_is_told_once_however_often_it_is_read():
    async def story() -> None:
        site = Site(shards=2)
        foreign, own = UserRecord("k", b"foreign", str(2**127)), UserRecord("k", b"own", "0")
        site.put_data(packed([foreign, own]), key="a")  # of shard 0
        worker = BenchWorker(site, Failing, foreign_user_records="drop")
        await asyncio.sleep(600)
        assert {stopped.shard_id for stopped in worker.seen(ShardStopped)} == {SHARD_0}
        (dropped,) = worker.seen(ForeignRecordsDropped)
        assert (dropped.shard_id, dropped.records) == (SHARD_0, 1)
        await worker.drain()

    run(story())
