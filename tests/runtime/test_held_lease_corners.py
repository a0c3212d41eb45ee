"""The end of an epoch is for good, whoever finds it out; and nobody's write is taken for another one."""

import asyncio

import msgspec
import pytest

from kcl_py.core.checkpoint import TRIM_HORIZON
from kcl_py.core.lease import Change, Lease
from kcl_py.errors import ConditionFailed, LeaseLost, ServiceUnavailable, Throttled
from kcl_py.local.faulty_lease_table import Fault, FaultyLeaseTable
from kcl_py.local.memory_lease_table import MemoryLeaseTable
from kcl_py.runtime.leases.held_lease import HeldLease, Transition
from tests.runtime.test_held_lease import BINDING, KEY, ME, RIVAL, Stage, at
from tests.virtual_time import run


class RivalIsFaster(MemoryLeaseTable):
    """Whoever makes a row anew finds that somebody else has done so."""

    async def create(self, lease: Lease) -> bool:
        self.put(msgspec.structs.replace(lease, owner=RIVAL, held_by=RIVAL, counter=1))
        return await super().create(lease)


async def abandon(stage: Stage, held: HeldLease, transition: Transition) -> None:
    """A change that lands, and nobody hears of it: who waited was cancelled."""
    stage.table.faults.append(Fault(kind="delay_answer", operation="write", seconds=5, times=1))
    changing = asyncio.create_task(held.change(transition))
    await asyncio.sleep(1)
    changing.cancel()
    await asyncio.wait([changing])


async def is_lost_for_good(stage: Stage, held: HeldLease) -> bool:
    """The next change is refused, and nothing is written after it, not even once nothing stands in the way."""
    with pytest.raises(LeaseLost):
        await held.change(lambda row: row.checkpointed(at(20)))
    assert held.is_over
    stage.memory.odd_rows.clear()
    before = await stage.memory.lease(KEY)
    writes = sum(call.operation == "write" for call in stage.table.calls)
    with pytest.raises(LeaseLost):
        await held.change(lambda row: row.checkpointed(at(30)))
    is_quiet = writes == sum(call.operation == "write" for call in stage.table.calls)
    return is_quiet and await stage.memory.lease(KEY) == before


def test_a_change_after_the_end_writes_nothing():
    async def story():
        stage = Stage()
        held = await stage.hold()
        held.end()
        assert await is_lost_for_good(stage, held)

    run(story())


def test_what_a_rival_took_is_lost_for_good():
    async def story():
        stage = Stage()
        held = await stage.hold()
        await stage.taken_by_rival()
        assert await is_lost_for_good(stage, held)

    run(story())


def test_what_does_not_parse_is_lost_for_good():
    async def story():
        stage = Stage()
        held = await stage.hold()
        stage.table.faults.append(Fault(kind="fail", operation="write", times=1))
        stage.memory.odd_rows[KEY] = "overwritten"
        assert await is_lost_for_good(stage, held)

    run(story())


def test_what_was_given_away_by_a_call_that_nobody_waited_for_is_lost_for_good():
    async def story():
        stage = Stage()
        held = await stage.hold()
        await abandon(stage, held, lambda row: row.assigned(RIVAL))
        assert await is_lost_for_good(stage, held)

    run(story())


def test_a_row_that_somebody_else_makes_anew_is_lost_for_good():
    async def story():
        stage = Stage()
        stage.memory = RivalIsFaster(exists=True)
        stage.memory.put(Lease(key=KEY, checkpoint=TRIM_HORIZON))
        stage.table = FaultyLeaseTable(stage.memory)
        held = await stage.hold()
        stage.memory.erase(KEY)
        assert await is_lost_for_good(stage, held)
        assert stage.recreated == []
        assert (await stage.row()).owner == RIVAL

    run(story())


def test_a_row_that_vanished_before_it_was_picked_up_is_not_made():
    async def story():
        stage = Stage()
        held = await stage.see()
        stage.memory.erase(KEY)
        with pytest.raises(LeaseLost):
            await held.pick_up(lambda row: row.picked_up(ME, BINDING))
        assert await stage.memory.lease(KEY) is None

    run(story())


def test_a_pick_up_that_landed_unheard_of_is_no_gift_to_somebody_else():
    async def story():
        stage = Stage()
        held = await stage.see()
        await abandon(stage, held, lambda row: row.picked_up(ME, BINDING))
        lease = await held.pick_up(lambda row: row.picked_up(ME, BINDING))
        assert lease == await stage.row()
        assert held.fencing_token == lease.counter == 2

    run(story())


@pytest.mark.parametrize("error", [Throttled, ServiceUnavailable, ConditionFailed])
def test_a_write_that_fails_as_the_epoch_ends_is_the_end_of_it_and_no_trouble(error):
    class EndsMeanwhile(MemoryLeaseTable):
        async def write(self, change: Change) -> None:
            held.end()
            raise error("just now")

    held: HeldLease

    async def story():
        nonlocal held
        stage = Stage()
        held = await stage.hold()
        table = EndsMeanwhile(exists=True)
        table.put(await stage.row())
        held._table = table
        with pytest.raises(LeaseLost):
            await held.change(lambda row: row.checkpointed(at(20)))
        assert stage.retries == 0

    run(story())


def test_a_look_notes_a_hand_off_and_nothing_else():
    async def story():
        stage = Stage()
        held = await stage.hold()
        await stage.memory.write((await stage.row()).offered(RIVAL))
        assert await held.look()
        assert (held.lease.owner, held.lease.checkpoint_owner) == (RIVAL, ME)

    run(story())


@pytest.mark.parametrize(
    "says",
    [
        pytest.param(lambda row: msgspec.structs.replace(row, owner=RIVAL), id="another owner"),
        pytest.param(lambda row: msgspec.structs.replace(row, counter=row.counter + 1), id="another counter"),
    ],
)
def test_a_look_does_not_believe_a_row_that_others_wrote(says):
    async def story():
        stage = Stage()
        held = await stage.hold()
        before = held.lease
        stage.memory.put(says(await stage.row()))
        assert not await held.look()
        assert held.lease == before

    run(story())


@pytest.mark.parametrize("is_there", [True, False])
def test_a_look_does_not_believe_a_row_that_does_not_parse_or_is_gone(is_there):
    async def story():
        stage = Stage()
        held = await stage.hold()
        if is_there:
            stage.memory.odd_rows[KEY] = "overwritten"
        else:
            stage.memory.erase(KEY)
        assert not await held.look()

    run(story())


def test_a_hand_off_that_was_opened_around_a_refused_write_costs_one_more_attempt():
    async def story():
        stage = Stage()
        held = await stage.hold()
        await stage.memory.write((await stage.row()).offered(RIVAL))
        before = sum(call.operation == "write" for call in stage.table.calls)
        written = await asyncio.wait_for(held.change(lambda row: row.checkpointed(at(10))), 60)
        assert written == await stage.row()
        assert sum(call.operation == "write" for call in stage.table.calls) - before == 2

    run(story())
