"""Fleets that read by enhanced fan-out: subscriptions are renewed, break and are taken; the consumer is deleted."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import msgspec

from kcl_py.core.position import ReadFrom
from kcl_py.errors import ConsumerMissing, ServiceUnavailable, SubscriptionTaken
from kcl_py.interfaces import Page
from kcl_py.local.fan_out_door import LocalFanOut
from kcl_py.local.faults import AnswerChanged, AnswerLost, Broken, Delayed, Effect, Fault
from tests.simulation.sabotage.scenes.scene import at_rest, outlived_by_retention, recruit, scene, settled, under_load
from tests.simulation.simulation import Simulation

DOWN = ServiceUnavailable("500")


def _spoil_pages(fleet: Simulation, effect: Effect, every: int = 1) -> None:
    for worker in fleet.everybody:
        assert worker.fan_out is not None
        worker.fan_out.faults.append(Fault(operation="receive", effect=effect, every=every))


def _mend(fleet: Simulation) -> None:
    for worker in fleet.everybody:
        assert worker.fan_out is not None
        worker.fan_out.faults.clear()
        worker.stream.faults.clear()


@scene(shards=2)
async def renewals(fleet: Simulation) -> None:
    """Subscriptions live for their five minutes, and nothing goes wrong."""
    await settled(fleet, 1, fan_out=True)
    await under_load(fleet, 330, count=1)
    await at_rest(fleet)


@scene()
async def subscribed(fleet: Simulation) -> None:
    """Pages are lost with their connections while shards change hands, split, and lose their worker."""
    await settled(fleet, 2, fan_out=True)
    _spoil_pages(fleet, AnswerLost(DOWN), every=4)
    fleet.trouble("fan-out", 20)
    await under_load(fleet, 20)
    _mend(fleet)
    recruit(fleet, "late", fan_out=True)
    await under_load(fleet, 20)
    await fleet.split((await fleet.open_shards())[0])
    await under_load(fleet, 20)
    fleet.crash("w0")
    await under_load(fleet, 30)
    await at_rest(fleet)


@scene(shards=3)
async def broken_and_small(fleet: Simulation) -> None:
    """Subscriptions break as soon as a page is waited for; pages are large, and the buffer is small."""
    await settled(fleet, 1, fan_out=True, buffer_bytes_max=2 << 20)
    _spoil_pages(fleet, Broken(DOWN, 0.05), every=2)
    fleet.trouble("fan-out", 60)
    for _ in range(60):
        fleet.put(1, padding=300_000)
        await asyncio.sleep(1)
    _mend(fleet)
    await under_load(fleet, 30)
    await at_rest(fleet)


@scene()
async def deleted_consumer(fleet: Simulation) -> None:
    """An operator deletes the consumer, and nobody may poll meanwhile."""
    await settled(fleet, 2, fan_out=True, fan_out_fallback=False)
    door = LocalFanOut(fleet.world.model, fleet.world.stream_name)
    for consumer in await door.consumers():
        await door.deregister(consumer.name)
    await under_load(fleet, 60)
    await at_rest(fleet)


@scene(shards=2)
async def taken_over_and_over(fleet: Simulation) -> None:
    """Somebody else subscribes through the same consumer again and again: by polling everything goes on."""
    await settled(fleet, 1, fan_out=True)
    door = LocalFanOut(fleet.world.model, fleet.world.stream_name)
    arn = (await door.consumers())[0].arn
    for _ in range(600):
        for shard in await fleet.open_shards():
            with suppress(SubscriptionTaken, ConsumerMissing):
                await door.subscribe(arn, shard.shard_id, ReadFrom("LATEST"))
        fleet.put(1)
        await asyncio.sleep(0.1)
    await at_rest(fleet, 120)


@scene()
async def false_last_pages(fleet: Simulation) -> None:
    """Pages that are pushed say that open shards have ended; last ones name no children."""
    await settled(fleet, 2, fan_out=True)
    _spoil_pages(fleet, AnswerChanged(_ended()), every=7)
    fleet.trouble("fan-out", 40)
    await under_load(fleet, 20)
    await fleet.split((await fleet.open_shards())[0])
    await under_load(fleet, 20)
    _mend(fleet)
    await at_rest(fleet, 150)


@scene(shards=1)
async def closed_while_listed(fleet: Simulation) -> None:
    """An open shard is said to have ended; until it was listed it has got more records, and has been split."""
    await settled(fleet, 1, fan_out=True)
    said: list[Page] = []
    worker = fleet.everybody[0]
    worker.stream.faults.append(Fault(operation="list_shards", effect=Delayed(4.0)))
    _spoil_pages(fleet, AnswerChanged(_ended(said.append)))
    fleet.trouble("fan-out", 40)
    fleet.put(1)
    while not said:
        await asyncio.sleep(0.1)
    assert worker.fan_out is not None
    worker.fan_out.faults.clear()
    fleet.put(5)
    await fleet.split((await fleet.open_shards())[0])
    await under_load(fleet, 20)
    _mend(fleet)
    await at_rest(fleet, 150)


@scene(shards=2)
async def pushed_after_retention(fleet: Simulation) -> None:
    """Nobody subscribes for longer than records are kept."""
    await outlived_by_retention(fleet, fan_out=True)


def _ended(tell: Callable[[Page], None] = lambda page: None) -> Callable[[Page | None], Page | None]:
    def ended(page: Page | None) -> Page | None:
        if page is None:
            return None
        tell(page)
        return msgspec.structs.replace(page, next_iterator=None, child_shards=())

    return ended
