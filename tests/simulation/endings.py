"""How the life of a fleet ends: what comes after the trouble, and what must then come true."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from kcl_py.local.faulty_lease_table import Fault
from tests.simulation.facts import CoreChosen, Healed
from tests.simulation.fleet_worker import FleetWorker
from tests.simulation.life import Ending, Life
from tests.simulation.simulation import Simulation

HEAL_SECONDS_MAX = 300.0


class Living(Protocol):
    """What an ending knows of the life that it ends."""

    @property
    def life(self) -> Life: ...

    def put(self) -> None:
        """Put some records."""

    def recruit(self, worker_id: str | None = None) -> FleetWorker:
        """Have another worker join."""

    def heal(self) -> None:
        """Mend everything."""


async def heal(living: Living, fleet: Simulation) -> None:
    """Nothing goes wrong any more, and everything gets done."""
    living.heal()
    if not fleet.workers:
        living.recruit()
    fleet.log.note("", Healed())
    await _until_done(fleet)
    await asyncio.sleep(living.life.quiet_seconds)


async def core(living: Living, fleet: Simulation) -> None:
    """Some workers are well; what ails the others, if anything does, never ends. All the same everything gets done."""
    living.heal()
    if not fleet.workers:
        living.recruit()
    dice = fleet.dice
    names = sorted(fleet.workers)
    healthy = dice.sample(names, dice.randint(1, len(names)))
    for name in names:
        if name not in healthy:
            dice.choice([_dies, _stands_still, _hangs, _has_no_table])(fleet, fleet.workers[name])
    fleet.log.note("", CoreChosen(workers=tuple(sorted(healthy))))
    fleet.log.note("", Healed())
    for _ in range(20):
        living.put()
        await asyncio.sleep(1)
    await _until_done(fleet)
    await asyncio.sleep(2 * living.life.failover_seconds)
    for worker in fleet.everybody:
        if worker.name in names and worker.name not in healthy and worker.is_alive:
            worker.crash()  # it would not stop in order


async def night(living: Living, fleet: Simulation) -> None:
    """Nobody runs, mostly for longer than the stream keeps its records, and then somebody does."""
    for worker in tuple(fleet.workers.values()):
        worker.crash()
    living.heal()
    for hours in (fleet.dice.choice([1, 13]), fleet.dice.choice([12, 26])):
        await fleet.pass_hours(hours)
        for _ in range(5):
            living.put()
    living.recruit()
    await asyncio.sleep(3 * living.life.seconds_of("shard_listing_interval"))  # until what was trimmed has been told
    await heal(living, fleet)


async def stream_replaced(living: Living, fleet: Simulation) -> None:
    """The stream is another one of the same name: whoever runs stops, and whoever starts refuses."""
    living.heal()
    fleet.replace_stream(living.life.shards)
    await _watched(living, fleet)


async def table_dropped(living: Living, fleet: Simulation) -> None:
    """The lease table is gone: whoever runs stops, and whoever starts afterwards begins anew."""
    living.heal()
    fleet.drop_table()
    await _watched(living, fleet)


async def table_restored(living: Living, fleet: Simulation) -> None:
    """The lease table is an earlier one, under another id: whoever runs stops, and whoever starts refuses."""
    living.heal()
    await fleet.restore_table()
    await _watched(living, fleet)


ENDINGS: Mapping[Ending, Callable[[Living, Simulation], Awaitable[None]]] = {
    "heal": heal,
    "core": core,
    "night": night,
    "stream replaced": stream_replaced,
    "table dropped": table_dropped,
    "table restored": table_restored,
}


async def _watched(living: Living, fleet: Simulation) -> None:
    """Records go on coming; after a while somebody starts anew."""
    for second in range(90):
        living.put()
        if second == 60:
            living.recruit()
        await asyncio.sleep(1)


async def _until_done(fleet: Simulation) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + HEAL_SECONDS_MAX
    while loop.time() < until and not await fleet.is_all_done():
        await asyncio.sleep(2)


def _dies(_: Simulation, worker: FleetWorker) -> None:
    worker.crash()


def _stands_still(_: Simulation, worker: FleetWorker) -> None:
    worker.pause()


def _hangs(_: Simulation, worker: FleetWorker) -> None:
    worker.block()


def _has_no_table(fleet: Simulation, worker: FleetWorker) -> None:
    worker.table.faults.append(Fault(kind="fail"))
    fleet.trouble("table gone", 0, worker.name)  # for good: from here on it is as good as dead
