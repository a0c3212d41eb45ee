"""A worker's turns in the fleet: who watches, who plans, and when a plan is not acted on. With the table alone."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import msgspec
import pytest

from kcl_py.config import Config
from kcl_py.core.checkpoint import TRIM_HORIZON
from kcl_py.core.leadership import LeaderLock
from kcl_py.core.lease import Binding, Lease
from kcl_py.core.lineage import Lineage
from kcl_py.core.listing import Listings
from kcl_py.core.session import Process, Session
from kcl_py.events import Event, HandOffOpened, LeadershipLost, LeaseAssigned, SessionRevoked
from kcl_py.local.faulty_lease_table import Fault, FaultyLeaseTable
from kcl_py.local.memory_lease_table import MemoryLeaseTable
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.fleet.coordinator import PLAN_SECONDS, STUCK_SECONDS_MIN, Coordinator
from kcl_py.runtime.fleet.planner import SETTLE_SECONDS
from tests.virtual_time import run

F = 10.0
OURS = Binding("stream", "app", None)
HERE = Process(boot_id="boot", pid_namespace="1", pid=1, started_ticks=1)
THERE = msgspec.structs.replace(HERE, boot_id="another")


class Member:
    """A worker that beats, and takes its turns; it holds no shard."""

    def __init__(self, memory: MemoryLeaseTable, key: str, process: Process | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.memory = memory
        self.table = FaultyLeaseTable(memory)
        self.events: list[Event] = []
        self.begun: set[asyncio.Task[object]] = set()
        self.session = Session(key=key, process=process)
        self.coordinator = Coordinator(
            self.table,
            Config(stream="orders", application="app", failover_seconds=F),
            lineage=lambda snapshot: Lineage(snapshot.leases, Listings()),
            pick_up=self._pick_up,
            is_gone=lambda _: False,
            begin=self._begin,
            clock=loop.time,
            emit=Emitter([self.events.append]),
            rng=random.Random(key),
        )

    @classmethod
    async def joined(cls, memory: MemoryLeaseTable, key: str, process: Process | None = None) -> "Member":
        member = cls(memory, key, process)
        await memory.write_session(None, member.session)
        return member

    def _begin(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        task = asyncio.create_task(work)
        self.begun.add(task)
        return task

    async def _pick_up(self, lease: Lease, me: str) -> bool:
        await self.table.write(lease.picked_up(me, OURS))
        return True

    @property
    def is_leader(self) -> bool:
        return self.coordinator.leadership.is_leader

    async def beat(self) -> None:
        beaten = self.session.beaten(0)
        await self.memory.write_session(self.session, beaten)
        self.session = beaten
        self.coordinator.own_beat_landed()

    async def turn(self) -> None:
        await self.coordinator.turn(self.session)

    async def rest(self) -> None:
        """Let what was begun come to its end."""
        if self.begun:
            await asyncio.wait(self.begun)

    def seen(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    def count(self, operation: str) -> int:
        return sum(call.operation == operation for call in self.table.calls)


async def live(seconds: float, *members: Member) -> None:
    """They all beat and take their turns, once a second."""
    for _ in range(int(seconds)):
        for member in members:
            await member.beat()
            await member.turn()
        await asyncio.sleep(1)


async def a_fleet(*keys: str, process: Process | None = None) -> tuple[MemoryLeaseTable, list[Member]]:
    memory = MemoryLeaseTable(exists=True)
    members = [await Member.joined(memory, key, process) for key in keys]
    await live(8, *members)
    assert [member.is_leader for member in members] == [True] + [False] * (len(keys) - 1)
    return memory, members


async def the_lock(memory: MemoryLeaseTable) -> LeaderLock:
    lock = await memory.leader_lock()
    assert lock is not None
    return lock


async def owner(memory: MemoryLeaseTable, key: str = "s1") -> str | None:
    row = await memory.lease(key)
    assert row is not None
    return row.owner


A, B, C = "a@00000001", "b@00000002", "c@00000003"


def test_leader_and_standby_watch_and_nobody_else_does():
    async def story() -> None:
        memory, members = await a_fleet(A, B, C)
        standby = (await the_lock(memory)).standby
        before = [(member.count("sessions"), member.count("snapshot")) for member in members]
        await live(10, *members)
        after = [(member.count("sessions"), member.count("snapshot")) for member in members]
        watching = {member.session.key for member, was, now in zip(members, before, after, strict=True) if now != was}
        assert watching == {A, standby}
        assert {member.session.key for member in members if member.coordinator.is_observing} == {A, standby}

    run(story())


def test_the_standby_is_named_once_and_stays():
    async def story() -> None:
        memory, members = await a_fleet(A, B)
        assert (await the_lock(memory)).standby == B
        members += [await Member.joined(memory, key) for key in (C, "d@00000004", "e@00000005")]
        await live(10, *members)
        assert (await the_lock(memory)).standby == B

    run(story())


def test_the_standby_is_somebody_of_another_host_if_there_is_one():
    async def story() -> None:
        memory, members = await a_fleet(A, process=HERE)
        others = [f"{name}@00000002" for name in "bcdefgh"]
        for key in others:
            members.append(await Member.joined(memory, key, THERE if key.startswith("e") else HERE))
        await live(5, *members)
        assert (await the_lock(memory)).standby == "e@00000002"

    run(story())


@pytest.mark.parametrize("why", ["it leaves", "it is silent"])
def test_who_leaves_or_is_silent_stands_by_no_longer(why: str):
    async def story() -> None:
        memory, members = await a_fleet(A, B, C)
        named = (await the_lock(memory)).standby
        (standby,) = [member for member in members if member.session.key == named]
        others = [member for member in members if member is not standby]
        if why == "it leaves":
            await memory.write_session(standby.session, standby.session.leaving())
        await live(4 if why == "it leaves" else 2 + 2 * F / 3, *others)
        assert (await the_lock(memory)).standby not in (None, standby.session.key)
        assert not others[0].seen(SessionRevoked)

    run(story())


def test_a_leader_that_was_alone_names_the_first_that_comes_and_nobody_when_it_is_gone():
    async def story() -> None:
        memory, members = await a_fleet(A)
        assert (await the_lock(memory)).standby is None
        other = await Member.joined(memory, B)
        await live(PLAN_SECONDS + 2, *members, other)
        assert (await the_lock(memory)).standby == B
        memory.erase(B)
        await live(3, *members)
        assert (await the_lock(memory)).standby is None

    run(story())


def test_only_the_leader_plans_and_judges():
    async def story() -> None:
        memory, (leader, standby) = await a_fleet(A, B)
        await Member.joined(memory, C)
        await live(4, leader, standby)
        memory.put(Lease(key="s1", checkpoint=TRIM_HORIZON))
        for _ in range(12):
            await standby.beat()
            await leader.beat()
            await standby.turn()
            await leader.coordinator.leadership.poll(A, lambda _: False)  # it leads, and gets nothing done
            await asyncio.sleep(1)
        assert await owner(memory) is None
        assert not standby.seen(SessionRevoked)
        assert standby.coordinator.led_snapshot is None
        await live(7, leader, standby)
        assert await owner(memory) is not None
        assert leader.coordinator.led_snapshot is not None

    run(story())


def test_a_plan_from_a_snapshot_that_is_too_old_is_not_acted_on():
    async def story() -> None:
        memory, (leader,) = await a_fleet(A)
        memory.put(Lease(key="s1", checkpoint=TRIM_HORIZON))
        planner = leader.coordinator._planner
        snapshot = await leader.coordinator.observer.look_at_table()
        await asyncio.sleep(PLAN_SECONDS + 0.1)
        await leader.coordinator.leadership.poll(A, lambda _: False)
        assert leader.is_leader
        await planner.round(snapshot, A)
        assert await owner(memory) is None
        await planner.round(await leader.coordinator.observer.look_at_table(), A)
        assert await owner(memory) == A

    run(story())


def test_a_plan_of_who_leads_no_more_is_not_acted_on():
    async def story() -> None:
        memory, (leader,) = await a_fleet(A)
        memory.put(Lease(key="s1", checkpoint=TRIM_HORIZON))
        leader.table.faults.append(Fault(kind="delay_answer", operation="snapshot", seconds=F))
        leader.coordinator.hasten()
        await leader.turn()
        await leader.rest()
        assert not leader.is_leader
        assert await owner(memory) is None

    run(story())


def test_a_round_that_goes_on_when_leadership_has_ended_writes_nothing():
    async def story() -> None:
        memory, (leader,) = await a_fleet(A)
        memory.put(Lease(key="s1", checkpoint=TRIM_HORIZON))
        await asyncio.sleep(F)
        assert not leader.is_leader
        await leader.coordinator._planner.round(await leader.coordinator.observer.look_at_table(), A)
        assert await owner(memory) is None

    run(story())


def test_a_standby_that_cannot_write_either_takes_no_lock_and_condemns_nobody():
    async def story() -> None:
        memory, (_, standby) = await a_fleet(A, B)
        for _ in range(30):
            await standby.turn()
            await asyncio.sleep(1)
        assert not standby.is_leader
        assert not standby.coordinator.observer.is_dead(A)
        assert (await the_lock(memory)).owner == A

    run(story())


def test_a_leader_that_led_before_begins_anew_and_lets_the_fleet_settle_first():
    async def story() -> None:
        memory, (leader,) = await a_fleet(A)
        other = await Member.joined(memory, C)
        await live(8, leader, other)
        await leader.coordinator.leadership.release(A)
        memory.put_leader_lock(LeaderLock(owner=B, version="1", duration_ms=int(F * 1000)))
        for key in ("s1", "s2"):
            memory.put(Lease(key=key, owner=A, held_by=A, checkpoint=TRIM_HORIZON))
        await live(2, leader)
        await memory.write_leader_lock(await the_lock(memory), None)
        began = asyncio.get_running_loop().time()
        while not leader.seen(HandOffOpened):
            assert asyncio.get_running_loop().time() - began < 15
            await live(1, leader, other)
        assert asyncio.get_running_loop().time() - began >= SETTLE_SECONDS

    run(story())


def test_a_new_leader_plans_at_once():
    async def story() -> None:
        memory, (leader, other) = await a_fleet(A, B)
        await live(6, leader, other)
        other.coordinator.hasten()
        await live(1, leader, other)
        await leader.coordinator.leave(A)
        memory.put(Lease(key="s1", checkpoint=TRIM_HORIZON))
        await live(2, other)
        assert await owner(memory) is not None

    run(story())


def test_the_standby_takes_the_lock_of_a_leader_that_was_revoked_at_once():
    async def story() -> None:
        memory, (leader, standby) = await a_fleet(A, B)
        await live(6, leader, standby)
        await memory.write_session(leader.session, leader.session.revoked())
        await live(2, standby)
        assert standby.is_leader

    run(story())


def test_who_cannot_read_the_entries_twice_in_a_row_reads_the_table_and_once_waits():
    async def story() -> None:
        _, (leader, other) = await a_fleet(A, B)
        await live(6, leader, other)
        leader.coordinator.hasten()
        await live(1, leader, other)
        before = leader.count("snapshot")
        for _ in range(2):
            leader.table.faults.append(Fault(kind="fail", operation="sessions", times=1))
            await live(2, leader, other)
        assert leader.count("snapshot") == before
        leader.table.faults.append(Fault(kind="fail", operation="sessions"))
        await live(8, leader, other)
        assert leader.count("snapshot") >= before + 7
        assert leader.coordinator.observer.sessions[B].beat >= other.session.beat - 1

    run(story())


def test_a_leader_that_makes_no_round_for_long_lets_others_lead():
    async def story() -> None:
        _, (leader, standby) = await a_fleet(A, B)
        leader.table.faults.append(Fault(kind="fail", operation="snapshot"))
        await live(STUCK_SECONDS_MIN - 5, leader, standby)
        assert leader.is_leader
        await live(10, leader, standby)
        assert [leader.is_leader, standby.is_leader] == [False, True]
        assert len(leader.seen(LeadershipLost)) == 1

    run(story())


def test_a_move_that_fails_again_and_again_costs_no_leadership():
    async def story() -> None:
        memory, (leader,) = await a_fleet(A)
        memory.put(Lease(key="s1", checkpoint=TRIM_HORIZON))
        leader.table.faults.append(Fault(kind="fail", operation="write"))
        await live(STUCK_SECONDS_MIN + 10, leader)
        assert leader.is_leader
        assert not leader.seen(LeadershipLost)

    run(story())


def test_a_join_a_leave_and_what_somebody_hastens_are_planned_at_once_and_else_every_plan_interval():
    async def story() -> None:
        _, (leader,) = await a_fleet(A)
        await live(20, leader)
        before = leader.count("snapshot")
        await live(20, leader)
        usual = leader.count("snapshot") - before
        assert 3 <= usual <= 5
        before = leader.count("snapshot")
        leader.coordinator.hasten()
        await live(1, leader)
        assert leader.count("snapshot") == before + 1

    run(story())


def test_leases_of_who_falls_silent_are_assigned_in_the_second_of_the_verdict():
    async def story() -> None:
        memory, (leader, other) = await a_fleet(A, B)
        memory.put(Lease(key="s1", owner=B, held_by=B, checkpoint=TRIM_HORIZON))
        await live(2, leader, other)
        for _ in range(30):
            await live(1, leader)
            if leader.seen(SessionRevoked):
                break
        await leader.turn()
        await leader.rest()
        assert await owner(memory) == A

    run(story())


def test_a_new_leader_that_has_not_watched_condemns_nobody():
    async def story() -> None:
        memory, members = await a_fleet(A, B, C)
        named = (await the_lock(memory)).standby
        (third,) = [member for member in members[1:] if member.session.key != named]
        assert not third.coordinator.is_observing
        before = {key: session.beat for key, session in third.coordinator.observer.sessions.items()}
        await live(3 * F, *members)
        lock = await the_lock(memory)
        await memory.write_leader_lock(lock, None)
        await third.turn()
        assert third.is_leader
        assert third.coordinator.observer.sessions[A].beat == before[A], "what it knows is old"
        assert not third.seen(SessionRevoked)
        await live(5, *members)
        assert not [member for member in members if member.seen(SessionRevoked)]

    run(story())


def test_if_leader_and_standby_fall_silent_together_the_third_knows_of_it_soon_after_the_lock_is_its_own():
    async def story() -> None:
        memory, members = await a_fleet(A, B, C)
        named = (await the_lock(memory)).standby
        (third,) = [member for member in members[1:] if member.session.key != named]
        await live(5, *members)
        assert not third.coordinator.is_observing
        began = asyncio.get_running_loop().time()
        while len(third.seen(SessionRevoked)) < 2:
            assert asyncio.get_running_loop().time() - began < 2 * F + 4
            await live(1, third)
        assert third.is_leader

    run(story())


def test_who_leaves_waits_for_its_plan_and_leads_no_more():
    async def story() -> None:
        memory, (leader, other) = await a_fleet(A, B)
        memory.put(Lease(key="s1", owner="dead@00000009", checkpoint=TRIM_HORIZON))
        leader.table.faults.append(Fault(kind="delay_answer", operation="snapshot", seconds=3))
        leader.coordinator.hasten()
        await leader.turn()
        await leader.coordinator.leave(A)
        assert all(task.done() for task in leader.begun)
        assert await memory.leader_lock() is None
        assert not leader.seen(LeaseAssigned)
        await live(2, leader, other)
        assert [leader.is_leader, other.is_leader] == [False, True]

    run(story())


def test_the_beats_of_others_are_watched_while_a_plan_takes_its_time():
    async def story() -> None:
        memory, (leader, other) = await a_fleet(A, B)
        leader.table.faults.append(Fault(kind="delay_answer", operation="snapshot", seconds=8))
        leader.coordinator.hasten()
        before = leader.count("snapshot")
        await live(7, leader, other)
        assert leader.coordinator.observer.sessions[B].beat >= other.session.beat - 1
        assert leader.count("snapshot") == before + 1, "one plan at a time"
        await leader.rest()
        assert await memory.leader_lock() is not None

    run(story())


def test_a_large_fleet_is_looked_at_less_often_and_a_short_failover_time_more_often():
    async def story() -> None:
        memory, (leader,) = await a_fleet(A)
        assert 0.9 <= leader.coordinator.turn_seconds <= 1.0
        for number in range(299):
            await memory.write_session(None, Session(key=f"w@{number:08d}"))
        await leader.coordinator.observer.look_at_table()
        assert 0.9 * F / 4 <= leader.coordinator.turn_seconds <= F / 4
        leader.coordinator.is_observing = False
        assert 0.9 <= leader.coordinator.turn_seconds <= 1.0

    run(story())
