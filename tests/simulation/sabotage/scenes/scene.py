"""What every scene is made of: a fleet, a seed, and what fleets do in many of them."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec

from kcl_py.local.faulty_lease_table import Fault, Operation
from tests.simulation.facts import Healed
from tests.simulation.fleet_worker import FleetWorker
from tests.simulation.laws.history import History, worker_of
from tests.simulation.simulation import Simulation, simulated

FAILOVER_SECONDS = 10.0
CAP, PAGE = 50, 100
SETTINGS: Mapping[str, object] = {
    "balance": "lease_count",
    "failover_seconds": FAILOVER_SECONDS,
    "checkpoint_interval_seconds": 2.0,
    "uncheckpointed_records_max": CAP,
    "read_limit": PAGE,
    "retry_backoff_max_seconds": 2.0,
    "retry_stopped_seconds": 5.0,
}


class Scene(msgspec.Struct, frozen=True):
    """A fleet and what happens to it.

    Attributes:
        play: what happens.
        seed: of the order of everything.
        shards: of the stream at first.
        told: what `History` is told beside the failover time.
    """

    play: Callable[[Simulation], Coroutine[Any, Any, None]]
    seed: int = 1
    shards: int = 4
    told: Mapping[str, float] = msgspec.field(default_factory=dict)

    def history(self) -> History:
        """Let it happen."""
        told: dict[str, Any] = {"repeats_max": CAP + PAGE, "checkpoint_seconds": 2.0, **self.told}
        return History(simulated(self.seed, self.play, shards=self.shards), FAILOVER_SECONDS, **told)


def scene(shards: int = 4, seed: int = 1, **told: float) -> Callable[[Callable[..., Any]], Scene]:
    """Make a scene of what happens in it."""
    return lambda play: Scene(play, seed, shards, told)


def recruit(fleet: Simulation, name: str, **settings: object) -> FleetWorker:
    return fleet.join(name, **{**SETTINGS, **settings})


async def settled(fleet: Simulation, workers: int, **settings: object) -> None:
    """So many workers join, and have found their shares."""
    for number in range(workers):
        recruit(fleet, f"w{number}", **settings)
    await under_load(fleet, 30)


async def under_load(fleet: Simulation, seconds: float, *, aggregate_max: int = 1, count: int = 4) -> None:
    """Let time pass while records come in."""
    for _ in range(int(seconds)):
        fleet.put(count, aggregate_max=aggregate_max)
        await asyncio.sleep(1)


async def at_rest(fleet: Simulation, seconds: float = 50) -> None:
    """Nothing happens any more, and everything is done."""
    fleet.log.note("", Healed())
    await asyncio.sleep(seconds)


async def outlived_by_retention(fleet: Simulation, **settings: object) -> None:
    """Nobody runs for longer than records are kept; some were done, some not, and some come later."""
    recruit(fleet, "a", **settings)
    await under_load(fleet, 20)
    fleet.crash("a")
    await under_load(fleet, 10)
    await fleet.pass_hours(23)
    await under_load(fleet, 10)
    await fleet.pass_hours(3)
    recruit(fleet, "b", **settings)
    await under_load(fleet, 60)
    await at_rest(fleet)


def part(fleet: Simulation, which: str) -> str:
    """The worker that leads, the one that stands by, or another."""
    lock = History(fleet.log).lock_writes[-1][1]
    parts = {"leader": worker_of(lock.owner or ""), "standby": worker_of(lock.standby or "")}
    return parts.get(which) or next(name for name in fleet.workers if name not in parts.values())


def spoil(worker: FleetWorker, kind: Any, *operations: Operation | None, nth: int | None = None) -> None:
    worker.table.faults += [Fault(kind=kind, operation=operation, nth=nth) for operation in operations or (None,)]


def spoil_for(fleet: Simulation, worker: FleetWorker, seconds: float, kind: Any, *operations: Operation | None) -> None:
    spoil(worker, kind, *operations)
    fleet.trouble("throttle all" if kind == "throttle" else kind, seconds, worker.name)
    asyncio.get_running_loop().call_later(seconds, worker.table.faults.clear)


def slow(fleet: Simulation, seconds: float) -> None:
    for worker in fleet.everybody:
        worker.processing_seconds = lambda: seconds
