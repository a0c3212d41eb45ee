"""What goes wrong for a while costs a while: a worker goes on, or says why it cannot, and is never silent."""

import asyncio

import msgspec

from kcl_py.core import audit
from kcl_py.core.position import StartPosition
from kcl_py.core.shard import Shard
from kcl_py.errors import AccessDenied, ServiceUnavailable
from kcl_py.events import LeasePickedUp, LeaseWasLost, RecordsMissing, ServiceTrouble, WorkerReady
from kcl_py.interfaces import Page
from kcl_py.local.faults import AnswerChanged, ChildShardsDropped, Refused
from kcl_py.local.faults import Fault as StreamFault
from tests.runtime.bench import SHARD_0, BenchWorker, Site
from tests.virtual_time import run

CHILDREN = ("shardId-000000000001", "shardId-000000000002")
DENIED = Refused(AccessDenied("the IAM action"))
DOWN = Refused(ServiceUnavailable("down"))


def test_a_reader_that_dies_ends_the_worker_with_its_error():
    def broken(_page: Page) -> Page:
        raise ZeroDivisionError

    async def story():
        site = Site()
        worker = BenchWorker(site, checkpoint_interval_seconds=3_600)
        put = site.put(10)
        await asyncio.sleep(5)
        worker.stream.faults.append(StreamFault(effect=AnswerChanged(broken), operation="read", times=1))
        error = await asyncio.wait_for(worker.data_plane.wait_for_failure(), 20)
        assert isinstance(error, ZeroDivisionError)
        await worker.drain(fails=True)
        assert (await site.row()).owner is None
        successor = BenchWorker(site)
        await asyncio.sleep(5)
        assert site.payloads() == put, "what was done is not done again"
        await successor.drain()

    run(story())


def test_beats_that_are_denied_for_ten_minutes_are_trouble_and_no_end():
    async def story():
        site = Site()
        worker = BenchWorker(site)
        put = site.put(10)
        await asyncio.sleep(8)
        worker.table.denies_beats = True
        await asyncio.sleep(60)
        put += site.put(10)
        await asyncio.sleep(540)
        assert site.payloads() == put[:10]
        assert [event for event in worker.seen(ServiceTrouble) if event.operation == "beat"]
        worker.table.denies_beats = False
        await asyncio.sleep(30)
        assert site.payloads() == put
        assert worker.failure is None
        await worker.drain()

    run(story())


def test_entries_that_may_not_be_deleted_do_not_keep_free_leases_from_being_picked_up():
    async def story():
        site = Site()
        dead = BenchWorker(site, worker_id="dead")
        await asyncio.sleep(2)
        await dead.crash()
        worker = BenchWorker(site)
        worker.table.denies_deletions = True
        await asyncio.sleep(830)
        assert worker.seen(LeasePickedUp)
        assert [event for event in worker.seen(ServiceTrouble) if event.operation == "delete a revoked entry"]
        site.split()
        put = site.put(10)
        await asyncio.sleep(120)
        assert sorted(site.payloads(), key=int) == put
        worker.table.denies_deletions = False
        await worker.drain()

    run(story())


def test_a_permission_that_is_gone_while_a_shard_is_picked_up_again_is_waited_for():
    async def story():
        site = Site(shards=2)
        worker = BenchWorker(site)
        put = site.put(10)
        await asyncio.sleep(8)
        worker.stream.faults += [
            StreamFault(effect=DENIED, operation="read"),
            StreamFault(effect=DENIED, operation="open"),
        ]
        put += site.put(10)
        await asyncio.sleep(5)
        await site.revoke()
        await asyncio.sleep(60)
        assert len(worker.seen(LeasePickedUp)) == 4
        assert worker.data_plane.failure is None
        worker.stream.faults.clear()
        await asyncio.sleep(30)
        assert sorted(site.payloads(), key=int) == put
        await worker.drain()

    run(story())


def test_a_lease_that_is_lost_while_its_trimmed_shard_is_ended_costs_that_shard_alone():
    async def story():
        site = Site(shards=2)
        first = BenchWorker(site, worker_id="first")
        await asyncio.sleep(2)
        await first.drain()
        site.put(10)
        site.split(at=2**126)
        await asyncio.sleep(26 * 3600)
        put = site.put(10)
        worker = BenchWorker(site)
        holdings = worker.keeper._holdings
        end_trimmed = holdings.end_trimmed
        is_taken = asyncio.Event()

        async def taken_by_a_rival_and_ended() -> None:
            trimmed = {lease.key for lease in audit.trimmed(worker.keeper._discovery.lineage(holdings.leases))}
            if SHARD_0 in trimmed and holdings._held[SHARD_0].is_shard_missing and not is_taken.is_set():
                row = await site.row()
                theirs = msgspec.structs.replace(row, owner="rival@00000000", held_by="rival@00000000")
                site.memory.put(msgspec.structs.replace(theirs, counter=row.counter + 1))
                is_taken.set()
            await end_trimmed()

        holdings.end_trimmed = taken_by_a_rival_and_ended  # type: ignore[method-assign]
        await asyncio.wait_for(is_taken.wait(), 400)
        await asyncio.sleep(60)
        assert SHARD_0 in {event.shard_id for event in worker.seen(LeaseWasLost)}
        assert worker.failure is None
        await asyncio.sleep(60)
        assert set(site.payloads()) <= set(put)
        await worker.drain()

    run(story())


def test_records_that_were_trimmed_before_the_first_checkpoint_at_latest_are_a_published_gap():
    async def story():
        site = Site()
        first = BenchWorker(site, worker_id="first", start=StartPosition.LATEST)
        await asyncio.sleep(2)
        assert first.seen(WorkerReady)
        await first.crash()
        site.put(20)
        await asyncio.sleep(25 * 3600)
        worker = BenchWorker(site, start=StartPosition.LATEST)
        fresh = site.put(5)
        await asyncio.sleep(60)
        assert site.payloads() == fresh
        assert [gap.shard_id for gap in worker.seen(RecordsMissing)] == [SHARD_0]
        await worker.drain()

    run(story())


def test_records_that_were_trimmed_before_the_first_checkpoint_of_a_child_are_a_published_gap():
    async def story():
        site = Site()
        first = BenchWorker(site, worker_id="first")
        site.put(5)
        await asyncio.sleep(12)
        first.stream.faults += [StreamFault(effect=DOWN, operation="read", shard_id=child) for child in CHILDREN]
        site.split()
        await asyncio.sleep(20)
        assert not (await site.row(CHILDREN[0])).checkpoint.is_number
        await first.crash()
        site.put(20)
        await asyncio.sleep(25 * 3600)
        worker = BenchWorker(site)
        fresh = site.put(5)
        await asyncio.sleep(60)
        assert sorted(site.payloads("w1"), key=int) == fresh
        assert {gap.shard_id for gap in worker.seen(RecordsMissing)} == set(CHILDREN)
        await worker.drain()

    run(story())


def test_a_closed_shard_whose_children_nobody_ever_names_ends_all_the_same():
    def without_children(listing: tuple[Shard, ...]) -> tuple[Shard, ...]:
        return tuple(shard for shard in listing if SHARD_0 not in shard.parent_shard_ids)

    async def story():
        site = Site(shards=2)
        worker = BenchWorker(site)
        await asyncio.sleep(2)
        put = site.put(10)
        site.split(at=2**126)
        worker.stream.faults += [
            StreamFault(effect=ChildShardsDropped(), operation="read"),
            StreamFault(effect=AnswerChanged(without_children), operation="list_shards"),
        ]
        await asyncio.sleep(600)
        assert (await site.row()).is_finished
        assert sorted(site.payloads(), key=int) == put
        await worker.drain()

    run(story())


def test_an_end_that_names_no_children_is_believed_when_it_is_said_twice():
    """An open shard is said to end, and closes before anybody looks: what was put until then would be lost."""

    async def story():
        site = Site()
        worker = BenchWorker(site)
        await asyncio.sleep(2)
        put = site.put(5)

        def ended(page: Page) -> Page:
            put.extend(site.put(10))
            site.split(at=2**126)
            return msgspec.structs.replace(page, next_iterator=None, child_shards=())

        worker.stream.faults.append(StreamFault(effect=AnswerChanged(ended), operation="read", times=1))
        await asyncio.sleep(60)
        assert (await site.row()).is_finished
        assert sorted(site.payloads(), key=int) == put
        await worker.drain()

    run(story())


def test_an_epoch_that_is_lost_while_it_waits_for_a_listing_leaves_no_errand_and_no_bytes_behind():
    async def story():
        site = Site()
        worker = BenchWorker(site)
        await asyncio.sleep(2)
        put = site.put(5)
        worker.stream.faults += [
            StreamFault(effect=ChildShardsDropped(), operation="read"),
            StreamFault(effect=DOWN, operation="list_shards"),
        ]
        site.split()
        await asyncio.sleep(5)
        for _ in range(10):
            await site.revoke()
            await asyncio.sleep(20)
        assert len(worker.seen(LeaseWasLost)) == 10
        assert len(worker.keeper._errands) <= 3
        worker.stream.faults.clear()
        await asyncio.sleep(100)
        assert sorted(set(site.payloads()), key=int) == put
        assert worker.budget.used <= 2 << 20
        await worker.drain()

    run(story())


def test_where_a_parent_was_trimmed_unread_what_its_open_child_lost_is_told_as_well():
    async def story():
        site = Site()
        first = BenchWorker(site)
        await asyncio.sleep(5)
        await first.crash()
        site.split()
        site.put(10)  # into the children
        await asyncio.sleep(25 * 3600)
        second = BenchWorker(site, worker_id="second")
        await asyncio.sleep(200)
        told = {event.shard_id for event in second.seen(RecordsMissing)}
        children = {row.key for row in (await site.memory.snapshot()).leases} - {SHARD_0}
        assert len(children) == 2
        assert told == {SHARD_0, *children}
        await second.drain()

    run(story())
