"""What a fleet promises about time, in fleets whose doors work: takeovers, hand-offs, leaving, bursts, throttling."""

import asyncio
from collections.abc import Callable

import pytest

from kcl_py.local.faulty_lease_table import Fault, Operation
from tests.simulation.facts import Crashed, Healed, RowWritten
from tests.simulation.incidents.table import EVERYTHING, WRITES
from tests.simulation.laws.history import History, worker_of
from tests.simulation.laws.liveness import takeovers
from tests.simulation.laws.repeats import few_repeats
from tests.simulation.simulation import Scenario, Simulation, simulated
from tests.simulation.verdict import LAWS, judged

FAILOVER_SECONDS = 10.0
QUIET_SECONDS = 60.0


async def under_load(fleet: Simulation, seconds: float) -> None:
    """Let time pass while records come in."""
    for _ in range(int(seconds)):
        fleet.put(4)
        await asyncio.sleep(1)


async def settled(fleet: Simulation, workers: int) -> None:
    """So many workers join, and have found their shares."""
    for number in range(workers):
        fleet.join(f"w{number}", balance="lease_count", checkpoint_interval_seconds=2.0)
    await under_load(fleet, 40)


async def at_rest(fleet: Simulation) -> None:
    """Everything is done, and nothing has happened for a while."""
    fleet.log.note("", Healed())
    await asyncio.sleep(QUIET_SECONDS)


def lawful(scenario: Scenario, seed: int, shards: int = 8) -> History:
    history = History(simulated(seed, scenario, shards=shards), FAILOVER_SECONDS)
    assert judged(history, LAWS) == {}
    return history


def part(fleet: Simulation, which: str) -> str:
    """The worker that leads, the one that stands by, or another."""
    lock = History(fleet.log).lock_writes[-1][1]
    parts = {"leader": worker_of(lock.owner or ""), "standby": worker_of(lock.standby or "")}
    return parts.get(which) or next(name for name in fleet.workers if name not in parts.values())


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("which", ["leader", "standby", "other"])
def test_a_dead_workers_shards_are_delivered_elsewhere_within_the_failover_time_and_three_seconds(which, seed):
    async def scenario(fleet: Simulation) -> None:
        await settled(fleet, 3)
        fleet.crash(part(fleet, which))
        await under_load(fleet, 2 * FAILOVER_SECONDS + 10)
        await at_rest(fleet)

    judged_ones = list(takeovers(lawful(scenario, seed)))
    assert len(judged_ones) >= 2
    assert all(one.allowed_seconds == FAILOVER_SECONDS + 3 for one in judged_ones)


@pytest.mark.parametrize("seed", [1, 2])
def test_leader_and_standby_may_die_at_once(seed):
    async def scenario(fleet: Simulation) -> None:
        await settled(fleet, 4)
        for name in (part(fleet, "leader"), part(fleet, "standby")):
            fleet.crash(name)
        await under_load(fleet, 2 * FAILOVER_SECONDS + 10)
        await at_rest(fleet)

    history = lawful(scenario, seed)
    crashed_at = max(entry.at for entry, _ in history.log.of(Crashed))
    dead = {entry.worker for entry, _ in history.log.of(Crashed)}
    for shard_id in history.writes_of:
        row = history.row_at(shard_id, crashed_at + 2 * FAILOVER_SECONDS + 3)
        assert row is not None
        assert row.held_by is not None
        assert worker_of(row.held_by) not in dead, f"{shard_id} is still a dead worker's"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_is_repeated_when_workers_join_and_leave_in_order(seed):
    async def scenario(fleet: Simulation) -> None:
        await settled(fleet, 2)
        fleet.join("late", balance="lease_count", checkpoint_interval_seconds=2.0)
        await under_load(fleet, 30)
        await fleet.leave("w0")
        await under_load(fleet, 30)
        await fleet.leave("late")
        await under_load(fleet, 30)
        await at_rest(fleet)

    assert few_repeats(lawful(scenario, seed), 0) == []


@pytest.mark.parametrize("seed", [1, 2])
def test_in_a_burst_of_joins_and_leaves_each_lease_moves_at_most_once(seed):
    async def scenario(fleet: Simulation) -> None:
        await settled(fleet, 1)
        for number in range(20):
            fleet.join(f"n{number}", balance="lease_count", checkpoint_interval_seconds=2.0)
            await under_load(fleet, 1)
        await under_load(fleet, 60)
        for number in range(19):
            fleet.leave(f"n{number}")
        await under_load(fleet, 60)
        await at_rest(fleet)

    history = lawful(scenario, seed, shards=20)
    assert few_repeats(history, 0) == []
    burst = [at for at, _ in history.membership_changes][1:21]
    assert all(times <= 1 for times in moves(history, burst[0], burst[-1] + 60).values())


def moves(history: History, begin: float, end: float) -> dict[str, int]:
    """How often each lease changed from one worker to another."""
    count = dict.fromkeys(history.writes_of, 0)
    for entry, write in history.writes:
        if begin <= entry.at < end and write.stood is not None and write.stands is not None:
            was, now = write.stood.owner, write.stands.owner
            count[write.key] += was is not None and now is not None and was != now
    return count


def throttled(operations: tuple[Operation | None, ...]) -> Scenario:
    """A table that throttles everybody for two failover times, the leader three seconds less."""

    async def scenario(fleet: Simulation) -> None:
        await settled(fleet, 3)
        leader = part(fleet, "leader")
        for worker in fleet.everybody:
            seconds = 2 * FAILOVER_SECONDS - 3 * (worker.name == leader)
            fleet.trouble("throttle all", seconds, worker.name)
            worker.table.faults += [Fault(kind="throttle", operation=operation) for operation in operations]
            asyncio.get_running_loop().call_later(seconds, worker.table.faults.clear)
        await under_load(fleet, 2 * FAILOVER_SECONDS + 20)
        await at_rest(fleet)

    return scenario


@pytest.mark.parametrize("operations", [EVERYTHING, WRITES])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_table_that_throttles_everybody_for_two_failover_times_moves_no_lease(seed, operations):
    history = lawful(throttled(operations), seed)
    begin, end, _ = history.troubles[0]
    assert sum(moves(history, begin, end + 3 * FAILOVER_SECONDS).values()) == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_worker_that_stood_still_for_three_failover_times_joins_again_and_overlaps_by_one_batch(seed):
    async def scenario(fleet: Simulation) -> None:
        await settled(fleet, 3)
        for worker in fleet.everybody:
            worker.processing_seconds = lambda: 0.3
        await under_load(fleet, 5)
        fleet.pause("w1", 3 * FAILOVER_SECONDS)
        await under_load(fleet, 4 * FAILOVER_SECONDS)
        await at_rest(fleet)

    lawful(scenario, seed)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_whole_fleet_stops_at_once_and_leaves_no_owner_behind(seed):
    async def scenario(fleet: Simulation) -> None:
        await settled(fleet, 4)
        await asyncio.wait([fleet.leave(name) for name in tuple(fleet.workers)])
        rows, entries = await fleet.rows(), (await fleet.world.table.snapshot()).sessions
        assert {row.effective_owner for row in rows.values()} == {None}
        assert entries == ()

    lawful(scenario, seed)


@pytest.mark.parametrize("dies", ["giver", "receiver"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_hand_off_survives_the_death_of_either_side(dies, seed):
    async def scenario(fleet: Simulation) -> None:
        await settled(fleet, 2)
        for worker in fleet.everybody:
            worker.processing_seconds = lambda: 2.0  # a batch is in flight whenever a hand-off begins
        fleet.join("late", balance="lease_count", checkpoint_interval_seconds=2.0)
        offer = await until(fleet, lambda write: write.is_counter_free)
        assert offer.stands is not None
        who = offer.stands.checkpoint_owner if dies == "giver" else offer.stands.owner
        fleet.crash(worker_of(who or ""))
        await under_load(fleet, 40)
        await at_rest(fleet)

    lawful(scenario, seed)


async def until(fleet: Simulation, is_it: Callable[[RowWritten], bool]) -> RowWritten:
    """Let time pass under load until a row is written in this way."""
    seen = len(fleet.log.entries)
    for _ in range(600):
        for entry in fleet.log.entries[seen:]:
            if isinstance(entry.what, RowWritten) and is_it(entry.what):
                return entry.what
        seen = len(fleet.log.entries)
        fleet.put(1)
        await asyncio.sleep(0.1)
    raise AssertionError("it never happened")
