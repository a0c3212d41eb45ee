"""How a worker leaves, step by step: the mark, the heirs, the leases, the entry, and in this order."""

import asyncio

from kcl_py.core.batch import RecordBatch
from kcl_py.core.checkpoint import TRIM_HORIZON
from kcl_py.core.lease import Change, Lease
from kcl_py.core.session import Session
from kcl_py.events import LeasePickedUp, ServiceTrouble, SessionStarted
from kcl_py.interfaces import LeaseTable
from kcl_py.local.faulty_lease_table import Fault, FaultyLeaseTable
from kcl_py.processor import Checkpointer
from kcl_py.runtime.mailbox import HandOver, Lost
from tests.runtime.bench import SHARD_0, BenchWorker, Recording, Site
from tests.runtime.fleet import joined, shares
from tests.virtual_time import run


class Stuck(Recording):
    """Has its batch in hand for longer than any grace."""

    async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        await asyncio.sleep(1000)


class EntryAtWrites(FaultyLeaseTable):
    """Notes the entry of one worker as it stands whenever a row is written."""

    key = ""

    def __init__(self, table: LeaseTable) -> None:
        super().__init__(table)
        self.entries: list[Session | None] = []

    async def write(self, change: Change) -> None:
        self.entries.append(await self.session(self.key))
        await super().write(change)


async def stuck(site: Site, grace_seconds: float) -> BenchWorker:
    worker = BenchWorker(site, Stuck, shutdown_grace_seconds=grace_seconds)
    site.put(10)
    await asyncio.sleep(5)
    return worker


async def entry_of(worker: BenchWorker, site: Site) -> Session | None:
    key = worker.seen(SessionStarted)[-1].session
    return await site.memory.session(key)


def test_the_entry_goes_after_the_last_lease():
    async def story():
        site = Site(shards=2)
        worker = await stuck(site, grace_seconds=2)
        worker.table._table = watched = EntryAtWrites(worker.table._table)
        watched.key = worker.seen(SessionStarted)[0].session
        await worker.drain()
        assert [entry is not None and entry.is_leaving for entry in watched.entries] == [True, True]
        assert await entry_of(worker, site) is None
        assert set(await shares(site)) == {""}

    run(story())


def test_what_is_assigned_to_a_worker_while_it_leaves_is_not_left_behind():
    async def story():
        site = Site()
        worker = await stuck(site, grace_seconds=3)
        draining = asyncio.create_task(worker.drain())
        await asyncio.sleep(1)
        site.memory.put(Lease(key="late", checkpoint=TRIM_HORIZON, owner=worker.seen(SessionStarted)[0].session))
        await draining
        assert (await site.row("late")).owner is None
        assert [event.shard_id for event in worker.seen(LeasePickedUp)] == [SHARD_0], "who leaves takes nothing more"

    run(story())


def test_a_table_that_shows_nothing_to_who_leaves_is_told_and_costs_an_heir_and_nothing_else():
    async def story():
        site = Site(shards=2)
        worker = await stuck(site, grace_seconds=2)
        worker.table.faults.append(Fault(kind="throttle", operation="snapshot"))
        await worker.drain()
        told = {event.operation for event in worker.seen(ServiceTrouble)}
        assert {"leave", "take a last look"} <= told
        assert worker.failure is None
        assert await entry_of(worker, site) is None
        assert set(await shares(site)) == {""}

    run(story())


def test_who_leaves_is_marked_at_once_and_leads_no_more_though_its_batch_takes_its_time():
    async def story():
        site = Site()
        worker = await stuck(site, grace_seconds=10)
        assert await site.memory.leader_lock() is not None
        draining = asyncio.create_task(worker.drain())
        await asyncio.sleep(1)
        entry = await entry_of(worker, site)
        assert entry is not None
        assert entry.is_leaving
        lock = await site.memory.leader_lock()
        assert lock is None or lock.is_released
        await asyncio.sleep(8)
        assert (await site.row()).owner == entry.key
        await draining

    run(story())


def test_leases_wait_a_moment_for_the_mark_and_no_longer():
    async def story(mark_seconds: float, wait_seconds: float, is_free: bool) -> None:
        site = Site()
        worker = BenchWorker(site)
        await asyncio.sleep(5)
        worker.table.faults.append(Fault(kind="delay", operation="write_session", seconds=mark_seconds))
        draining = asyncio.create_task(worker.drain())
        await asyncio.sleep(wait_seconds)
        assert ((await site.row()).owner is None) == is_free
        await draining
        assert (await site.row()).owner is None

    run(story(1.5, 1.0, is_free=False))
    run(story(20.0, 5.0, is_free=True))


def test_an_heir_is_named_though_the_table_is_slow_to_show_the_fleet():
    async def story():
        site = Site(shards=2)
        workers = await joined(site, "a", "b")
        workers["a"].table.faults.append(Fault(kind="delay", operation="snapshot", seconds=1.0))
        await workers["a"].drain()
        assert set(await shares(site)) == {"b"}
        await workers["b"].drain()

    run(story())


def test_a_stop_that_comes_while_a_worker_joins_again_is_heeded_once_it_has_joined():
    async def story():
        site = Site()
        worker = await stuck(site, grace_seconds=20)
        worker.table.faults.append(Fault(kind="delay", operation="write_session", seconds=4))
        await site.revoke()
        while not any(call.operation == "write_session" and call.key != worker.seen(SessionStarted)[0].session
                      for call in worker.table.calls[-3:]):  # fmt: skip
            await asyncio.sleep(0.01)
        draining = asyncio.create_task(worker.drain())
        await asyncio.sleep(12)
        assert len(worker.seen(SessionStarted)) == 2
        entry = await entry_of(worker, site)
        assert entry is not None
        assert entry.is_leaving
        await draining
        assert len(worker.seen(LeasePickedUp)) == 1
        assert await entry_of(worker, site) is None

    run(story())


def test_what_is_said_to_an_earlier_epoch_does_not_concern_the_one_that_runs():
    async def story():
        site = Site()
        worker = BenchWorker(site)
        await asyncio.sleep(5)
        token = (await site.row()).counter
        for message in (Lost(SHARD_0, token - 1), HandOver(SHARD_0, token - 1)):
            worker._mailbox.to_data_plane.put(message)
        await asyncio.sleep(5)
        put = site.put(5)
        await asyncio.sleep(5)
        assert site.payloads() == put
        assert "lease_lost" not in worker.calls
        await worker.drain()

    run(story())
