"""Shards are split and merged, listings are torn, reads fail, and records pass out of retention."""

import asyncio

import msgspec

from kcl_py.core.shard import Shard
from kcl_py.errors import IteratorExpired, ServiceUnavailable, StreamNotFound
from kcl_py.interfaces import Page
from kcl_py.local.faults import AnswerChanged, Refused
from kcl_py.local.faults import Fault as StreamFault
from tests.simulation.sabotage.scenes.scene import (
    at_rest,
    outlived_by_retention,
    recruit,
    scene,
    settled,
    slow,
    under_load,
)
from tests.simulation.simulation import Simulation


@scene(shards=2)
async def merged(fleet: Simulation) -> None:
    """Two shards of two workers are merged; one of the two takes long to be done."""
    await settled(fleet, 2)
    fleet.workers["w0"].processing_seconds = lambda: 6.0
    await under_load(fleet, 12)
    shards = await fleet.open_shards()
    await fleet.merge(shards[0], shards[1])
    await under_load(fleet, 60)
    fleet.workers["w0"].processing_seconds = lambda: 0.0
    await at_rest(fleet, 80)


@scene(shards=2, audit_seconds=10)
async def generations(fleet: Simulation) -> None:
    """Splits and merges in quick succession, and a worker dies meanwhile."""
    await settled(fleet, 3, shard_listing_interval_seconds=10.0)
    for _ in range(3):
        for shard in (await fleet.open_shards())[:2]:
            await fleet.split(shard)
            fleet.put(6)
            await asyncio.sleep(0.4)
        shards = await fleet.open_shards()
        await fleet.merge(shards[1], shards[2])
        await under_load(fleet, 3)
    fleet.crash("w1")
    await under_load(fleet, 60)
    await at_rest(fleet, 80)


@scene(audit_seconds=10)
async def torn_listings(fleet: Simulation) -> None:
    """Half of every listing is missing for a while, and every shard is split."""
    await settled(fleet, 2, shard_listing_interval_seconds=10.0)
    lists = 0

    def torn(shards: tuple[Shard, ...]) -> tuple[Shard, ...]:
        nonlocal lists
        lists += 1
        return tuple(shard for number, shard in enumerate(shards) if (number + lists) % 3)

    for worker in fleet.everybody:
        worker.stream.faults.append(StreamFault(operation="list_shards", effect=AnswerChanged(torn)))
    fleet.trouble("stream", 40)
    await under_load(fleet, 15)
    await fleet.split((await fleet.open_shards())[0])
    await under_load(fleet, 25)
    for worker in fleet.everybody:
        worker.stream.faults.clear()
    await under_load(fleet, 20)
    await at_rest(fleet, 100)


@scene()
async def false_ends(fleet: Simulation) -> None:
    """Open shards are said to have ended; closed ones do not name their children."""

    def ended(page: Page) -> Page:
        return msgspec.structs.replace(page, next_iterator=None, child_shards=())

    await settled(fleet, 2)
    for worker in fleet.everybody:
        worker.stream.faults.append(StreamFault(operation="read", effect=AnswerChanged(ended), every=7))
    fleet.trouble("stream", 40)
    await under_load(fleet, 20)
    await fleet.split((await fleet.open_shards())[0])
    await under_load(fleet, 20)
    for worker in fleet.everybody:
        worker.stream.faults.clear()
    await at_rest(fleet, 150)


@scene(audit_seconds=10)
async def missing_shard(fleet: Simulation) -> None:
    """A shard that was split is left out of the listings for a while, and the service says that it does not know it."""
    await settled(fleet, 2, shard_listing_interval_seconds=10.0)
    slow(fleet, 5.0)
    await under_load(fleet, 10)
    shard = (await fleet.open_shards())[1]
    shard_id = shard.shard_id
    await fleet.split(shard)

    def torn(shards: tuple[Shard, ...]) -> tuple[Shard, ...]:
        return tuple(shard for shard in shards if shard.shard_id != shard_id)

    for worker in fleet.everybody:
        worker.stream.faults += [
            StreamFault(operation="list_shards", effect=AnswerChanged(torn)),
            StreamFault(operation="read", shard_id=shard_id, effect=Refused(StreamNotFound("no such shard"))),
        ]
    fleet.trouble("stream", 90)
    slow(fleet, 0.0)
    await under_load(fleet, 45)
    for worker in fleet.everybody:
        worker.stream.faults.clear()
    await under_load(fleet, 45)
    await at_rest(fleet, 80)


@scene(audit_seconds=10)
async def half_a_family(fleet: Simulation) -> None:
    """The last page of a shard names one child of two, or none, and listings show no more than that for a while."""
    await settled(fleet, 2, shard_listing_interval_seconds=10.0)
    first, second = (await fleet.open_shards())[:2]

    def youngest_left_out(page: Page) -> Page:
        named = {first.shard_id: 1, second.shard_id: 0}
        shown = [child for child in page.child_shards if child.parent_shard_ids[0] not in named]
        kept = [child for child in page.child_shards if named.get(child.parent_shard_ids[0])][:1]
        return msgspec.structs.replace(page, child_shards=(*shown, *kept))

    def torn(shards: tuple[Shard, ...]) -> tuple[Shard, ...]:
        of_first = [shard for shard in shards if first.shard_id in shard.parent_shard_ids]
        of_second = [shard for shard in shards if second.shard_id in shard.parent_shard_ids]
        return tuple(shard for shard in shards if shard not in of_first[1:] and shard not in of_second)

    for worker in fleet.everybody:
        worker.stream.faults += [
            StreamFault(operation="list_shards", effect=AnswerChanged(torn)),
            StreamFault(operation="read", effect=AnswerChanged(youngest_left_out)),
        ]
    fleet.trouble("stream", 90)
    await fleet.split(first)
    await fleet.split(second)
    await under_load(fleet, 30)
    for worker in fleet.everybody:
        worker.stream.faults.clear()
    await under_load(fleet, 60)
    await at_rest(fleet, 100)


@scene(shards=2)
async def expired(fleet: Simulation) -> None:
    """Iterators expire."""
    await settled(fleet, 1)
    for worker in fleet.everybody:
        worker.stream.faults.append(StreamFault(operation="read", effect=Refused(IteratorExpired("too old")), every=3))
    fleet.trouble("stream", 30)
    await under_load(fleet, 30)
    fleet.everybody[0].stream.faults.clear()
    await at_rest(fleet)


@scene()
async def unreadable(fleet: Simulation) -> None:
    """For a minute and a half nobody can read."""
    await settled(fleet, 2)
    for worker in fleet.everybody:
        worker.stream.faults.append(StreamFault(operation="read", effect=Refused(ServiceUnavailable("500"))))
    fleet.trouble("stream", 90)
    await under_load(fleet, 90)
    for worker in fleet.everybody:
        worker.stream.faults.clear()
    await at_rest(fleet, 120)


@scene(shards=2)
async def retention(fleet: Simulation) -> None:
    """Nobody runs for longer than records are kept."""
    await outlived_by_retention(fleet)


@scene(shards=2)
async def never_begun(fleet: Simulation) -> None:
    """The rows stand, nothing was read, and the records pass out of retention."""
    recruit(fleet, "a")
    fleet.everybody[0].processing_seconds = lambda: 1e3
    await under_load(fleet, 5)
    fleet.crash("a")
    await fleet.pass_hours(26)
    fleet.put(10)
    recruit(fleet, "b")
    await under_load(fleet, 60)
    await at_rest(fleet)


@scene(shards=2)
async def idle_split(fleet: Simulation) -> None:
    """A shard is split where no records come any more, and a single worker is to find the children."""
    await settled(fleet, 1)
    await asyncio.sleep(10)
    await fleet.split((await fleet.open_shards())[0])
    await at_rest(fleet, 110)
