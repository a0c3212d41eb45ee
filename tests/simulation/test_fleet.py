"""The simulation itself: whole fleets live in it, and one seed is one history."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from tests.simulation.facts import Done, Log, Put
from tests.simulation.simulation import Simulation, simulated

ROOT = Path(__file__).parents[2]
PRINTED = """
import hashlib
from tests.simulation.life import Life
from tests.simulation.verdict import lived
for seed in (2, 15):
    print(hashlib.sha256(str(lived(Life.of(seed))).encode()).hexdigest())
"""


async def busy(fleet: Simulation) -> None:
    """Two workers, one of which crashes; a pause; a split; records all the time."""
    fleet.join("a")
    fleet.join("b", rate=1.02)
    for second in range(60):
        fleet.put(2)
        if second == 10:
            await fleet.split((await fleet.open_shards())[0])
        if second == 20:
            fleet.pause("b", 5)
        if second == 30:
            fleet.crash("a")
        await asyncio.sleep(1)
    await asyncio.sleep(5)


def done(log: Log) -> set[tuple[str, int]]:
    return {(put.key, put.number) for _, batch in log.of(Done) for put in batch.records}


def test_everything_that_was_put_is_done_though_a_worker_crashes():
    log = simulated(1, busy)
    assert {(put.key, put.number) for _, put in log.of(Put)} == done(log)


def test_one_seed_is_one_history():
    assert str(simulated(7, busy)) == str(simulated(7, busy))


def test_another_seed_is_another_history():
    assert str(simulated(7, busy)) != str(simulated(8, busy))


def test_one_seed_is_one_history_in_every_process():
    command = (sys.executable, "-c", PRINTED)
    histories = set()
    for hash_seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        ran = subprocess.run(command, env=environment, capture_output=True, check=True, cwd=ROOT)
        histories.add(ran.stdout)
    assert len(histories) == 1
