"""How one worker takes, renews and loses the leader lock: each condition for itself, with the table alone."""

import asyncio
import random
from collections.abc import Callable

import pytest

from kcl_py.core.leadership import LeaderLock
from kcl_py.errors import ServiceUnavailable, Throttled
from kcl_py.events import Event, LeadershipLost, LeadershipTaken, OddRowFound
from kcl_py.local.faulty_lease_table import Fault, FaultyLeaseTable
from kcl_py.local.memory_lease_table import MemoryLeaseTable
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.fleet.leadership import Leadership
from tests.virtual_time import run

F = 10.0
ME, OTHER = "me@00000001", "other@00000002"


class Candidate:
    """One worker's leadership, polled by hand."""

    def __init__(self, memory: MemoryLeaseTable, me: str = ME, seed: int = 1) -> None:
        loop = asyncio.get_running_loop()
        self.me = me
        self.dead: set[str] = set()
        self.events: list[Event] = []
        self.memory = memory
        self.table = FaultyLeaseTable(memory)
        self.leadership = Leadership(
            self.table,
            failover_seconds=F,
            clock=loop.time,
            emit=Emitter([self.events.append]),
            rng=random.Random(seed),
        )

    async def poll(self) -> None:
        await self.leadership.poll(self.me, self.dead.__contains__)

    async def go_on(self, until: Callable[[], bool], within: float) -> float:
        """Beat and poll once a second; how long it took until something held."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            self.leadership.own_beat_landed()
            await self.poll()
            if until():
                return loop.time() - began
            assert loop.time() - began < within, f"not within {within} s"
            await asyncio.sleep(1)

    def has_lock(self) -> bool:
        return self.leadership.is_leader

    async def version(self) -> str:
        lock = await self.memory.leader_lock()
        assert lock is not None
        return lock.version

    @property
    def writes(self) -> int:
        return sum(call.operation == "write_leader_lock" for call in self.table.calls)


async def a_table(standby: str | None = None, owner: str | None = OTHER) -> MemoryLeaseTable:
    memory = MemoryLeaseTable(exists=True)
    if owner is not None:
        memory.put_leader_lock(LeaderLock(owner=owner, version="1", duration_ms=int(F * 1000), standby=standby))
    return memory


def test_a_lock_is_renewed_three_times_a_failover_and_not_at_every_poll():
    async def story() -> None:
        candidate = Candidate(await a_table(owner=None))
        for _ in range(31):
            await candidate.poll()
            await asyncio.sleep(1)
        assert candidate.has_lock()
        assert 1 + 7 <= candidate.writes <= 1 + 10

    run(story())


def test_a_leader_leads_no_longer_than_its_own_deadline_whatever_it_was_told_since():
    async def story() -> None:
        candidate = Candidate(await a_table(owner=None))
        await candidate.poll()
        await asyncio.sleep(F * 0.95 - 0.01)
        assert candidate.has_lock()
        await asyncio.sleep(0.02)
        assert not candidate.has_lock()

    run(story())


def test_the_time_that_the_lock_takes_to_be_written_earns_no_leadership():
    async def story() -> None:
        candidate = Candidate(await a_table(owner=None))
        candidate.table.faults.append(Fault(kind="delay_answer", operation="write_leader_lock", seconds=3))
        await candidate.poll()
        await asyncio.sleep(F * 0.95 - 3 - 0.01)
        assert candidate.has_lock()
        await asyncio.sleep(0.02)
        assert not candidate.has_lock()

    run(story())


def test_a_lock_whose_answer_was_lost_is_known_again_with_the_deadline_of_its_sending():
    async def story() -> None:
        candidate = Candidate(await a_table(owner=None))
        candidate.table.faults.append(Fault(kind="lose_answer", operation="write_leader_lock", nth=1))
        with pytest.raises(ServiceUnavailable):
            await candidate.poll()
        assert not candidate.has_lock()
        await asyncio.sleep(2)
        await candidate.poll()
        assert candidate.has_lock()
        assert candidate.writes == 1
        await asyncio.sleep(F * 0.95 - 2 + 0.01)
        assert not candidate.has_lock()

    run(story())


def test_the_standby_takes_a_silent_lock_at_once_and_the_others_leave_it_some_time():
    async def story() -> None:
        standby = Candidate(await a_table(standby=ME))
        assert F < await standby.go_on(standby.has_lock, 30) <= F + 1
        assert standby.leadership.is_standby(ME) is False, "it names nobody yet"
        third = Candidate(await a_table(standby="second@00000003"))
        assert 1.4 * F < await third.go_on(third.has_lock, 60) <= 1.5 * F + 1

    run(story())


def test_a_standby_that_is_dead_is_not_waited_for():
    async def story() -> None:
        third = Candidate(await a_table(standby="second@00000003"))
        third.dead = {"second@00000003"}
        assert F < await third.go_on(third.has_lock, 60) <= F + 1

    run(story())


def test_a_lock_whose_owner_is_dead_is_taken_at_once():
    async def story() -> None:
        third = Candidate(await a_table(standby="second@00000003"))
        third.dead = {OTHER}
        assert await third.go_on(third.has_lock, 5) == 0

    run(story())


@pytest.mark.parametrize("is_standby", [True, False])
def test_a_lock_that_moves_is_nobodys_to_take(is_standby: bool):
    async def story() -> None:
        memory = await a_table(owner=None)
        leader, candidate = Candidate(memory, OTHER, 2), Candidate(memory)
        leader.leadership.name_standby(ME if is_standby else None)
        for _ in range(50):
            for one in (leader, candidate):
                one.leadership.own_beat_landed()
                await one.poll()
            await asyncio.sleep(1)
        assert (leader.has_lock(), candidate.has_lock()) == (True, False)
        assert candidate.writes == 0
        assert candidate.leadership.is_led

    run(story())


def test_who_did_not_look_for_half_a_failover_time_begins_to_watch_the_lock_anew():
    async def story() -> None:
        candidate = Candidate(await a_table(standby=ME))
        await candidate.poll()
        await asyncio.sleep(F + 1)
        await candidate.poll()
        assert not candidate.has_lock(), "it may have been renewed many times in between"
        assert F < await candidate.go_on(candidate.has_lock, 30) <= F + 1

    run(story())


def test_who_could_not_write_itself_does_not_take_the_lock_of_somebody_who_could_not_either():
    async def story() -> None:
        candidate = Candidate(await a_table(standby=ME))
        candidate.leadership.own_beat_landed()
        for _ in range(30):
            await candidate.poll()
            await asyncio.sleep(1)
        assert not candidate.has_lock()
        assert F < await candidate.go_on(candidate.has_lock, 30) <= F + 1

    run(story())


def test_a_gap_between_two_beats_counts_though_it_is_over_when_the_lock_is_looked_at():
    async def story() -> None:
        candidate = Candidate(await a_table(standby=ME))
        candidate.leadership.own_beat_landed()
        for _ in range(7):
            await candidate.poll()
            await asyncio.sleep(6.9 / 7)
        assert F < await candidate.go_on(candidate.has_lock, 30) <= F + 1

    run(story())


def test_who_steps_down_leaves_the_lock_to_others_for_a_failover_time():
    async def story() -> None:
        candidate = Candidate(await a_table(owner=None))
        await candidate.poll()
        await candidate.leadership.step_down(ME)
        assert not candidate.has_lock()
        assert await candidate.memory.leader_lock() is None
        assert [type(event) for event in candidate.events] == [LeadershipTaken, LeadershipLost]
        assert F <= await candidate.go_on(candidate.has_lock, 30) <= F + 1

    run(story())


def test_who_leaves_takes_its_own_lock_away_and_nobody_elses_and_takes_none_again():
    async def story() -> None:
        candidate = Candidate(await a_table(owner=None))
        await candidate.poll()
        candidate.leadership.close()
        assert not candidate.has_lock()
        await candidate.leadership.release(ME)
        assert await candidate.memory.leader_lock() is None
        await candidate.poll()
        assert await candidate.memory.leader_lock() is None
        other = Candidate(await a_table())
        await other.leadership.release(ME)
        assert await other.version() == "1"

    run(story())


def test_who_has_lost_the_lock_leads_no_more_at_once():
    async def story() -> None:
        candidate = Candidate(await a_table(owner=None))
        await candidate.poll()
        candidate.memory.put_leader_lock(LeaderLock(owner=OTHER, version="1", duration_ms=10_000))
        await candidate.poll()
        assert not candidate.has_lock()
        assert [type(event) for event in candidate.events] == [LeadershipTaken, LeadershipLost]

    run(story())


def test_another_process_that_calls_itself_like_us_holds_the_lock_and_not_we():
    async def story() -> None:
        candidate = Candidate(await a_table(owner=ME))
        await candidate.poll()
        assert not candidate.has_lock()

    run(story())


@pytest.mark.parametrize("operation", ["leader_lock", "write_leader_lock"])
def test_an_answer_that_comes_after_the_session_ended_makes_no_leader(operation):
    async def story() -> None:
        candidate = Candidate(await a_table(owner=None))
        candidate.table.faults.append(Fault(kind="delay_answer", operation=operation, seconds=2))
        polling = asyncio.create_task(candidate.poll())
        await asyncio.sleep(1)
        candidate.leadership.abdicate("the session ended")
        await polling
        assert not candidate.has_lock()
        assert (await candidate.memory.leader_lock() is None) == (operation == "leader_lock")

    run(story())


def test_the_lock_of_a_session_that_ended_is_not_the_next_ones():
    async def story() -> None:
        candidate = Candidate(await a_table(owner=None))
        await candidate.poll()
        candidate.leadership.abdicate("the session ended")
        await candidate.poll()
        assert not candidate.has_lock()

    run(story())


def test_another_standby_is_named_at_the_next_poll_and_the_same_one_costs_no_write():
    async def story() -> None:
        candidate = Candidate(await a_table(owner=None))
        await candidate.poll()
        candidate.leadership.name_standby(OTHER)
        for _ in range(3):
            await asyncio.sleep(0.5)
            await candidate.poll()
        lock = await candidate.memory.leader_lock()
        assert lock is not None
        assert lock.standby == candidate.leadership.standby == OTHER
        assert candidate.writes == 2

    run(story())


@pytest.mark.parametrize("operation", ["leader_lock", "write_leader_lock"])
def test_a_lock_that_is_throttled_is_tried_again_a_few_times_within_the_poll(operation):
    async def story() -> None:
        candidate = Candidate(await a_table(owner=None))
        fault = Fault(kind="throttle", operation=operation, times=3)
        candidate.table.faults.append(fault)
        await candidate.poll()
        assert candidate.has_lock()
        candidate.table.faults.append(Fault(kind="throttle", operation="leader_lock"))
        with pytest.raises(Throttled):
            await candidate.poll()
        assert candidate.table.faults[-1].hits == 4

    run(story())


def test_a_free_lock_that_not_even_the_standby_takes_is_overdue():
    async def story() -> None:
        candidate = Candidate(await a_table(standby="second@00000003"))
        assert not candidate.leadership.is_overdue
        took = await candidate.go_on(lambda: candidate.leadership.is_overdue, 30)
        assert F + 0.5 < took <= F + 2
        assert not candidate.has_lock()

    run(story())


def test_a_lock_that_does_not_parse_is_nobodys_and_told_of_once():
    async def story() -> None:
        candidate = Candidate(await a_table(owner=None))
        await candidate.poll()
        candidate.memory.odd_rows["Leader"] = "no version"
        for _ in range(2):
            await candidate.poll()
            assert not candidate.has_lock()
        assert [type(event) for event in candidate.events] == [LeadershipTaken, LeadershipLost, OddRowFound]

    run(story())


def test_who_is_overtaken_while_it_takes_or_renews_the_lock_does_not_lead():
    async def story() -> None:
        memory = await a_table(owner=None)
        for version in "12":
            candidate = Candidate(memory)
            candidate.table.faults.append(Fault(kind="delay", operation="write_leader_lock", seconds=1))
            polling = asyncio.create_task(candidate.poll())
            await asyncio.sleep(0.5)
            memory.put_leader_lock(LeaderLock(owner=OTHER, version=version, duration_ms=10_000, is_released=True))
            await polling
            assert not candidate.has_lock()
            assert not candidate.events
        candidate.table.faults.clear()
        await candidate.poll()
        assert candidate.has_lock()
        await asyncio.sleep(4)
        candidate.table.faults.append(Fault(kind="delay", operation="write_leader_lock", seconds=1))
        polling = asyncio.create_task(candidate.poll())
        await asyncio.sleep(0.5)
        memory.put_leader_lock(LeaderLock(owner=OTHER, version="3", duration_ms=10_000))
        await polling
        assert not candidate.has_lock()
        assert [type(event) for event in candidate.events] == [LeadershipTaken, LeadershipLost]

    run(story())


def test_leadership_is_told_once_and_not_with_every_renewal():
    async def story() -> None:
        candidate = Candidate(await a_table(owner=None))
        assert (candidate.leadership.leader, candidate.leadership.standby) == (None, None)
        for _ in range(30):
            await candidate.poll()
            await asyncio.sleep(1)
        assert [type(event) for event in candidate.events] == [LeadershipTaken]
        assert candidate.leadership.leader == ME

    run(story())
