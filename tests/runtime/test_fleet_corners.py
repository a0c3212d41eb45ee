"""Corners of a fleet's life that seldom meet, each of which once cost something."""

import asyncio

import pytest

from kcl_py.core.batch import RecordBatch
from kcl_py.core.checkpoint import TRIM_HORIZON
from kcl_py.errors import TableMissing
from kcl_py.events import (
    DeliveryPaused,
    DeliveryResumed,
    HandOffOpened,
    LeadershipLost,
    LeadershipTaken,
    LeaseAssigned,
    NobodyHasRoom,
    OddRowFound,
    SessionLost,
    SessionRevoked,
)
from kcl_py.local.faulty_lease_table import Fault
from kcl_py.local.memory_lease_table import MemoryLeaseTable
from kcl_py.processor import Checkpointer
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.mailbox import Lost
from tests.runtime.bench import SHARD_0, BenchWorker, Recording, Site
from tests.runtime.fleet import joined, rows, seconds_until, shares
from tests.virtual_time import run

F = 10.0


def test_an_own_entry_that_does_not_parse_ends_the_session_and_not_the_worker():
    async def story():
        site = Site(shards=2)
        worker = BenchWorker(site)
        await asyncio.sleep(5)
        key = await site.revoke()
        site.memory.erase(key)
        site.memory.odd_rows[key] = "overwritten"
        await asyncio.sleep(30)
        assert worker.failure is None
        assert len(worker.seen(SessionLost)) == 1
        assert set(await shares(site)) == {"w1"}
        await worker.drain()

    run(story())


def test_what_the_keeper_says_while_a_processor_blocks_the_loop_is_heard_before_the_next_batch():
    class Blocking(Recording):
        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            await super().process_records(records, checkpointer)
            await asyncio.sleep(1)  # the next page is read ahead
            block(self.context.fencing_token)

    worker: BenchWorker
    lost_at: list[int] = []

    def block(token: int) -> None:
        (consumer,) = worker.data_plane._consumers.values()
        if consumer._buffer._pages and not lost_at:
            worker._mailbox.to_data_plane.put(Lost(SHARD_0, token))
            lost_at.append(len(worker_site.delivered))

    worker_site: Site

    async def story():
        nonlocal worker, worker_site
        site = worker_site = Site()
        worker = BenchWorker(site, Blocking, read_limit=5)
        await asyncio.sleep(3)
        for _ in range(20):
            site.put(10)
            await asyncio.sleep(0.2)
        assert [len(site.delivered)] == lost_at
        await worker.drain()

    run(story())


def test_a_factory_that_lets_a_cancellation_out_is_tried_again():
    async def story():
        site = Site()
        made = []

        def factory() -> Recording:
            made.append(1)
            if len(made) == 1:
                raise asyncio.CancelledError
            return type("Made", (Recording,), {"site": site, "calls": []})()  # type: ignore[no-any-return]

        worker = BenchWorker(site, factory=factory)
        put = site.put(5)
        await asyncio.sleep(60)
        assert site.payloads() == put
        await worker.drain()

    run(story())


class InThreads:
    """As the real door: a call that is cancelled goes on in its thread, and may land."""

    def __init__(self, table: object, write_seconds: float) -> None:
        self._table = table
        self._write_seconds = write_seconds

    def __getattr__(self, name: str) -> object:
        async def call(*arguments: object) -> object:
            async def both() -> object:
                await asyncio.sleep(self._write_seconds if name == "write" else 0)
                return await getattr(self._table, name)(*arguments)

            task = asyncio.ensure_future(both())
            task.add_done_callback(lambda task: task.exception())
            return await asyncio.shield(task)

        return call


@pytest.mark.parametrize("wait", [0.05, 0.2, 0.5])
def test_a_pick_up_that_is_under_way_when_the_worker_stops_leaves_no_owner(wait: float):
    async def story():
        site = Site(shards=4)
        worker = BenchWorker(site)
        worker.table._table = InThreads(worker.table._table, 0.6)  # type: ignore[assignment]
        while not any(call.operation == "write" for call in worker.table.calls):
            await asyncio.sleep(0.01)
        await asyncio.sleep(wait)
        await worker.drain()
        await asyncio.sleep(3)
        assert set(await shares(site)) == {""}

    run(story())


def test_a_row_that_the_audit_makes_again_begins_above_every_token_that_was_given():
    async def story():
        site = Site(shards=2)
        worker = BenchWorker(site, shard_listing_interval_seconds=5)
        await asyncio.sleep(2)
        token = (await site.row()).counter
        await worker.crash()
        site.memory.erase(SHARD_0)
        later = BenchWorker(site, worker_id="w2", shard_listing_interval_seconds=5)
        await asyncio.sleep(60)
        row = await site.row()
        assert row.checkpoint == TRIM_HORIZON
        assert row.counter > token + 1_000_000_000
        await later.drain()

    run(story())


def test_a_lock_that_does_not_parse_is_told_once_and_the_fleet_goes_on_with_what_it_has():
    async def story():
        site = Site(shards=4)
        workers = await joined(site, "a", "b")
        site.memory.odd_rows["Leader"] = "not a lock"
        put = site.put(20)
        await asyncio.sleep(60)
        assert sorted(site.payloads(), key=int) == put
        for worker in workers.values():
            assert [event.key for event in worker.seen(OddRowFound)].count("Leader") <= 1
        del site.memory.odd_rows["Leader"]
        await asyncio.sleep(20)
        assert await site.memory.leader_lock() is not None
        for worker in workers.values():
            await worker.drain()

    run(story())


def test_one_row_that_cannot_be_written_costs_no_leadership_and_no_other_lease():
    async def story():
        site = Site(shards=6)
        workers = await joined(site, "a", "b", "c")
        stuck = next(row for row in await rows(site) if (row.owner or "").startswith("c@"))
        await workers.pop("c").crash()
        for worker in workers.values():
            worker.table.faults.append(Fault(kind="throttle", operation="write", key=stuck.key))

        async def are_others_taken() -> bool:
            return (await shares(site)).get("c") == [stuck.key]

        await seconds_until(are_others_taken, F + 5)
        before = sum(len(worker.seen(LeadershipTaken)) for worker in workers.values())
        await asyncio.sleep(300)
        assert sum(len(worker.seen(LeadershipTaken)) for worker in workers.values()) == before
        assert not any(worker.seen(LeadershipLost) for worker in workers.values())
        for worker in workers.values():
            worker.table.faults.clear()
        await asyncio.sleep(30)
        assert "c" not in await shares(site)
        for worker in workers.values():
            await worker.drain()

    run(story())


def test_a_worker_that_picks_nothing_up_is_given_less_and_less():
    async def story():
        site = Site(shards=30)
        workers = await joined(site, "a", "b", "c")
        deaf = BenchWorker(site, worker_id="deaf")
        deaf.table.faults.append(Fault(kind="throttle", operation="lease_keys_of", nth=2))
        await asyncio.sleep(2)
        deaf.table.faults[:] = [Fault(kind="throttle", operation="lease_keys_of")]
        await asyncio.sleep(1800)
        opened = [event.to for worker in workers.values() for event in worker.seen(HandOffOpened)]
        assigned = [event.to for worker in workers.values() for event in worker.seen(LeaseAssigned)]
        given = [to for to in opened + assigned if to.startswith("deaf@")]
        assert len(given) < 40
        for worker in workers.values():
            await worker.drain()
        await deaf.crash()

    run(story())


def test_entries_that_cannot_be_deleted_hold_up_no_verdict():
    async def story():
        site = Site(shards=4)
        workers = await joined(site, "a", "b")
        for number in range(200):
            key = f"old@{number:08x}"
            entry = next(iter((await site.memory.snapshot()).sessions))
            old = type(entry)(key=key, is_revoked=True)
            await site.memory.write_session(None, old)
        for worker in workers.values():
            worker.table.denies_deletions = True
            worker.table.faults.append(Fault(kind="delay", operation="write_session", seconds=0.02))
        await asyncio.sleep(700)
        await workers.pop("b").crash()

        async def is_taken() -> bool:
            return set(await shares(site)) == {"a"}

        await seconds_until(is_taken, F + 4)
        workers["a"].table.denies_deletions = False
        await workers["a"].drain()

    run(story())


def test_a_large_fleet_that_starts_at_once_on_a_slow_table_revokes_nobody():
    async def story():
        site = Site(shards=200)
        workers = [BenchWorker(site, worker_id=f"w{number}") for number in range(40)]
        for worker in workers:
            worker.table.faults.append(Fault(kind="delay", seconds=0.1))
        await asyncio.sleep(90)
        assert not [event for worker in workers for event in worker.seen(SessionRevoked)]
        assert sorted(map(len, (await shares(site)).values())) == [5] * 40
        await asyncio.gather(*(worker.drain() for worker in workers))

    run(story())


def test_shards_that_nobody_may_take_are_told_and_told_again():
    async def story():
        site = Site(shards=4)
        workers = await joined(site, "a", "b", leases_max=1)
        told = [event.leases for worker in workers.values() for event in worker.seen(NobodyHasRoom)]
        assert told == [3], "as long as the first worker was alone"
        await asyncio.sleep(120)
        later = [event.leases for worker in workers.values() for event in worker.seen(NobodyHasRoom)]
        assert later[len(told) :] == [2, 2]
        for worker in workers.values():
            await worker.drain()

    run(story())


def test_an_outage_of_the_table_is_told_once_when_delivery_pauses_and_once_when_it_goes_on():
    async def story():
        site = Site()
        worker = BenchWorker(site)
        worker.deadline._emit = Emitter([worker.events.append])
        site.put(3)
        await asyncio.sleep(3)
        worker.table.faults.append(Fault(kind="fail"))
        for _ in range(30):
            site.put(1)
            await asyncio.sleep(1)
        assert len(worker.seen(DeliveryPaused)) == 1
        assert not worker.seen(DeliveryResumed)
        worker.table.faults.clear()
        await asyncio.sleep(20)
        assert (len(worker.seen(DeliveryPaused)), len(worker.seen(DeliveryResumed))) == (1, 1)
        assert len(site.payloads()) == 33
        await worker.drain()

    run(story())


def test_a_table_that_is_deleted_while_it_is_used_ends_the_worker_with_advice():
    async def story():
        site = Site()
        worker = BenchWorker(site)
        await asyncio.sleep(3)
        site.memory.drop()
        await asyncio.sleep(5)
        assert isinstance(worker.failure, TableMissing)
        assert "deleted while it was used" in str(worker.failure)
        await worker.drain(fails=True)

    run(story())


def test_a_table_that_is_absent_and_may_not_be_created_ends_the_worker_in_its_own_words():
    async def story():
        site = Site()
        site.memory = MemoryLeaseTable(create_table=False)
        worker = BenchWorker(site)
        await asyncio.sleep(5)
        assert isinstance(worker.failure, TableMissing)
        assert "create_table is off" in str(worker.failure)
        assert "deleted" not in str(worker.failure)
        await worker.crash()

    run(story())
