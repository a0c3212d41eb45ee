"""Shards are split and merged."""

import asyncio

from tests.simulation.scene import Scene

OPEN_MAX = 12  # more than a fleet begins with, but in the largest


async def split(scene: Scene) -> None:
    """One shard becomes two, unless there are many already."""
    shards = await scene.fleet.open_shards()
    if len(shards) < max(OPEN_MAX, scene.life.shards + 4):
        await scene.fleet.split(scene.dice.choice(shards))


async def merge(scene: Scene) -> None:
    """Two neighbours become one, unless there would be too few to be busy with."""
    shards = await scene.fleet.open_shards()
    if len(shards) > 1 and (scene.life.shards < 20 or len(shards) > 20):
        at = scene.dice.randrange(len(shards) - 1)
        await scene.fleet.merge(shards[at], shards[at + 1])


async def generations(scene: Scene) -> None:
    """Three generations of splits and merges within ten seconds, with records in each."""
    for _ in range(3):
        await split(scene)
        scene.fleet.put(scene.dice.randint(0, 4))
        await merge(scene)
        await asyncio.sleep(scene.dice.uniform(0, 3))
        scene.fleet.put(scene.dice.randint(0, 4))
