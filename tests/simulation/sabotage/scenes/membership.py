"""Workers come, leave, die, stand still and are started again."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tests.simulation.journals import ManualJournal
from tests.simulation.laws.history import worker_of
from tests.simulation.sabotage.scenes.scene import (
    FAILOVER_SECONDS,
    SETTINGS,
    Scene,
    at_rest,
    part,
    recruit,
    scene,
    settled,
    slow,
    spoil_for,
    under_load,
)
from tests.simulation.simulation import Simulation


@scene()
async def lifetime(fleet: Simulation) -> None:
    """Workers come, leave and die; a shard is split, two are merged."""
    recruit(fleet, "a")
    await under_load(fleet, 5)
    recruit(fleet, "b")
    await under_load(fleet, 20)
    await fleet.split((await fleet.open_shards())[0])
    await under_load(fleet, 10)
    recruit(fleet, "c")
    await under_load(fleet, 25)
    await fleet.leave("a")
    shards = await fleet.open_shards()
    await fleet.merge(shards[2], shards[3])
    await under_load(fleet, 20)
    fleet.crash("b")
    await under_load(fleet, 25)
    await at_rest(fleet)


def _death(which: str) -> Callable[[Simulation], Coroutine[Any, Any, None]]:
    async def play(fleet: Simulation) -> None:
        await settled(fleet, 3)
        fleet.crash(part(fleet, which))
        await under_load(fleet, 2 * FAILOVER_SECONDS + 10)
        await at_rest(fleet)

    return play


leader_dies = Scene(_death("leader"), shards=6)
other_dies = Scene(_death("other"), shards=6)


@scene(shards=6)
async def slow_hand_off(fleet: Simulation) -> None:
    """A third worker joins while batches take their time: shards are handed over with one in flight."""
    await settled(fleet, 2)
    slow(fleet, 2.0)
    await under_load(fleet, 4)
    recruit(fleet, "late")
    await under_load(fleet, 40)
    slow(fleet, 0.0)
    await at_rest(fleet)


@scene(shards=6)
async def idle(fleet: Simulation) -> None:
    """A third worker joins where no records come."""
    for name in "ab":
        recruit(fleet, name)
    await asyncio.sleep(20)
    recruit(fleet, "late")
    await asyncio.sleep(50)


@scene(shards=6)
async def giver_dies(fleet: Simulation) -> None:
    """The giver of a hand-off dies before it has given."""
    await settled(fleet, 2)
    slow(fleet, 3.0)
    recruit(fleet, "late")
    for _ in range(300):
        fleet.put(1)
        await asyncio.sleep(0.1)
        givers = [worker_of(row.checkpoint_owner) for row in (await fleet.rows()).values() if row.checkpoint_owner]
        if givers:
            fleet.crash(givers[0])
            break
    await under_load(fleet, 40)
    slow(fleet, 0.0)
    await at_rest(fleet)


@scene(shards=6)
async def leader_cut_off(fleet: Simulation) -> None:
    """The leader can renew its lock no more, though it reaches everything else; workers come meanwhile."""
    await settled(fleet, 3)
    leader = fleet.workers[part(fleet, "leader")]
    spoil_for(fleet, leader, 60, "fail", "write_leader_lock")
    await under_load(fleet, 25)
    for name in "xyz":
        recruit(fleet, name)
        await under_load(fleet, 12)
    await at_rest(fleet)


@scene(shards=6)
async def receiver_dies(fleet: Simulation) -> None:
    """The receiver of a hand-off dies before it has received."""
    await settled(fleet, 2)
    slow(fleet, 3.0)
    recruit(fleet, "late")
    for _ in range(300):
        fleet.put(1)
        await asyncio.sleep(0.1)
        rows = (await fleet.rows()).values()
        if any(row.checkpoint_owner is not None and worker_of(row.owner or "") == "late" for row in rows):
            break
    fleet.crash("late")
    await under_load(fleet, 40)
    slow(fleet, 0.0)
    await at_rest(fleet)


@scene(shards=8)
async def burst(fleet: Simulation) -> None:
    """Many join at once, and many leave."""
    await settled(fleet, 1)
    for number in range(6):
        recruit(fleet, f"n{number}")
        await under_load(fleet, 1)
    await under_load(fleet, 50)
    for number in range(4):
        fleet.leave(f"n{number}")
    await under_load(fleet, 50)
    await at_rest(fleet, 70)


@scene(shards=6)
async def leaving(fleet: Simulation) -> None:
    """Two leave, one after the other, while records come in, the second with a batch in flight."""
    await settled(fleet, 3)
    await fleet.leave("w0")
    await under_load(fleet, 40)
    slow(fleet, 2.0)
    await under_load(fleet, 5)
    await fleet.leave("w1")
    await under_load(fleet, 30)
    slow(fleet, 0.0)
    await at_rest(fleet)


@scene(shards=6)
async def manual_leaving(fleet: Simulation) -> None:
    """The same with processors that checkpoint by themselves."""
    for number in range(3):
        fleet.join(f"w{number}", journal=ManualJournal, **SETTINGS)
    await under_load(fleet, 35)
    await fleet.leave("w0")
    await under_load(fleet, 40)
    await fleet.leave("w1")
    await under_load(fleet, 30)
    await at_rest(fleet)


@scene(shards=6)
async def standing_still(fleet: Simulation) -> None:
    """A worker stands still for three failover times while batches are in flight."""
    await settled(fleet, 3)
    slow(fleet, 0.3)
    await under_load(fleet, 5)
    fleet.pause("w1", 3 * FAILOVER_SECONDS)
    await under_load(fleet, 4 * FAILOVER_SECONDS)
    await at_rest(fleet)


@scene(shards=6, stall_timeout_seconds=30)
async def blocked(fleet: Simulation) -> None:
    """User code blocks a worker's loop for a minute, twice as long as it may."""
    await settled(fleet, 3, stall_timeout_seconds=30.0)
    fleet.workers["w1"].block()
    blocked = fleet.workers["w1"]
    await under_load(fleet, 60)
    blocked.unblock()
    await under_load(fleet, 20)
    await at_rest(fleet)


@scene(shards=6, stall_timeout_seconds=30)
async def hanging(fleet: Simulation) -> None:
    """A worker's calls hang, each of them for ever, until they are mended."""
    await settled(fleet, 3, stall_timeout_seconds=30.0)
    worker = fleet.workers["w1"]
    worker.processing_seconds = lambda: 1e6
    fleet.trouble("hangs", 100)
    await under_load(fleet, 100)
    worker.processing_seconds = lambda: 0.0
    await under_load(fleet, 40)
    await at_rest(fleet)


@scene()
async def restarted(fleet: Simulation) -> None:
    """All workers of the one host die, and one is started again."""
    for name in "ab":
        recruit(fleet, name, host="here")
    await under_load(fleet, 30)
    fleet.crash("a")
    fleet.crash("b")
    await asyncio.sleep(1)
    recruit(fleet, "c", host="here")
    await under_load(fleet, 30)
    await at_rest(fleet)
