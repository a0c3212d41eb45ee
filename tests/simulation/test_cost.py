"""What fleet.md, section 9, and cost.md say of the cost, counted."""

import asyncio
from pathlib import Path

import pytest

from tests.simulation.cost import (
    CHECKPOINT_SECONDS,
    LEASE_READS,
    LEASES_PER_WORKER,
    MINUTE_SECONDS,
    WORKER_READS,
    WORKER_WRITES,
    document,
    java,
    moved,
    native,
)
from tests.simulation.simulation import Simulation, simulated

PAGE = Path(__file__).parents[2] / "docs" / "cost.md"
FAILOVER_SECONDS = 10.0
BEATS = MINUTE_SECONDS / (FAILOVER_SECONDS / 3)
BEATS_MAX = BEATS / 0.9 + 1  # they are jittered


@pytest.mark.parametrize(("leases", "workers"), [(10, 2), (50, 5)])
def test_an_idle_fleet_writes_its_beats_and_the_lock_and_nothing_else(leases, workers):
    written = native(leases, workers, is_busy=False).whole.written
    assert set(written) == {"beats", "lock"}
    assert BEATS * workers <= written["beats"] <= BEATS_MAX * workers
    assert written["lock"] <= BEATS_MAX


@pytest.mark.parametrize("workers", [4, 20])
def test_an_ordinary_worker_beats_and_reads_lock_and_index_and_costs_the_same_in_any_fleet(workers):
    ordinary = native(40, workers, is_busy=False).ordinary
    assert len(ordinary) == workers - 2
    for minute in ordinary:
        assert set(minute.written) == {"beats"}
        assert BEATS - 1 <= minute.written["beats"] <= BEATS_MAX
        assert set(minute.read) == {"lock", "index"}
        assert minute.read_units == pytest.approx(1.5 * MINUTE_SECONDS, rel=0.1)


def test_a_busy_shard_costs_one_write_per_checkpoint_interval_and_no_read():
    idle, busy = (native(20, 2, is_busy=is_busy).whole for is_busy in (False, True))
    assert busy.written["checkpoints"] == pytest.approx(20 * MINUTE_SECONDS / CHECKPOINT_SECONDS, rel=0.1)
    assert busy.read_units == pytest.approx(idle.read_units, rel=0.1)


def test_an_idle_shard_that_had_records_writes_once_in_ten_minutes():
    written: list[int] = []

    async def scenario(fleet: Simulation) -> None:
        table = fleet.join("w", idle_read_interval_seconds=5.0).table
        await asyncio.sleep(10)
        fleet.put(100, keys=1_000)
        await asyncio.sleep(60)
        begun = len(table.calls)
        await asyncio.sleep(2 * 600)
        written.append(sum(call.operation == "write" for call in table.calls[begun:]))

    simulated(1, scenario, shards=4)
    assert written == [2 * 4]


def test_a_hand_over_costs_three_writes_and_two_index_entries():
    count, cost = moved(20)
    assert count == 10
    assert cost.written_units == 5 * count


@pytest.mark.parametrize(("leases", "workers"), [(60, 3), (20, 20)])
def test_the_page_says_what_a_worker_and_a_lease_cost(leases, workers):
    minute = native(leases, workers, is_busy=False).whole
    assert minute.written["beats"] == pytest.approx(WORKER_WRITES * workers, rel=0.05)
    assert minute.read_units == pytest.approx(WORKER_READS * workers + LEASE_READS * leases, rel=0.1)


def test_the_sum_is_below_javas_with_more_leases_per_worker_than_the_page_says_and_above_it_with_fewer():
    for per_worker, is_cheaper in ((LEASES_PER_WORKER + 1, True), (LEASES_PER_WORKER - 1, False)):
        leases = int(10 * per_worker)
        ours, theirs = native(leases, 10, is_busy=False).whole, java(leases, 10, is_busy=False)
        assert (ours.as_writes < theirs.as_writes) is is_cheaper
        assert ours.read_units > theirs.read_units
        assert ours.written_units < theirs.written_units


def test_the_page_says_what_the_command_prints():
    assert PAGE.read_text().startswith(next(document()) + "\n")
