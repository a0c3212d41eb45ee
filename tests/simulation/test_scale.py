"""Fifty workers and five hundred shards."""

import asyncio
from collections import Counter

from tests.simulation.facts import Crashed, Drained
from tests.simulation.laws.history import History, worker_of
from tests.simulation.laws.liveness import soon_elsewhere, takeovers
from tests.simulation.simulation import Simulation, simulated

WORKERS, SHARDS = 50, 500


async def large(fleet: Simulation) -> None:
    for number in range(WORKERS):
        fleet.join(f"w{number}", balance="lease_count", idle_read_interval_seconds=20.0)
        await asyncio.sleep(0.1)
    await asyncio.sleep(50)
    fleet.crash("w17")
    await asyncio.sleep(40)


def test_a_large_fleet_shares_evenly_keeps_still_and_takes_over_in_time():
    history = History(simulated(1, large, shards=SHARDS))
    crashed_at = next(entry.at for entry, _ in history.log.of(Crashed))
    before = shares(history, crashed_at)
    assert len(before) == WORKERS
    assert sum(before.values()) == SHARDS
    assert max(before.values()) - min(before.values()) <= 1
    assert not [entry for entry, _ in history.writes if crashed_at - 15 < entry.at < crashed_at], (
        "it does not keep still"
    )
    assert len(list(takeovers(history))) == before["w17"]
    assert soon_elsewhere(history) == []
    after = shares(history, drained_at(history))
    assert len(after) == WORKERS - 1
    assert max(after.values()) - min(after.values()) <= 1


def shares(history: History, at: float) -> Counter[str]:
    """How many shards each worker held at an instant."""
    rows = [history.row_at(shard_id, at) for shard_id in history.writes_of]
    return Counter(worker_of(row.held_by) for row in rows if row is not None and row.held_by is not None)


def drained_at(history: History) -> float:
    """When everybody was told to stop."""
    return next(entry.at for entry, _ in history.log.of(Drained)) - 0.001
