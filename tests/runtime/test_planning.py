"""What a leader's round writes and what it does not: each condition for itself, with the table alone."""

import asyncio
from typing import Any

import msgspec
import pytest

from kcl_py.core.balance import Fleet, Move, by_lease_count
from kcl_py.core.checkpoint import SHARD_END, TRIM_HORIZON
from kcl_py.core.lease import Binding, Lease
from kcl_py.core.lineage import Lineage
from kcl_py.core.listing import Listings
from kcl_py.core.session import Session
from kcl_py.events import Event, HandOffOpened, LeaseAssigned, MembershipChanged, NobodyHasRoom
from kcl_py.local.memory_lease_table import MemoryLeaseTable
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.fleet.observer import Observer
from kcl_py.runtime.fleet.planner import (
    COOL_DOWN_SECONDS,
    DEAF_SECONDS,
    IDLE_SECONDS,
    PICK_UP_SECONDS,
    SETTLE_SECONDS,
    SETTLE_SECONDS_MAX,
    TELL_AGAIN_SECONDS,
    Planner,
)
from tests.virtual_time import run

F = 10.0
A, B, C = "a@00000001", "b@00000002", "c@00000003"
OURS = Binding("stream", "app", None)


class Desk:
    """A planner, its table, and what the strategy was shown."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.table = MemoryLeaseTable(exists=True)
        self.events: list[Event] = []
        self.shown: list[Fleet] = []
        self.may_write = True
        self.moves: tuple[Move, ...] | None = None  # instead of what the strategy says
        self.picked_up: list[str] = []
        self.can_pick_up = True
        emit = Emitter([self.events.append])
        self.observer = Observer(self.table, failover_seconds=F, is_gone=lambda _: False, clock=loop.time, emit=emit)
        self.planner = Planner(
            self.table,
            self.observer,
            self._plan,
            lineage=lambda snapshot: Lineage(snapshot.leases, Listings()),
            pick_up=self._pick_up,
            may_write=lambda: self.may_write,
            idle_seconds=IDLE_SECONDS,
            clock=loop.time,
            emit=emit,
        )

    def _plan(self, fleet: Fleet) -> tuple[Move, ...]:
        self.shown.append(fleet)
        return by_lease_count(fleet) if self.moves is None else self.moves

    async def _pick_up(self, lease: Lease, me: str) -> bool:
        self.picked_up.append(lease.key)
        if self.can_pick_up:
            await self.table.write(lease.picked_up(me, OURS))
        return self.can_pick_up

    async def enter(self, *keys: str, **changed: Any) -> None:
        for key in keys:
            self.table.erase(key)
            await self.table.write_session(None, Session(key=key, **changed))

    def put(self, *keys: str, **changed: Any) -> None:
        for key in keys:
            self.table.put(Lease(key=key, checkpoint=TRIM_HORIZON, **changed))

    def put_held(self, owner: str, *keys: str, **changed: Any) -> None:
        self.put(*keys, owner=owner, held_by=owner, **changed)

    async def round(self, me: str = A) -> Fleet:
        await self.planner.round(await self.observer.look_at_table(), me)
        return self.shown[-1]

    async def settle(self) -> None:
        """Let the fleet be quiet for long enough, without a move."""
        is_free, self.moves = self.moves, ()
        await self.round()
        await asyncio.sleep(SETTLE_SECONDS)
        self.moves = is_free

    async def pick_up(self, *keys: str) -> None:
        for key in keys:
            row = await self.table.lease(key)
            assert row is not None
            assert row.owner is not None
            await self.table.write(row.picked_up(row.owner, OURS))

    async def owners(self) -> dict[str, str | None]:
        return {row.key: row.owner for row in (await self.table.snapshot()).leases}

    async def is_movable(self, key: str = "s1") -> bool:
        (view,) = [view for view in (await self.round()).leases if view.key == key]
        return view.is_movable


def test_a_leader_picks_up_its_own_and_names_the_others():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A, B)
        desk.put("s1", "s2", "s3", "s4")
        await desk.round()
        owners = await desk.owners()
        assert sorted(owners.values(), key=str) == [A, A, B, B]
        assert sorted(desk.picked_up) == sorted(key for key, owner in owners.items() if owner == A)
        assert {event.to for event in desk.events if isinstance(event, LeaseAssigned)} == {B}

    run(story())


def test_nothing_is_written_by_who_may_not():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A, B)
        desk.put("s1", "s2")
        desk.may_write = False
        await desk.round()
        assert set((await desk.owners()).values()) == {None}
        assert not desk.picked_up

    run(story())


def test_what_the_leader_itself_cannot_pick_up_now_it_assigns_to_itself_all_the_same():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A)
        desk.put("s1")
        desk.can_pick_up = False
        await desk.round()
        assert await desk.owners() == {"s1": A}
        row = await desk.table.lease("s1")
        assert row is not None
        await desk.round()
        again = await desk.table.lease("s1")
        assert again == row, "it is named already"

    run(story())


@pytest.mark.parametrize("state", ["silent", "unread", "odd"])
def test_a_lease_of_a_session_that_may_live_is_nobody_elses(state: str):
    async def story() -> None:
        desk = Desk()
        await desk.enter(A)
        desk.put_held(B, "s1")
        if state == "silent":
            await desk.enter(B)
        elif state == "odd":
            desk.table.odd_rows[B] = "no number"
        snapshot = await desk.observer.look_at_table()
        if state == "silent":
            for _ in range(2 * int(F)):
                await asyncio.sleep(1)
                desk.observer.own_beat_landed()
                await desk.observer.look_at_entries()
            assert desk.observer.is_dead(B)
        elif state == "unread":
            desk.observer._absent.clear()
        await desk.planner.round(snapshot, A)
        assert await desk.owners() == {"s1": B}

    run(story())


@pytest.mark.parametrize("is_absent", [True, False])
def test_a_lease_of_a_session_that_is_revoked_or_has_no_entry_is_assigned_at_once(is_absent: bool):
    async def story() -> None:
        desk = Desk()
        await desk.enter(A)
        if not is_absent:
            await desk.enter(B, is_revoked=True)
        desk.put_held(B, "s1")
        await desk.round()
        assert await desk.owners() == {"s1": A}

    run(story())


def test_who_leaves_is_given_nothing_and_nothing_is_taken_from_it():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A)
        await desk.enter(B, is_leaving=True)
        desk.put_held(B, "s1", "s2", "s3")
        desk.put("s4", "s5")
        await desk.settle()
        await desk.round()
        assert list((await desk.owners()).values()) == [B, B, B, A, A]

    run(story())


def test_an_open_hand_off_whose_receiver_leaves_or_died_is_readdressed():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A, C)
        await desk.enter(B, is_leaving=True)
        desk.put("s1", owner=B, checkpoint_owner=A, held_by=A)
        desk.put("s2", owner="dead@00000009", checkpoint_owner=A, held_by=A)
        desk.put("s3", owner=C, checkpoint_owner=A, held_by=A)
        await desk.round()
        rows = (await desk.table.snapshot()).leases
        assert [(row.owner, row.checkpoint_owner, row.held_by) for row in rows] == [(C, A, A)] * 3

    run(story())


def test_an_open_hand_off_whose_giver_died_is_an_assignment():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A, C)
        desk.put("s1", owner=C, checkpoint_owner="dead@00000009", held_by="dead@00000009")
        await desk.round(C)
        row = await desk.table.lease("s1")
        assert row is not None
        assert (row.checkpoint_owner, row.counter) == (None, 1)

    run(story())


def test_only_what_its_owner_holds_is_movable_and_nothing_that_is_on_its_way():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A, B)
        desk.put_held(A, "s1")
        desk.put("s2", owner=A)
        desk.put("s3", owner=B, checkpoint_owner=A, held_by=A)
        fleet = await desk.round()
        assert [view.is_movable for view in fleet.leases] == [True, False, False]

    run(story())


def test_held_leases_move_when_membership_was_quiet_for_long_enough_and_only_once_for_it():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A)
        desk.put_held(A, "s1", "s2")
        await desk.settle()
        await desk.round()
        await desk.enter(B)
        await desk.round()
        await asyncio.sleep(SETTLE_SECONDS - 0.1)
        await desk.round()
        assert not [event for event in desk.events if isinstance(event, HandOffOpened)]
        await asyncio.sleep(0.2)
        await desk.round()
        (opened,) = [event for event in desk.events if isinstance(event, HandOffOpened)]
        row = await desk.table.lease(opened.shard_id)
        assert row is not None
        await desk.table.write(row.handed_over())
        await desk.pick_up(row.key)
        assert not await desk.is_movable(row.key)
        await asyncio.sleep(COOL_DOWN_SECONDS + 1)
        desk.moves = ()
        assert await desk.is_movable(row.key), "long ago"

    run(story())


def test_a_lease_that_was_moved_may_move_again_when_membership_has_changed():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A, B)
        desk.put_held(A, "s1", "s2")
        await desk.settle()
        await desk.round()
        (opened,) = [event for event in desk.events if isinstance(event, HandOffOpened)]
        row = await desk.table.lease(opened.shard_id)
        assert row is not None
        await desk.table.write(row.handed_over())
        await desk.pick_up(row.key)
        assert not await desk.is_movable(row.key)
        await desk.enter(C)
        desk.moves = ()
        assert await desk.is_movable(row.key)

    run(story())


def test_under_constant_change_held_leases_move_after_a_while_all_the_same_and_then_wait_again():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A)
        desk.put_held(A, "s1", "s2")
        desk.moves = ()
        loop = asyncio.get_running_loop()
        began, settled = loop.time(), []
        for second in range(75):
            await desk.enter(f"n{second // 3}@{second // 3:08d}")
            if (await desk.round()).is_settled:
                settled.append(loop.time() - began)
            await asyncio.sleep(1)
        first, second_time = settled
        assert SETTLE_SECONDS_MAX <= first < SETTLE_SECONDS_MAX + 2
        assert SETTLE_SECONDS_MAX <= second_time - first < SETTLE_SECONDS_MAX + 2

    run(story())


def test_membership_is_told_when_it_changes_and_not_else():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A, B)
        await desk.round()
        await desk.round()
        await desk.enter(B, is_leaving=True)
        await desk.round()
        changed = [event for event in desk.events if isinstance(event, MembershipChanged)]
        assert [(event.workers, event.joined, event.left) for event in changed] == [(2, (A, B), ()), (1, (), (B,))]

    run(story())


def test_who_twice_did_not_pick_a_lease_up_in_time_loses_it_to_another_and_is_given_nothing_for_a_while():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A, B)
        desk.put("s1", "s2", owner=B)
        await desk.round()
        await asyncio.sleep(PICK_UP_SECONDS + 0.2)
        await desk.round()
        assert await desk.owners() == {"s1": B, "s2": B}, "one miss is none"
        await asyncio.sleep(PICK_UP_SECONDS + 0.2)
        fleet = await desk.round()
        assert [view.avoid for view in fleet.leases] == [B, B]
        assert await desk.owners() == {"s1": A, "s2": A}
        assert [worker.is_receiving for worker in fleet.workers] == [True, False]
        await asyncio.sleep(DEAF_SECONDS - 1)
        assert [worker.is_receiving for worker in (await desk.round()).workers] == [True, False]
        await asyncio.sleep(2)
        assert [worker.is_receiving for worker in (await desk.round()).workers] == [True, True]

    run(story())


def test_who_is_deaf_for_a_second_time_is_given_nothing_for_twice_as_long():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A, B)
        desk.moves = ()
        for times in range(2):
            desk.put(f"s{times}", owner=B)
            await desk.round()
            for _ in range(2):
                await asyncio.sleep(PICK_UP_SECONDS + 0.1)
                await desk.round()
            desk.table.erase(f"s{times}")
            await asyncio.sleep(DEAF_SECONDS * 2**times - 1)
            assert [worker.is_receiving for worker in (await desk.round()).workers] == [True, False]
            await asyncio.sleep(2)
            assert [worker.is_receiving for worker in (await desk.round()).workers] == [True, True]

    run(story())


def test_if_nobody_picks_anything_up_nobody_is_worse_than_another():
    async def story() -> None:
        desk = Desk()
        await desk.enter(B)
        desk.put("s1", owner=B)
        await desk.round(B)
        for _ in range(2):
            await asyncio.sleep(PICK_UP_SECONDS + 0.1)
            fleet = await desk.round("somebody else")
        assert [worker.is_receiving for worker in fleet.workers] == [True]
        row = await desk.table.lease("s1")
        assert row is not None
        assert (row.owner, row.counter) == (B, 0), "it is named already"
        assert not [event for event in desk.events if isinstance(event, LeaseAssigned)]

    run(story())


def test_many_leases_may_take_longer_to_be_picked_up_and_one_that_waits_for_its_parents_is_no_miss():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A, B)
        desk.moves = ()
        desk.put(*(f"s{number}" for number in range(40)), owner=B)
        desk.put("parent", owner=A, held_by=A)
        desk.put("child", owner=B, parent_shard_ids=("parent",))
        await desk.round()
        for _ in range(3):
            await asyncio.sleep(PICK_UP_SECONDS + 1)
            await desk.round()
        assert "child" not in desk.planner._assigned
        assert {one.misses for one in desk.planner._assigned.values()} == {1}

    run(story())


def test_a_lease_without_progress_for_a_minute_weighs_as_an_idle_one_until_it_moves():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A)
        desk.put_held(A, "s1", throughput_kbps=512.0)
        assert (await desk.round()).leases[0].throughput_kbps == 512
        await asyncio.sleep(IDLE_SECONDS + 1)
        assert (await desk.round()).leases[0].throughput_kbps == 0
        await desk.pick_up("s1")
        assert (await desk.round()).leases[0].throughput_kbps == 512

    run(story())


def test_finished_leases_and_those_of_a_java_worker_are_not_planned():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A)
        desk.table.put(Lease(key="s1", checkpoint=SHARD_END))
        desk.put("s2", owner="java-worker")
        desk.put("s3")
        assert [view.key for view in (await desk.round()).leases] == ["s3"]
        assert await desk.owners() == {"s1": None, "s2": "java-worker", "s3": A}

    run(story())


def test_a_child_that_waits_is_shown_as_waiting_and_free_since_it_need_not():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A)
        desk.put_held(A, "parent")
        desk.put("child", parent_shard_ids=("parent",))
        assert [view.is_waiting for view in (await desk.round()).leases] == [True, False]
        await asyncio.sleep(3)
        (row,) = [row for row in (await desk.table.snapshot()).leases if row.key == "parent"]
        desk.table.put(msgspec.structs.replace(row, checkpoint=SHARD_END, owner=None, held_by=None))
        (view,) = (await desk.round()).leases
        assert not view.is_waiting
        assert view.free_since == pytest.approx(asyncio.get_running_loop().time(), abs=0.1)
        assert (await desk.owners())["child"] == A

    run(story())


def test_a_row_that_was_written_in_between_keeps_what_was_written():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A, B)
        desk.put("s1")
        snapshot = await desk.observer.look_at_table()
        await desk.table.write(snapshot.leases[0].picked_up(B, OURS))
        desk.moves = (Move(kind="assign", key="s1", to=C),)
        await desk.planner.round(snapshot, A)
        assert await desk.owners() == {"s1": B}
        assert not [event for event in desk.events if isinstance(event, LeaseAssigned)]

    run(story())


def test_a_round_opens_no_more_hand_offs_than_its_budget():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A)
        desk.put_held(A, *(f"s{number}" for number in range(60)))
        assert (await desk.round()).hand_offs_max == 16
        desk.put_held(A, *(f"t{number}" for number in range(240)))
        assert (await desk.round()).hand_offs_max == 30

    run(story())


def test_that_nobody_has_room_is_told_once_a_minute_and_counts_what_nobody_was_given():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A, leases_max=2)
        desk.put_held(A, "s1")
        await desk.round()
        assert not [event for event in desk.events if isinstance(event, NobodyHasRoom)]
        desk.put("s2", "s3")
        desk.put("child", parent_shard_ids=("s1",))
        await desk.round()
        await asyncio.sleep(TELL_AGAIN_SECONDS - 1)
        await desk.round()
        assert [event.leases for event in desk.events if isinstance(event, NobodyHasRoom)] == [1]
        await asyncio.sleep(2)
        await desk.round()
        assert [event.leases for event in desk.events if isinstance(event, NobodyHasRoom)] == [1, 1]

    run(story())


def test_a_lease_is_as_old_as_it_was_first_seen_to_be_free_and_young_again_when_it_was_taken_in_between():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A)
        desk.moves = ()
        began = asyncio.get_running_loop().time()
        desk.put("s1")
        desk.put_held(A, "s2")
        await desk.round()
        for owner, age in ((None, 3), (A, 6), (None, 9), (None, 9)):
            await asyncio.sleep(3)
            desk.put("s1", owner=owner, held_by=owner)
            fleet = await desk.round()
            if owner is None:
                since = 0 if age == 3 else 9
                assert fleet.leases[0].free_since == pytest.approx(began + since, abs=0.1)

    run(story())


def test_who_was_given_a_lease_anew_has_its_whole_time_to_pick_it_up():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A, B, C)
        desk.moves = ()
        for owner in (B, C, B, C):
            desk.put("s1", owner=owner)
            await desk.round()
            await asyncio.sleep(PICK_UP_SECONDS - 1)
        fleet = await desk.round()
        assert (fleet.leases[0].owner, fleet.leases[0].avoid) == (C, None)
        assert all(worker.is_receiving for worker in fleet.workers)

    run(story())


def test_a_miss_is_forgotten_with_the_next_assignment():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A, B)
        desk.put("s1", owner=B)
        for _ in range(3):
            await desk.round("somebody else")
            await asyncio.sleep(PICK_UP_SECONDS + 0.1)
        assert await desk.owners() == {"s1": A}
        desk.table.put(Lease(key="s1", owner=B, checkpoint=TRIM_HORIZON))
        (view,) = (await desk.round()).leases
        assert (view.owner, view.avoid) == (B, None)

    run(story())


def test_a_hand_off_that_is_open_is_no_lease_that_waits_to_be_picked_up():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A, B)
        desk.moves = ()
        desk.put("s1", owner=B, checkpoint_owner=A)
        for _ in range(4):
            (view,) = (await desk.round()).leases
            await asyncio.sleep(PICK_UP_SECONDS + 1)
        assert (view.owner, view.avoid) == (B, None)

    run(story())


def test_who_left_and_came_back_is_not_deaf_any_more():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A, B)
        desk.moves = ()
        desk.put("s1", owner=B)
        for _ in range(3):
            fleet = await desk.round()
            await asyncio.sleep(PICK_UP_SECONDS + 0.1)
        assert [worker.is_receiving for worker in fleet.workers] == [True, False]
        desk.table.erase(B)
        await desk.observer.look_at_entries()
        await desk.round()
        await desk.enter(B)
        assert [worker.is_receiving for worker in (await desk.round()).workers] == [True, True]

    run(story())


def test_a_lease_that_its_giver_still_has_is_not_free():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A, B)
        desk.put("s1", owner=B, checkpoint_owner=A, held_by=A)
        (view,) = (await desk.round()).leases
        assert (view.owner, view.giver) == (B, None)
        desk.moves = ()
        desk.table.erase(B)
        await desk.observer.look_at_entries()
        (view,) = (await desk.round()).leases
        assert (view.owner, view.giver) == (None, A)

    run(story())


def test_a_leader_that_is_to_receive_waits_for_the_hand_off_like_everybody():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A, B)
        desk.put_held(B, "s1", "s2")
        await desk.settle()
        await desk.round()
        assert not desk.picked_up
        (opened,) = [event for event in desk.events if isinstance(event, HandOffOpened)]
        row = await desk.table.lease(opened.shard_id)
        assert row is not None
        assert (row.owner, row.checkpoint_owner, row.held_by) == (A, B, B)

    run(story())


def test_the_receiver_of_a_hand_off_whose_giver_died_is_assigned_the_lease():
    async def story() -> None:
        desk = Desk()
        await desk.enter(A, C)
        desk.put("s1", owner=C, checkpoint_owner="dead@00000009", held_by="dead@00000009")
        desk.moves = (Move(kind="assign", key="s1", to=C),)
        await desk.round()
        row = await desk.table.lease("s1")
        assert row is not None
        assert (row.owner, row.checkpoint_owner, row.held_by) == (C, None, None)

    run(story())
