"""Whose table is this, and may we use it?"""

import asyncio

import msgspec
import pytest

from kcl_py.core.checkpoint import AT_TIMESTAMP, LATEST, SHARD_END, TRIM_HORIZON, Checkpoint
from kcl_py.core.lease import Binding, Lease
from kcl_py.core.shard import HashRange
from kcl_py.core.table import TableKind
from kcl_py.errors import TableRefused
from kcl_py.events import SessionStarted, TableCreated, TableTakenOver
from kcl_py.local.doors import LocalStream
from kcl_py.local.faulty_lease_table import Fault
from tests.runtime.bench import SHARD_0, SHARD_1, STREAM, BenchWorker, Site
from tests.virtual_time import run


async def java_table(site: Site, **values: object) -> None:
    """Rows as Java KCL 3.1 writes them beside its legacy tables."""
    await site.memory.prepare()
    site.memory.legacy_tables = ("app-CoordinatorState", "app-WorkerMetricStats")
    for shard in await LocalStream(site.model, STREAM).list_shards():
        row = Lease(key=shard.shard_id, owner="w1", counter=7, checkpoint=TRIM_HORIZON, hash_range=shard.hash_range)
        site.memory.put(msgspec.structs.replace(row, **values))


async def binding_of(site: Site) -> Binding:
    description = await LocalStream(site.model, STREAM).describe()
    return Binding(description.incarnation, "app", await site.memory.prepare())


def test_a_java_table_is_refused_and_not_touched():
    async def story():
        site = Site()
        await java_table(site)
        before = await site.memory.snapshot()
        assert before.kind is TableKind.LEGACY_3_X
        worker = BenchWorker(site)
        await asyncio.sleep(60)
        assert isinstance(worker.failure, TableRefused)
        assert "--take-over" in str(worker.failure)
        assert await site.memory.snapshot() == before
        await worker.crash()

    run(story())


def test_with_take_over_a_worker_resumes_at_the_checkpoints_once_java_is_silent():
    async def story():
        site = Site(shards=2)
        put = site.put(20)
        first = BenchWorker(site)
        await asyncio.sleep(10)
        await first.drain()
        seen = {lease.key: lease.checkpoint for lease in (await site.memory.snapshot()).leases}
        site.memory.drop()
        await java_table(site)
        for key, checkpoint in seen.items():
            row = await site.memory.lease(key)
            assert row is not None
            site.memory.put(msgspec.structs.replace(row, checkpoint=checkpoint))
        put = site.put(20)
        site.delivered.clear()
        worker = BenchWorker(site, take_over=True)
        await asyncio.sleep(29)
        assert not site.delivered, "three failover times of silence come first"
        await asyncio.sleep(20)
        assert sorted(site.payloads(), key=int) == put
        assert len(worker.seen(TableTakenOver)) == 1
        await worker.drain()
        assert (await site.memory.snapshot()).kind is TableKind.NATIVE
        again = BenchWorker(site)
        await asyncio.sleep(5)
        assert again.failure is None
        await again.drain()

    run(story())


def test_take_over_is_refused_as_long_as_a_java_worker_renews():
    async def story():
        site = Site()
        await java_table(site)
        worker = BenchWorker(site, take_over=True)
        await asyncio.sleep(10)
        row = await site.memory.lease(SHARD_0)
        assert row is not None
        renewed = msgspec.structs.replace(row, counter=row.counter + 1)
        site.memory.put(renewed)
        await asyncio.sleep(30)
        assert isinstance(worker.failure, TableRefused)
        assert "in use" in str(worker.failure)
        assert await site.memory.lease(SHARD_0) == renewed
        await worker.crash()

    run(story())


@pytest.mark.parametrize(("sentinel", "expected"), [(LATEST, 0), (TRIM_HORIZON, 5), (AT_TIMESTAMP, 5)])
def test_a_java_row_without_a_checkpoint_begins_where_its_sentinel_says(sentinel, expected):
    async def story():
        site = Site()
        site.put(5)
        await asyncio.sleep(60)
        await java_table(site, checkpoint=sentinel, owner=None)
        worker = BenchWorker(site, take_over=True)
        await asyncio.sleep(60)
        fresh = site.put(3)
        await asyncio.sleep(10)
        assert len(site.payloads()) == expected + 3
        assert site.payloads()[-3:] == fresh
        await worker.drain()

    run(story())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stream": "arn:aws:kinesis:us-east-1:123456789012:stream/other@1"}, "belongs to stream"),
        ({"application": "another"}, "belongs to application another"),
        ({"table_id": "another-id"}, "--accept-restored-table"),
    ],
)
def test_a_table_of_another_stream_application_or_time_is_refused_and_not_touched(change, words):
    async def story():
        site = Site()
        ours = await binding_of(site)
        site.memory.put(
            Lease(
                key=SHARD_0,
                checkpoint=TRIM_HORIZON,
                hash_range=HashRange(0, 2**128 - 1),
                binding=msgspec.structs.replace(ours, **change),
            )
        )
        before = await site.memory.snapshot()
        worker = BenchWorker(site)
        await asyncio.sleep(10)
        assert isinstance(worker.failure, TableRefused)
        assert words in str(worker.failure)
        assert await site.memory.snapshot() == before
        await worker.crash()

    run(story())


def test_a_restored_table_is_accepted_when_told_so_and_is_ours_from_then_on():
    async def story():
        site = Site()
        first = BenchWorker(site)
        put = site.put(10)
        await asyncio.sleep(10)
        await first.drain()
        rows = (await site.memory.snapshot()).leases
        site.memory.drop()
        await site.memory.prepare()
        for row in rows:
            site.memory.put(row)
        refused = BenchWorker(site)
        await asyncio.sleep(5)
        assert isinstance(refused.failure, TableRefused)
        await refused.crash()
        for is_told in (True, False):
            worker = BenchWorker(site, accept_restored_table=is_told)
            put += site.put(5)
            await asyncio.sleep(10)
            assert worker.failure is None
            await worker.drain()
        assert site.payloads() == put

    run(story())


def test_a_checkpoint_from_before_its_shard_began_is_of_another_stream():
    async def story():
        site = Site()
        await java_table(site, checkpoint=Checkpoint("49"), owner=None)
        worker = BenchWorker(site, take_over=True)
        await asyncio.sleep(60)
        assert isinstance(worker.failure, TableRefused)
        assert "another stream" in str(worker.failure)
        await worker.crash()

    run(story())


def test_an_empty_table_is_a_cold_start_that_is_told():
    async def story():
        site = Site(shards=2)
        worker = BenchWorker(site)
        await asyncio.sleep(3)
        assert len(worker.seen(TableCreated)) == 1
        rows = (await site.memory.snapshot()).leases
        assert {row.key for row in rows} == {SHARD_0, SHARD_1}
        assert {row.binding for row in rows} == {await binding_of(site)}
        await worker.drain()

    run(story())


def test_finished_rows_of_a_java_table_are_adopted_too_and_never_consumed_again():
    async def story():
        site = Site()
        site.put(5)
        site.split(at=2**126)
        await java_table(site)
        for row in (await site.memory.snapshot()).leases:
            if row.key == SHARD_0:
                children = ("shardId-000000000001", "shardId-000000000002")
                site.memory.put(msgspec.structs.replace(row, checkpoint=SHARD_END, child_shard_ids=children))
            else:
                site.memory.put(msgspec.structs.replace(row, parent_shard_ids=(SHARD_0,)))
        fresh = site.put(5)
        worker = BenchWorker(site, take_over=True)
        await asyncio.sleep(60)
        assert sorted(site.payloads(), key=int) == fresh
        assert (await site.memory.snapshot()).kind is TableKind.NATIVE
        await worker.drain()

    run(story())


def test_a_row_that_no_listing_explains_delays_a_start_and_never_prevents_it():
    async def story():
        site = Site()
        ours = await binding_of(site)
        whole = HashRange(0, 2**128 - 1)
        for key in (SHARD_0, "shardId-000000000099"):
            site.memory.put(Lease(key=key, checkpoint=TRIM_HORIZON, hash_range=whole, binding=ours))
        put = site.put(5)
        worker = BenchWorker(site)
        await asyncio.sleep(90)
        assert site.payloads() == put
        assert worker.failure is None
        await worker.drain()

    run(story())


def test_a_table_that_is_restored_under_a_running_worker_stops_it():
    async def story():
        site = Site()
        site.put(5)
        worker = BenchWorker(site)
        await asyncio.sleep(10)
        rows = (await site.memory.snapshot()).leases
        site.memory.drop()
        await site.memory.prepare()
        for row in rows:
            site.memory.put(row)
        await asyncio.sleep(15)
        assert isinstance(worker.failure, TableRefused)
        assert "restored" in str(worker.failure)
        assert (await site.memory.snapshot()).leases == rows
        await worker.crash()

    run(story())


def test_a_table_that_is_restored_before_a_worker_could_join_is_refused():
    async def story():
        site = Site()
        first = BenchWorker(site)
        await asyncio.sleep(10)
        await first.drain()
        rows = (await site.memory.snapshot()).leases
        late = BenchWorker(site)
        late.table.faults.append(Fault(kind="throttle", operation="write_session", times=9))
        await asyncio.sleep(1)
        assert not late.seen(SessionStarted)
        site.memory.drop()
        await site.memory.prepare()
        for row in rows:
            site.memory.put(row)
        await asyncio.sleep(60)
        assert isinstance(late.failure, TableRefused)
        assert (await site.memory.snapshot()).leases == rows
        await late.crash()

    run(story())
