"""The only way to change a lease: what lost answers, rivals and vanished rows make of it."""

import asyncio
import itertools
from functools import partial

import msgspec
import pytest

from kcl_py.core.checkpoint import TRIM_HORIZON, Checkpoint
from kcl_py.core.lease import Binding, Lease
from kcl_py.errors import LeaseLost
from kcl_py.local.faulty_lease_table import Fault, FaultyLeaseTable
from kcl_py.local.memory_lease_table import MemoryLeaseTable
from kcl_py.runtime.leases.held_lease import HeldLease
from tests.virtual_time import run

KEY = "shardId-000000000000"
ME, RIVAL = "me@00000001", "rival@00000002"
BINDING = Binding("stream@1", "app", None)


class Stage:
    """A table with one row, and our hands on it."""

    def __init__(self, *faults: Fault) -> None:
        self.memory = MemoryLeaseTable(exists=True)
        self.memory.put(Lease(key=KEY, checkpoint=TRIM_HORIZON))
        self.table = FaultyLeaseTable(self.memory, faults)
        self.is_live = True
        self.recreated: list[Lease] = []
        self.retries = 0

    async def hold(self) -> HeldLease:
        held = await self.see()
        await held.pick_up(lambda row: row.picked_up(ME, BINDING))
        return held

    async def see(self) -> HeldLease:
        row = await self.memory.lease(KEY)
        assert row is not None

        def note(_key: str, _error: BaseException) -> None:
            self.retries += 1

        return HeldLease(
            self.table, row, is_session_live=lambda: self.is_live, on_retry=note, on_recreated=self.recreated.append
        )

    async def row(self) -> Lease:
        row = await self.memory.lease(KEY)
        assert row is not None
        return row

    async def taken_by_rival(self) -> None:
        await self.memory.write((await self.row()).picked_up(RIVAL, BINDING))


def at(number: int) -> Checkpoint:
    return Checkpoint(str(number))


@pytest.mark.parametrize("kinds", list(itertools.product(["fail", "lose_answer", "throttle", None], repeat=3)))
def test_every_change_lands_exactly_once_whatever_becomes_of_the_answers(kinds):
    async def story():
        stage = Stage()
        held = await stage.hold()
        counter = held.lease.counter
        stage.table.faults += [
            Fault(kind=kind, operation="write", nth=nth) for nth, kind in enumerate(kinds, 1) if kind is not None
        ]
        stage.table.faults += [Fault(kind="fail", operation="lease", nth=1)]
        for number in (10, 20, 30):
            await held.change(partial(Lease.checkpointed, position=at(number)))
        row = await stage.row()
        assert row.checkpoint == at(30)
        assert row.counter == counter + 3
        assert held.lease == row

    run(story())


def test_changes_of_one_lease_follow_each_other():
    async def story():
        stage = Stage()
        held = await stage.hold()
        stage.table.faults.append(Fault(kind="delay_answer", operation="write", seconds=3.0))
        numbers = [held.change(partial(Lease.prepared, position=at(n), state=None)) for n in (5, 6, 7)]
        written = await asyncio.gather(*numbers)
        assert [lease.counter for lease in written] == [2, 3, 4]

    run(story())


@pytest.mark.parametrize("kind", ["fail", "lose_answer", None])
def test_a_lease_that_a_rival_took_is_lost_for_good(kind):
    async def story():
        stage = Stage()
        held = await stage.hold()
        if kind is not None:
            stage.table.faults.append(Fault(kind=kind, operation="write", nth=1))
        await stage.taken_by_rival()
        theirs = await stage.row()
        for _ in range(2):
            with pytest.raises(LeaseLost):
                await held.change(lambda row: row.checkpointed(at(10)))
        assert await stage.row() == theirs

    run(story())


def test_a_pick_up_that_somebody_else_won_takes_nothing():
    async def story():
        stage = Stage()
        held = await stage.see()
        await stage.taken_by_rival()
        with pytest.raises(LeaseLost):
            await held.pick_up(lambda row: row.picked_up(ME, BINDING))
        assert (await stage.row()).owner == RIVAL
        assert held.fencing_token == 0

    run(story())


def test_a_late_answer_to_an_earlier_attempt_is_found_and_the_change_follows_it():
    async def story():
        stage = Stage(Fault(kind="delay", operation="write", key=KEY, nth=2, seconds=50.0))
        held = await stage.hold()
        first = asyncio.create_task(held.change(lambda row: row.checkpointed(at(10))))
        await asyncio.sleep(1)
        first.cancel()  # nobody waits for it any more, and it is still on its way
        await asyncio.gather(first, return_exceptions=True)
        row = await stage.row()
        await stage.memory.write(row.checkpointed(at(10)))  # it lands
        written = await held.change(lambda row: row.checkpointed(at(20)))
        assert written.checkpoint == at(20)
        assert written.counter == row.counter + 2

    run(story())


def test_a_hand_off_that_was_opened_meanwhile_does_not_end_the_epoch():
    async def story():
        stage = Stage()
        held = await stage.hold()
        row = await stage.row()
        stage.memory.put(msgspec.structs.replace(row, owner=RIVAL, checkpoint_owner=ME))
        written = await held.change(lambda row: row.checkpointed(at(10)))
        assert (written.owner, written.checkpoint_owner, written.checkpoint) == (RIVAL, ME, at(10))

    run(story())


def test_a_vanished_row_is_written_again_far_above_its_counter_and_then_changed():
    async def story():
        stage = Stage()
        held = await stage.hold()
        await held.change(lambda row: row.checkpointed(at(10)))
        stage.memory.erase(KEY)
        stage.table.faults.append(Fault(kind="lose_answer", operation="create", nth=1))
        written = await held.change(lambda row: row.checkpointed(at(20)))
        assert written.counter == 2 + 1_000_000 + 1
        assert written.checkpoint == at(20)

    run(story())


def test_a_vanished_row_stays_away_once_our_deadline_has_passed():
    async def story():
        stage = Stage()
        held = await stage.hold()
        stage.memory.erase(KEY)
        stage.is_live = False
        with pytest.raises(LeaseLost):
            await held.change(lambda row: row.checkpointed(at(20)))
        assert await stage.memory.lease(KEY) is None

    run(story())


def test_a_write_that_waits_gives_up_when_the_epoch_ends():
    async def story():
        stage = Stage()
        held = await stage.hold()
        stage.table.faults.append(Fault(kind="throttle"))
        waiting = asyncio.create_task(held.change(lambda row: row.checkpointed(at(20))))
        await asyncio.sleep(30)
        assert not waiting.done()
        held.end()
        with pytest.raises(LeaseLost):
            await asyncio.wait_for(waiting, 5)
        assert stage.retries > 5

    run(story())


def test_a_checkpoint_never_goes_back():
    async def story():
        stage = Stage()
        held = await stage.hold()
        await held.change(lambda row: row.checkpointed(at(100)))
        with pytest.raises(ValueError, match="does not follow"):
            await held.change(lambda row: row.checkpointed(at(99)))
        assert (await stage.row()).checkpoint == at(100)

    run(story())
