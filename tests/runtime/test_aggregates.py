"""KPL aggregates on their way through the worker."""

import asyncio
import hashlib

from kcl_py.core.batch import RecordBatch
from kcl_py.core.checkpoint import Checkpoint
from kcl_py.core.record import Record
from kcl_py.events import ForeignRecordsDropped, MalformedAggregate, ProcessorFailed
from kcl_py.processor import Checkpointer
from kcl_py.runtime.data.batches import BATCH_RECORDS_MAX
from tests.core.kpl_aggregator import UserRecord, packed
from tests.runtime.bench import SHARD_0, BenchWorker, Recording, Site
from tests.virtual_time import run


def aggregate(*payloads: str) -> bytes:
    return packed([UserRecord("k", payload.encode()) for payload in payloads])


def test_user_records_are_delivered_and_a_checkpoint_inside_an_aggregate_resumes_inside_it():
    class Halfway(Recording):
        checkpointing = "manual"

        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            await super().process_records(records, checkpointer)
            await checkpointer.checkpoint(records[5])

    async def story():
        site = Site()
        site.put_data(b"plain")
        site.put_data(aggregate(*(f"a{i}" for i in range(8))))
        site.put_data(aggregate("b0", "b1"))
        expected = ["plain", *(f"a{i}" for i in range(8)), "b0", "b1"]
        first = BenchWorker(site, Halfway)
        await asyncio.sleep(5)
        assert site.payloads() == expected
        await first.drain()
        row = await site.memory.lease(SHARD_0)
        assert row is not None
        assert row.checkpoint.sub_sequence_number == 4
        site.delivered.clear()
        second = BenchWorker(site)
        await asyncio.sleep(5)
        assert site.payloads() == expected[6:]
        await second.drain()

    run(story())


def test_a_malformed_aggregate_is_delivered_raw_flagged_and_told_of():
    raw: list[Record] = []

    class Keeping(Recording):
        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            raw.extend(records)

    async def story():
        site = Site()
        broken = aggregate("a", "b")[:-1] + b"x"
        site.put_data(broken)
        site.put_data(b"after")
        worker = BenchWorker(site, Keeping)
        await asyncio.sleep(5)
        assert [record.data for record in raw] == [broken, b"after"]
        assert [record.malformed_aggregate for record in raw] == [True, False]
        (event,) = worker.seen(MalformedAggregate)
        assert event.reason
        await worker.drain()

    run(story())


LOWER, UPPER = "0", str(2**127)  # explicit hash keys of the two shards of a stream
BEFORE_A_RESHARD = [
    UserRecord("k", b"upper first", UPPER),
    UserRecord("k", b"lower", LOWER),
    UserRecord("k", b"upper between", UPPER),
    UserRecord("k", b"lower again", LOWER),
    UserRecord("k", b"upper last", UPPER),
]


def delivered_by_the_lower_shard(policy: str) -> tuple[list[tuple[bytes, bool]], list[ForeignRecordsDropped]]:
    """What a worker delivers of such an aggregate and one that is all foreign, and what it says to have dropped."""
    got: list[tuple[bytes, bool]] = []

    class Keeping(Recording):
        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            assert len(records), "a batch of nothing"
            got.extend((record.data, record.outside_hash_range) for record in records)

    async def story() -> list[ForeignRecordsDropped]:
        site = Site(shards=2)
        site.put_data(b"plain", LOWER_KEY)
        site.put_data(packed(BEFORE_A_RESHARD), LOWER_KEY)
        await asyncio.sleep(1)
        worker = BenchWorker(site, Keeping, foreign_user_records=policy)
        await asyncio.sleep(5)
        site.put_data(packed([UserRecord("k", b"all foreign", UPPER)]), LOWER_KEY)
        await asyncio.sleep(5)
        await worker.drain()
        assert worker.seen(ProcessorFailed) == []
        return worker.seen(ForeignRecordsDropped)

    return got, run(story())


LOWER_KEY = next(key for key in map(str, range(9)) if hashlib.md5(key.encode()).digest()[0] < 0x80)


def test_user_records_of_another_shard_are_delivered_and_flagged():
    got, dropped = delivered_by_the_lower_shard("deliver")
    assert got == [
        (b"plain", False),
        (b"upper first", True),
        (b"lower", False),
        (b"upper between", True),
        (b"lower again", False),
        (b"upper last", True),
        (b"all foreign", True),
    ]
    assert dropped == []


def test_those_that_are_dropped_on_request_are_a_gap_that_is_told():
    got, dropped = delivered_by_the_lower_shard("drop")
    assert got == [(b"plain", False), (b"lower", False), (b"lower again", False)]
    assert [event.records for event in dropped] == [3, 1]
    assert (dropped[0].first[-2:], dropped[0].last[-2:]) == ("/0", "/4")
    assert all(event.level == "warning" for event in dropped)


def test_a_huge_aggregate_comes_in_batches_and_every_one_of_them_can_be_checkpointed():
    sizes: list[int] = []
    lasts: list[Checkpoint] = []

    class Counting(Recording):
        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            sizes.append(len(records))
            lasts.append(records.last)
            await checkpointer.checkpoint()

    async def story():
        site = Site()
        site.put_data(packed([UserRecord("k", b"") for _ in range(174_000)]))
        worker = BenchWorker(site, Counting)
        await asyncio.sleep(10)
        assert sum(sizes) == 174_000
        assert max(sizes) == BATCH_RECORDS_MAX
        assert lasts == sorted(lasts)
        await worker.drain()
        row = await site.memory.lease(SHARD_0)
        assert row is not None
        assert row.checkpoint.sub_sequence_number == 173_999

    run(story())
