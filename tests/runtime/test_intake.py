"""What a worker reads and picks up, whatever the index says, and what it waits for."""

import asyncio

import msgspec

from kcl_py.core.checkpoint import SHARD_END, TRIM_HORIZON
from kcl_py.core.lease import Lease
from kcl_py.events import OddRowFound, ShardWaiting
from kcl_py.local.faulty_lease_table import Fault
from kcl_py.runtime.mailbox import HandOver, Yours
from tests.runtime.bench import SHARD_0, SHARD_1, Site
from tests.runtime.lease_bench import BINDING, ME, RIVAL, LeaseBench
from tests.virtual_time import run

CHILD, SIBLING, MERGED = (f"shardId-{number:012}" for number in (2, 3, 2))


async def with_finished(bench: LeaseBench, owner: str | None = ME) -> None:
    bench.memory.put(msgspec.structs.replace(bench.put(owner), checkpoint=SHARD_END))


def test_a_finished_row_that_names_us_is_read_once_and_never_picked_up():
    async def story():
        bench = await LeaseBench().open()
        await with_finished(bench)
        await bench.look()
        await bench.look()
        assert bench.reads() == 1
        assert bench.told == []

    run(story())


def test_a_finished_row_that_went_and_came_back_unfinished_is_picked_up():
    async def story():
        bench = await LeaseBench().open()
        await with_finished(bench)
        await bench.look()
        bench.memory.erase(SHARD_0)
        await bench.look()
        bench.put()
        await bench.look()
        assert len(bench.heard(Yours)) == 1

    run(story())


def test_a_held_lease_that_the_index_names_is_not_read():
    async def story():
        bench = await LeaseBench().open()
        await bench.hold()
        await bench.look()
        assert bench.reads() == 0

    run(story())


def test_a_held_lease_that_the_index_does_not_name_is_read_and_handed_over():
    async def story():
        bench = await LeaseBench().open()
        lease = await bench.hold()
        await bench.memory.write(lease.offered(ME.replace("me", "other")))
        await bench.look()
        assert bench.reads() >= 1
        assert bench.heard(HandOver) == [], "nobody is there to receive it"
        assert (await bench.row()).owner == ME

    run(story())


def test_a_lost_lease_that_is_ours_again_is_found_without_the_index():
    async def story():
        bench = await LeaseBench().open()
        lease = await bench.hold()
        await bench.memory.write((await bench.row()).released())
        bench.holdings.look_at([SHARD_0])
        await asyncio.sleep(1)
        bench.holdings.closed(SHARD_0, lease.counter)
        await bench.memory.write((await bench.row()).assigned(ME))
        bench.table.faults.append(Fault(kind="stale_index", operation="lease_keys_of"))
        await bench.look()
        assert len(bench.heard(Yours)) == 2

    run(story())


def test_a_loose_row_is_read_until_it_is_gone_or_somebody_elses():
    async def story():
        for becomes in ("gone", "finished", "theirs"):
            bench = await LeaseBench().open()
            lease = await bench.hold()
            bench.holdings.closed(SHARD_0, lease.counter)
            await bench.memory.write((await bench.row()).released())
            bench.holdings.look_at([SHARD_0])
            await asyncio.sleep(1)
            assert bench.holdings.loose == {SHARD_0}
            bench.memory.erase(SHARD_0)
            if becomes == "finished":
                await with_finished(bench, owner=None)
            elif becomes == "theirs":
                bench.put(RIVAL)
            await bench.look()
            before = bench.reads()
            await bench.look()
            assert bench.holdings.loose == frozenset()
            assert bench.reads() == before
            assert not bench.is_awaiting_hand_off()

    run(story())


def test_a_hand_off_to_us_is_awaited_as_long_as_it_is_open():
    async def story():
        bench = await LeaseBench().open()
        theirs = bench.put(RIVAL)
        offered = theirs.picked_up(RIVAL, BINDING).after.offered(ME).after
        bench.memory.put(offered)
        await bench.look()
        assert bench.is_awaiting_hand_off()
        bench.memory.put(theirs)
        await bench.look()
        assert not bench.is_awaiting_hand_off()
        bench.memory.put(offered)
        await bench.look()
        bench.memory.put(theirs)
        await bench.intake.look_at_arriving(ME)
        assert not bench.is_awaiting_hand_off()
        bench.memory.put(offered)
        await bench.look()
        await bench.memory.write((await bench.row()).handed_over())
        await bench.intake.look_at_arriving(ME)
        await asyncio.sleep(1)
        assert len(bench.heard(Yours)) == 1

    run(story())


async def lost_and_offered(bench: LeaseBench) -> Lease:
    """A lease whose epoch is over here, from which a hand-off was opened all the same."""
    lease = await bench.hold()
    await bench.memory.write((await bench.row()).offered(RIVAL))
    bench.holdings._held[SHARD_0].abandon()
    return lease


def test_a_hand_off_from_an_epoch_that_is_over_is_completed_once_its_last_call_has_ended():
    async def story():
        bench = await LeaseBench().open()
        lease = await lost_and_offered(bench)
        await bench.look()
        assert (await bench.row()).checkpoint_owner == ME
        bench.holdings.closed(SHARD_0, lease.counter)
        await bench.look()
        row = await bench.row()
        assert (row.owner, row.checkpoint_owner, row.held_by) == (RIVAL, None, None)
        assert len(bench.heard(Yours)) == 1
        assert bench.holdings.loose == frozenset()

    run(story())


def test_a_hand_off_that_changes_while_it_is_completed_is_looked_at_again():
    async def story():
        bench = await LeaseBench().open()
        lease = await lost_and_offered(bench)
        bench.holdings.closed(SHARD_0, lease.counter)
        bench.table.faults.append(Fault(kind="delay", operation="write", seconds=1, times=1))
        looking = asyncio.create_task(bench.intake.look(ME))
        await asyncio.sleep(0.5)
        await bench.memory.write((await bench.row()).readdressed("other@00000003"))
        await looking
        assert bench.holdings.loose == {SHARD_0}
        await bench.look()
        assert ((await bench.row()).owner, (await bench.row()).checkpoint_owner) == ("other@00000003", None)

    run(story())


def test_a_row_that_does_not_parse_is_told_once():
    async def story():
        bench = await LeaseBench().open()
        bench.put()
        bench.memory.odd_rows[SHARD_0] = "overwritten"
        await bench.look()
        await bench.look()
        assert len(bench.seen(OddRowFound)) == 1
        assert bench.told == []

    run(story())


async def family() -> LeaseBench:
    """Shard 0 was split, shard 1 was not; the first child is ours, and no parent has a row."""
    site = Site(shards=2)
    site.split(at=2**126)
    bench = await LeaseBench(site).open()
    row = Lease(key=CHILD, checkpoint=TRIM_HORIZON, owner=ME, parent_shard_ids=(SHARD_0,))
    bench.memory.put(row)
    return bench


def test_a_parent_without_a_row_is_awaited_and_asks_for_listings():
    async def story():
        bench = await family()
        assert not bench.needs_listing()
        await bench.look()
        assert bench.told == []
        assert bench.needs_listing()
        assert [event.parents for event in bench.seen(ShardWaiting)] == [(SHARD_0,)]  # type: ignore[attr-defined]

    run(story())


def test_a_parent_that_does_not_parse_is_awaited():
    async def story():
        bench = await family()
        bench.memory.odd_rows[SHARD_0] = "overwritten"
        await bench.look()
        assert bench.told == []
        assert not bench.needs_listing()

    run(story())


def test_a_parent_without_a_row_is_not_awaited_once_a_sibling_has_begun():
    async def story():
        bench = await family()
        sibling = Lease(key=SIBLING, checkpoint=SHARD_END, parent_shard_ids=(SHARD_0,))
        bench.memory.put(sibling)
        bench.memory.odd_rows[SIBLING] = "overwritten"
        await bench.look()
        assert bench.told == []
        bench.memory.odd_rows.clear()
        await bench.look()
        await bench.look()
        assert len(bench.heard(Yours)) == 1

    run(story())


def test_both_parents_of_a_merge_are_asked_about():
    async def story():
        site = Site(shards=2)
        site.merge(SHARD_0, SHARD_1)
        bench = await LeaseBench(site).open()
        for key, checkpoint in ((SHARD_0, SHARD_END), (SHARD_1, TRIM_HORIZON)):
            bench.memory.put(Lease(key=key, checkpoint=checkpoint))
        bench.memory.put(Lease(key=MERGED, checkpoint=TRIM_HORIZON, owner=ME, parent_shard_ids=(SHARD_0, SHARD_1)))
        await bench.look()
        assert bench.told == []
        bench.memory.put(Lease(key=SHARD_1, checkpoint=SHARD_END))
        bench.gatekeeper.wake()
        await bench.look()
        assert len(bench.heard(Yours)) == 1

    run(story())


def test_who_waits_is_told_once_and_again_when_it_waits_for_something_else():
    async def story():
        bench = await family()
        for _ in range(3):
            await bench.look()
        assert len(bench.seen(ShardWaiting)) == 1
        bench.memory.put(Lease(key=SHARD_0, checkpoint=TRIM_HORIZON))
        for _ in range(3):
            await bench.look()
        assert len(bench.seen(ShardWaiting)) == 2

    run(story())


def test_a_parent_is_asked_about_ever_less_often_and_at_once_when_a_shard_has_ended():
    async def story():
        bench = await family()
        bench.memory.put(Lease(key=SHARD_0, checkpoint=TRIM_HORIZON))

        async def looks(seconds: int) -> int:
            before = bench.reads()
            for _ in range(seconds * 10):
                await bench.intake.look(ME)
                await asyncio.sleep(0.1)
            return bench.reads() - before

        assert 2 <= await looks(2) <= 4
        await looks(118)
        assert 7 <= await looks(60) <= 9
        bench.memory.put(Lease(key=SHARD_0, checkpoint=SHARD_END))
        bench.gatekeeper.wake()
        await bench.look()
        assert len(bench.heard(Yours)) == 1

    run(story())


def test_what_is_not_wanted_any_more_is_not_waited_for():
    async def story():
        bench = await family()
        await bench.look()
        bench.memory.erase(CHILD)
        await bench.look()
        assert not bench.needs_listing()
        assert bench.gatekeeper.resting == frozenset()

    run(story())
