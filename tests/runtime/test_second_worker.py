"""Two workers, one table: what a standby may do on the strength of what it saw a moment ago."""

import asyncio

from kcl_py.core.position import StartPosition
from kcl_py.core.session import Session
from kcl_py.errors import ServiceUnavailable
from kcl_py.events import LeasePickedUp, LeaseWasLost, SessionRevoked, WorkerReady
from kcl_py.local.faults import Delayed, Refused
from kcl_py.local.faults import Fault as StreamFault
from kcl_py.local.faulty_lease_table import Fault
from kcl_py.local.memory_lease_table import MemoryLeaseTable
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.fleet.observer import Observer
from tests.runtime.bench import SHARD_0, BenchWorker, Site
from tests.virtual_time import run

READS_FAIL = Refused(ServiceUnavailable("down"))


def test_latest_loses_nothing_to_a_standby_that_looked_before_the_first_row_and_acts_after_a_split():
    async def story():
        site = Site()
        late = BenchWorker(site, worker_id="late", start=StartPosition.LATEST)
        late.table.faults.append(Fault(kind="delay", operation="write_session", nth=1, seconds=40))
        await asyncio.sleep(0.5)
        worker = BenchWorker(site, start=StartPosition.LATEST)
        await asyncio.sleep(1)
        assert worker.seen(WorkerReady)
        worker.stream.faults.append(StreamFault(effect=READS_FAIL, operation="read"))
        put = site.put(3)
        site.split()
        put += site.put(20)
        await asyncio.sleep(60)
        assert late.seen(WorkerReady)
        worker.stream.faults.clear()
        await asyncio.sleep(60)
        assert sorted(site.payloads(), key=int) == put
        await worker.drain()
        await late.drain()

    run(story())


def test_latest_loses_nothing_to_a_standby_whose_start_is_slow_at_every_step():
    async def story():
        site = Site()
        late = BenchWorker(site, worker_id="late", start=StartPosition.LATEST)
        late.table.faults.append(Fault(kind="delay", operation="write_session", nth=1, seconds=1.2))
        late.stream.faults.append(StreamFault(effect=Delayed(3.0), operation="list_shards", first=2, times=1))
        await asyncio.sleep(0.5)
        worker = BenchWorker(site, start=StartPosition.LATEST)
        await asyncio.sleep(0.2)
        assert worker.seen(WorkerReady)
        put = site.put(20)
        site.split()
        put += site.put(20)
        await asyncio.sleep(60)
        assert sorted(site.payloads(), key=int) == put
        await worker.drain()
        await late.drain()

    run(story())


async def row_deleted_before_the_audit_of(leader: BenchWorker, site: Site) -> None:
    """Return once the leader has audited a table in which the row of a held lease was just deleted."""
    rounds = leader.keeper._rounds
    audit = rounds._audit_once
    is_over = asyncio.Event()

    async def delete_and_audit() -> None:
        site.memory.erase(SHARD_0)
        await leader.keeper._coordinator.observer.look_at_table()
        await audit()
        is_over.set()

    rounds._audit_once = delete_and_audit  # type: ignore[method-assign]
    await is_over.wait()
    rounds._audit_once = audit  # type: ignore[method-assign]


def test_a_row_that_vanishes_before_an_audit_is_written_again_by_its_holder():
    async def story():
        site = Site(shards=2)
        holder = BenchWorker(site)
        await asyncio.sleep(2)
        standby = BenchWorker(site, worker_id="standby")
        put = site.put(10)
        await asyncio.sleep(20)
        holder.stream.faults.append(StreamFault(effect=READS_FAIL, operation="read"))
        put += site.put(30)
        await row_deleted_before_the_audit_of(holder, site)
        holder.stream.faults.clear()
        await asyncio.sleep(30)
        assert sorted(site.payloads(), key=int) == put
        assert not holder.seen(LeaseWasLost)
        await holder.drain()
        await standby.drain()

    run(story())


def test_a_row_that_vanishes_before_an_audit_takes_no_record_with_it_if_its_holder_dies():
    async def story():
        site = Site(shards=2)
        holder = BenchWorker(site, start=StartPosition.LATEST)
        await asyncio.sleep(2)
        standby = BenchWorker(site, worker_id="standby", start=StartPosition.LATEST)
        put = site.put(10)
        await asyncio.sleep(20)
        holder.stream.faults.append(StreamFault(effect=READS_FAIL, operation="read"))
        put += site.put(30)
        await row_deleted_before_the_audit_of(holder, site)
        await asyncio.sleep(2)
        await holder.crash()
        await asyncio.sleep(30)
        assert sorted(set(site.payloads()), key=int) == put
        await standby.drain()

    run(story())


def test_a_row_that_vanishes_while_nobody_runs_comes_back_with_tokens_that_were_never_given():
    async def story():
        site = Site(shards=2)
        first = BenchWorker(site)
        await asyncio.sleep(5)
        given = [event.fencing_token for event in first.seen(LeasePickedUp)]
        await first.crash()
        site.memory.erase((await site.row()).owner or "")  # its entry: else the row is left to it, and to two audits
        site.memory.erase(SHARD_0)
        second = BenchWorker(site, worker_id="second")
        await asyncio.sleep(30)
        tokens = {event.shard_id: event.fencing_token for event in second.seen(LeasePickedUp)}
        assert tokens[SHARD_0] > max(given)
        await second.drain()

    run(story())


def test_who_audits_never_makes_a_row_anew_of_which_it_holds_the_lease():
    """Its own write of the row may take long, and an audit knows nothing of the checkpoint."""

    async def story():
        site = Site(shards=2)
        worker = BenchWorker(site, shard_listing_interval_seconds=1)
        await asyncio.sleep(5)
        site.put(10)
        await asyncio.sleep(10)
        checkpoint = (await site.row()).checkpoint
        worker.table.faults.append(Fault(kind="throttle", operation="write"))
        site.memory.erase(SHARD_0)
        await asyncio.sleep(5)
        worker.table.faults.clear()
        await asyncio.sleep(5)
        assert (await site.row()).checkpoint == checkpoint
        await worker.drain()

    run(story())


def test_nothing_is_picked_up_under_a_session_that_ended_while_the_pick_up_waited():
    async def story():
        site = Site(shards=12)
        worker = BenchWorker(site)
        worker.table.faults.append(Fault(kind="delay", operation="write", seconds=5, times=8))
        await asyncio.sleep(1)
        ended = await site.revoke()
        await asyncio.sleep(6)
        held = worker.keeper._holdings._held
        rows = (await site.memory.snapshot()).leases
        assert not [row.key for row in rows if row.owner == ended and row.key in held and held[row.key].fencing_token]
        await asyncio.sleep(12)
        assert len(held) == 12
        assert not [row.key for row in (await site.memory.snapshot()).leases if row.owner == ended]
        await worker.drain()

    run(story())


def test_a_session_that_beat_after_the_look_that_condemns_it_is_spared():
    async def story():
        loop = asyncio.get_running_loop()
        table = MemoryLeaseTable(exists=True)
        me, other = Session(key="me@00000001"), Session(key="other@00000002")
        await table.write_session(None, me)
        await table.write_session(None, other)
        events: list[object] = []
        observer = Observer(
            table, failover_seconds=10, is_gone=lambda _: False, clock=loop.time, emit=Emitter([events.append])
        )
        for _ in range(4):
            await observer.look_at_table()
            await observer.revoke_silent(me.key)
            await asyncio.sleep(2.6)
        await table.write_session(other, other.beaten(0))
        await observer.revoke_silent(me.key)  # by what was seen before the beat, it is silent
        assert not events
        assert await table.session(other.key) == other.beaten(0)
        for _ in range(6):
            await observer.look_at_table()
            await observer.revoke_silent(me.key)
            await asyncio.sleep(2.5)
        assert [type(event) for event in events] == [SessionRevoked]

    run(story())
