"""Epochs of one worker: at most one of a shard at a time, none under an ended session, none after its end."""

import asyncio

import msgspec
import pytest

from kcl_py.core.checkpoint import TRIM_HORIZON
from kcl_py.core.session import Session
from kcl_py.errors import LeaseLost
from kcl_py.events import HandOffBegun, HandOffCalledOff, LeaseHandedOver, LeaseWasLost, RecordsMissing, ServiceTrouble
from kcl_py.local.faulty_lease_table import Fault
from kcl_py.runtime.mailbox import HandOver, LetGo, Lost, SaveCheckpoint, Yours
from tests.runtime.bench import SHARD_0, SHARD_1, Site
from tests.runtime.lease_bench import BINDING, ME, RIVAL, LeaseBench, at
from tests.virtual_time import run


def test_a_request_of_an_earlier_epoch_is_refused():
    async def story():
        bench = await LeaseBench().open()
        earlier = await bench.hold()
        bench.holdings.lose_all("a test")
        bench.holdings.closed(SHARD_0, earlier.counter)
        bench.holdings.pick_up(await bench.row(), ME)
        await asyncio.sleep(1)
        now = await bench.row()
        with pytest.raises(LeaseLost):
            await bench.ask(earlier, SaveCheckpoint(at(10)))
        assert await bench.row() == now
        await bench.ask(now, SaveCheckpoint(at(10)))

    run(story())


def test_there_is_no_room_for_a_shard_before_the_last_call_of_its_epoch_has_ended():
    async def story():
        bench = await LeaseBench().open()
        lease = await bench.hold()
        assert not bench.holdings.has_room_for(SHARD_0)
        bench.holdings.lose_all("a test")
        assert not bench.holdings.has_room_for(SHARD_0)
        bench.holdings.closed(SHARD_0, lease.counter - 1)
        assert not bench.holdings.has_room_for(SHARD_0)
        await bench.look()
        assert len(bench.heard(Yours)) == 1
        bench.holdings.closed(SHARD_0, lease.counter)
        assert bench.holdings.has_room_for(SHARD_0)
        await bench.look()
        assert len(bench.heard(Yours)) == 2

    run(story())


def test_nothing_is_picked_up_under_a_session_that_has_ended():
    async def story():
        bench = await LeaseBench().open()
        bench.me = None
        bench.holdings.pick_up(bench.put(), ME)
        await asyncio.sleep(1)
        assert (await bench.row()).held_by is None
        assert bench.told == []

    run(story())


def test_a_pick_up_that_is_under_way_is_not_begun_again_nor_looked_at():
    async def story():
        bench = await LeaseBench().open()
        bench.table.faults.append(Fault(kind="delay", operation="write", seconds=5, times=1))
        seen = bench.put()
        bench.holdings.pick_up(seen, ME)
        await asyncio.sleep(1)
        bench.holdings.pick_up(seen, ME)
        bench.holdings.look_at([SHARD_0, SHARD_1])
        assert bench.holdings.leases == ()
        assert bench.holdings.keys == {SHARD_0}
        await bench.holdings.wait_for_pick_ups(60)
        assert (await bench.row()).held_by == ME
        assert (await bench.row()).counter == 1
        assert bench.reads() == 0
        await asyncio.sleep(1)
        assert [message.lease.key for message in bench.heard(Yours)] == [SHARD_0]  # type: ignore[union-attr]

    run(story())


def test_a_pick_up_that_somebody_else_wins_or_that_is_cut_off_leaves_room():
    async def story():
        bench = await LeaseBench().open()
        seen = bench.put()
        await bench.memory.write(seen.picked_up(RIVAL, BINDING))
        bench.holdings.pick_up(seen, ME)
        await asyncio.sleep(1)
        assert bench.holdings.keys == frozenset()
        assert bench.holdings.has_room_for(SHARD_0)
        bench.table.faults.append(Fault(kind="delay", operation="write", seconds=5, times=1))
        bench.holdings.pick_up(bench.put(key=SHARD_1), ME)
        await asyncio.sleep(1)
        (task,) = bench.holdings._beginnings
        task.cancel()
        await asyncio.sleep(1)
        assert bench.holdings.keys == frozenset()
        assert bench.holdings.loose == {SHARD_0, SHARD_1}, "either may have landed"
        assert bench.seen(LeaseWasLost) == []
        assert bench.told == []

    run(story())


def test_what_was_lost_is_loose_until_it_is_ours_again_or_certainly_not():
    async def story():
        bench = await LeaseBench().open()
        lease = await bench.hold()
        assert bench.holdings.loose == frozenset()
        with pytest.raises(LeaseLost):
            await bench.memory.write((await bench.row()).released())
            await bench.ask(lease, SaveCheckpoint(at(10)))
        bench.holdings.closed(SHARD_0, lease.counter)
        assert bench.holdings.loose == {SHARD_0}
        await bench.look()
        assert bench.holdings.loose == frozenset(), "it is nobody's"
        again = await bench.hold()
        bench.holdings.lose_all("a test")
        assert bench.holdings.loose == frozenset(), "of a session that is over nothing is left"
        bench.holdings.closed(SHARD_0, again.counter)
        bench.holdings.is_missing(SHARD_0)

    run(story())


@pytest.mark.parametrize("by", ["a write", "a look"])
def test_a_lease_that_a_rival_took_is_told_to_the_data_plane_once(by):
    async def story():
        bench = await LeaseBench().open()
        lease = await bench.hold()
        await bench.memory.write((await bench.row()).picked_up(RIVAL, BINDING))
        if by == "a look":
            bench.holdings.look_at([SHARD_0])
        else:
            with pytest.raises(LeaseLost):
                await bench.ask(lease, SaveCheckpoint(at(10)))
        await asyncio.sleep(1)
        bench.holdings.look_at([SHARD_0])
        bench.holdings.lose_all("a test")
        await asyncio.sleep(1)
        assert bench.heard(Lost) == [Lost(SHARD_0, lease.counter)]
        assert len(bench.seen(LeaseWasLost)) == 1

    run(story())


def test_looks_at_one_lease_do_not_pile_up_and_do_not_end_with_the_first():
    async def story():
        bench = await LeaseBench().open()
        await bench.hold()
        bench.table.faults.append(Fault(kind="delay", operation="lease", seconds=5))
        for _ in range(3):
            bench.holdings.look_at([SHARD_0])
            await asyncio.sleep(1)
        assert bench.reads() == 1
        await asyncio.sleep(5)
        bench.holdings.look_at([SHARD_0])
        await asyncio.sleep(6)
        assert bench.reads() == 2

    run(story())


def test_a_row_that_vanished_is_made_anew_by_a_look():
    async def story():
        bench = await LeaseBench().open()
        await bench.hold()
        bench.memory.erase(SHARD_0)
        bench.holdings.look_at([SHARD_0])
        await asyncio.sleep(1)
        assert (await bench.row()).held_by == ME
        assert bench.told[1:] == []

    run(story())


async def offered(receiver: Session | None) -> LeaseBench:
    """A held lease whose row names another receiver."""
    bench = await LeaseBench().open()
    await bench.hold()
    if receiver is not None:
        await bench.memory.write_session(None, receiver)
    await bench.memory.write((await bench.row()).offered(RIVAL))
    return bench


@pytest.mark.parametrize("by", ["a write", "a look"])
def test_a_hand_off_is_begun_once_whoever_finds_it(by):
    async def story():
        bench = await offered(Session(key=RIVAL))
        lease = await bench.row()
        if by == "a look":
            bench.holdings.look_at([SHARD_0])
        else:
            await bench.ask(lease, SaveCheckpoint(at(10)))
        await asyncio.sleep(1)
        await bench.ask(lease, SaveCheckpoint(at(20)))
        await asyncio.sleep(1)
        assert bench.heard(HandOver) == [HandOver(SHARD_0, lease.counter)]
        await bench.ask(lease, LetGo(at(30)))
        await asyncio.sleep(10)
        row = await bench.row()
        assert (row.owner, row.checkpoint_owner, row.held_by, row.checkpoint) == (RIVAL, None, None, at(30))
        assert bench.holdings.keys == frozenset()
        assert bench.heard(Lost) == []
        assert len(bench.seen(HandOffBegun)) == len(bench.seen(LeaseHandedOver)) == 1

    run(story())


@pytest.mark.parametrize(
    "receiver",
    [None, Session(key=RIVAL).leaving(), Session(key=RIVAL).revoked()],
    ids=["without an entry", "leaving", "revoked"],
)
def test_a_hand_off_to_who_cannot_receive_is_called_off_and_a_later_one_is_begun(receiver):
    async def story():
        bench = await offered(receiver)
        bench.holdings.look_at([SHARD_0])
        await asyncio.sleep(1)
        row = await bench.row()
        assert (row.owner, row.checkpoint_owner, row.held_by) == (ME, None, ME)
        assert bench.heard(HandOver) == []
        assert len(bench.seen(HandOffCalledOff)) == 1
        other = Session(key="other@00000003")
        await bench.memory.write_session(None, other)
        await bench.memory.write(row.offered(other.key))
        bench.holdings.look_at([SHARD_0])
        await asyncio.sleep(1)
        assert len(bench.heard(HandOver)) == 1
        await asyncio.sleep(10)

    run(story())


def test_a_data_plane_that_does_not_finish_in_time_is_overtaken_and_told():
    async def story():
        bench = await offered(Session(key=RIVAL))
        lease = await bench.row()
        bench.holdings.look_at([SHARD_0])
        await asyncio.sleep(4)
        assert (await bench.row()).checkpoint_owner == ME
        await asyncio.sleep(2)
        assert ((await bench.row()).owner, (await bench.row()).checkpoint_owner) == (RIVAL, None)
        assert bench.heard(Lost) == [Lost(SHARD_0, lease.counter)]

    run(story())


def test_a_lease_that_is_lost_while_it_is_handed_over_is_told():
    async def story():
        bench = await offered(Session(key=RIVAL))
        lease = await bench.row()
        bench.holdings.look_at([SHARD_0])
        await asyncio.sleep(1)
        await bench.memory.write((await bench.row()).picked_up(RIVAL, BINDING))
        await asyncio.sleep(10)
        assert bench.heard(Lost) == [Lost(SHARD_0, lease.counter)]
        assert len(bench.seen(LeaseWasLost)) == 1

    run(story())


def test_a_hand_off_that_was_opened_while_the_lease_was_let_go_leaves_it_free():
    async def story():
        bench = await LeaseBench().open()
        lease = await bench.hold()
        await bench.memory.write(lease.offered(RIVAL))
        await bench.ask(lease, LetGo(at(10)))
        row = await bench.row()
        assert (row.owner, row.checkpoint_owner, row.held_by, row.checkpoint) == (None, None, None, at(10))

    run(story())


def test_a_hand_off_that_was_called_off_while_the_lease_was_let_go_leaves_it_free():
    async def story():
        bench = await offered(Session(key=RIVAL))
        lease = await bench.row()
        bench.holdings.look_at([SHARD_0])
        await asyncio.sleep(1)
        bench.memory.put(msgspec.structs.replace(lease, owner=ME, checkpoint_owner=None))
        await bench.ask(lease, LetGo(at(10)))
        await asyncio.sleep(1)
        row = await bench.row()
        assert (row.owner, row.checkpoint_owner, row.held_by, row.checkpoint) == (None, None, None, at(10))

    run(story())


def test_a_write_that_a_hand_off_crossed_is_no_trouble_and_one_that_was_throttled_is():
    async def story():
        bench = await offered(Session(key=RIVAL))
        lease = await bench.row()
        await bench.ask(lease, SaveCheckpoint(at(10)))
        assert bench.seen(ServiceTrouble) == []
        bench.table.faults.append(Fault(kind="throttle", operation="write", times=1))
        await bench.ask(lease, SaveCheckpoint(at(20)))
        assert len(bench.seen(ServiceTrouble)) == 1
        await asyncio.sleep(10)

    run(story())


def test_a_worker_that_quits_gives_up_what_it_holds_and_finds_what_it_lost():
    async def story():
        bench = await LeaseBench().open()
        await bench.hold()
        await bench.hold(SHARD_1)
        await bench.memory.write((await bench.row(SHARD_1)).picked_up(RIVAL, BINDING))
        await bench.holdings.give_up_all()
        assert (await bench.row()).owner is None
        assert (await bench.row(SHARD_1)).owner == RIVAL
        assert bench.holdings.keys == frozenset()

    run(story())


def test_a_shard_that_is_listed_no_more_is_ended_only_once_the_service_does_not_know_it_either():
    async def story():
        site = Site(shards=1)
        bench = await LeaseBench(site).open()
        lease = await bench.hold()
        site.split()
        await asyncio.sleep(25 * 3600)  # longer than the stream keeps anything
        for _ in range(2):
            await bench.discovery.list_shards()
            await asyncio.sleep(61)
        await bench.holdings.end_trimmed()
        assert not (await bench.row()).is_finished
        bench.holdings.is_missing(SHARD_0)
        await bench.holdings.end_trimmed()
        row = await bench.row()
        assert row.is_finished
        assert [(await bench.row(child)).checkpoint for child in row.child_shard_ids] == [TRIM_HORIZON] * 2
        await asyncio.sleep(1)
        assert bench.heard(Lost) == [Lost(SHARD_0, lease.counter)]
        assert len(bench.seen(RecordsMissing)) == 1

    run(story())
