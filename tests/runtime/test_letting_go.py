"""To whom a lease goes, and its shard's children, when its holder ends it, leaves, or stalls."""

import asyncio

import pytest

from kcl_py.core.lease import Lease
from kcl_py.core.session import Session
from kcl_py.core.shard import ChildShard
from kcl_py.errors import CheckpointError, LeaseLost
from kcl_py.events import LeaseGivenUp, LeaseHandedOver, LeaseRestarted
from kcl_py.local.faulty_lease_table import Fault
from kcl_py.runtime.mailbox import EndShard, LetGo, SaveCheckpoint, Stalled, Yours
from tests.runtime.bench import SHARD_0, Site
from tests.runtime.lease_bench import ME, RIVAL, LeaseBench, at
from tests.virtual_time import run

OTHER = "other@00000003"


async def ended(bench: LeaseBench, *, is_leaving: bool = False, leases_max: int | None = None) -> list[Lease]:
    """Hold a shard that is split, and end it; the rows of its children."""
    bench.site.split()
    await bench.open(leases_max)
    lease = await bench.hold()
    if is_leaving:
        bench.desk.succession = bench.succession()
    listing = await bench.discovery.list_shards()
    children = [
        ChildShard(shard_id=shard.shard_id, parent_shard_ids=(SHARD_0,), hash_range=shard.hash_range)
        for shard in listing.shards.values()
        if shard.shard_id != SHARD_0
    ]
    await bench.ask(lease, EndShard(tuple(children)))
    assert (await bench.row()).is_finished
    with pytest.raises(LeaseLost):
        await bench.ask(lease, SaveCheckpoint(at(10)))
    bench.holdings.closed(SHARD_0, lease.counter)
    return [await bench.row(child.shard_id) for child in children]


def test_whoever_ended_a_shard_goes_on_with_its_children_whatever_the_index_says():
    async def story():
        bench = LeaseBench(Site(shards=1))
        assert [child.owner for child in await ended(bench)] == [ME, ME]
        bench.table.faults.append(Fault(kind="stale_index", operation="lease_keys_of"))
        await bench.look()
        assert len(bench.heard(Yours)) == 3

    run(story())


@pytest.mark.parametrize("why", [{"is_leaving": True}, {"leases_max": 1}], ids=str)
def test_the_children_are_for_others_if_whoever_ended_the_shard_leaves_or_takes_only_so_many(why):
    async def story():
        assert [child.owner for child in await ended(LeaseBench(Site(shards=1)), **why)] == [None, None]

    run(story())


def test_what_stalled_is_restarted_or_goes_to_somebody_else_if_there_is_anybody():
    async def story(others: tuple[str, ...], *, may_restart: bool) -> tuple[str | None, set[type]]:
        bench = await LeaseBench().open()
        for key in (ME, *others):
            await bench.memory.write_session(None, Session(key=key))
        lease = await bench.hold()
        await bench.ask(lease, Stalled(at(10), may_restart))
        row = await bench.row()
        assert (row.held_by, row.checkpoint) == (None, at(10))
        ways = (LeaseRestarted, LeaseHandedOver, LeaseGivenUp)
        return row.owner, {type(event) for event in bench.events if isinstance(event, ways)}

    assert run(story((OTHER,), may_restart=True)) == (ME, {LeaseRestarted})
    assert run(story((OTHER,), may_restart=False)) == (OTHER, {LeaseHandedOver})
    assert run(story((), may_restart=False)) == (None, {LeaseGivenUp})


@pytest.mark.parametrize("offered_to", [None, RIVAL, OTHER], ids=["to nobody", "to one who leaves", "to one who stays"])
def test_who_leaves_passes_a_lease_on_to_who_stays_whomever_it_was_offered_to(offered_to):
    async def story():
        bench = await LeaseBench().open()
        for entry in (Session(key=ME), Session(key=RIVAL).leaving(), Session(key=OTHER)):
            await bench.memory.write_session(None, entry)
        lease = await bench.hold()
        bench.desk.succession = succession = bench.succession()
        await succession.read()
        succession.open()
        if offered_to is not None:
            await bench.memory.write(lease.offered(offered_to))
            await bench.holdings._held[SHARD_0]._held.look()
        await bench.ask(lease, LetGo(at(10)))
        row = await bench.row()
        assert (row.owner, row.checkpoint_owner, row.held_by, row.checkpoint) == (OTHER, None, None, at(10))
        assert bench.holdings.keys == frozenset()
        with pytest.raises(LeaseLost):
            await bench.ask(lease, SaveCheckpoint(at(20)))

    run(story())


def test_what_a_refused_checkpoint_carried_does_not_count_as_flow():
    async def story():
        bench = await LeaseBench().open()
        lease = await bench.hold()
        await bench.ask(lease, SaveCheckpoint(at(10), 0))
        await asyncio.sleep(10)
        with pytest.raises(CheckpointError):
            await bench.ask(lease, SaveCheckpoint(at(5), 10**9))
        await asyncio.sleep(10)
        await bench.ask(lease, SaveCheckpoint(at(20), 10**6))
        first = (await bench.row()).throughput_kbps
        await asyncio.sleep(10)
        await bench.ask(lease, SaveCheckpoint(at(30), 10**6))
        then = (await bench.row()).throughput_kbps
        assert first is not None
        assert then is not None
        assert 0 < then < first < 1000

    run(story())
