"""Subscriptions break, hang, are taken over and refused; the consumer is deleted."""

from contextlib import suppress

import msgspec

from kcl_py.core.position import ReadFrom
from kcl_py.errors import ConsumerMissing, ServiceUnavailable, SubscriptionTaken
from kcl_py.interfaces import Page
from kcl_py.local.fan_out_door import LocalFanOut
from kcl_py.local.faults import (
    AnswerChanged,
    AnswerLost,
    Broken,
    Effect,
    Fault,
    HalfOpen,
    Operation,
    Refused,
    throttled,
)
from tests.simulation.scene import Scene

DOWN = ServiceUnavailable("500")


def broken_subscriptions(scene: Scene) -> None:
    """Connections break while pages are waited for."""
    _for_one(scene, "receive", Broken(DOWN, scene.dice.uniform(0, 4)))


def half_open_subscriptions(scene: Scene) -> None:
    """Nothing arrives any more, and nobody says so."""
    _for_one(scene, "receive", HalfOpen())


def lost_pages(scene: Scene) -> None:
    """Pages are sent, and go down with the connection."""
    _for_one(scene, "receive", AnswerLost(DOWN))


def refused_subscriptions(scene: Scene) -> None:
    """One worker cannot subscribe."""
    _for_one(scene, "subscribe", Refused(DOWN), scene.dice.choice([0.5, 1.0]))


def throttled_subscriptions(scene: Scene) -> None:
    """Subscriptions come too fast, says the service."""
    _for_one(scene, "subscribe", throttled())


def lost_subscriptions(scene: Scene) -> None:
    """The service has subscribed whoever asked, and nobody is told."""
    _for_one(scene, "subscribe", AnswerLost(DOWN))


def nameless_last_pages(scene: Scene) -> None:
    """The last page of a shard names no children."""

    def nameless(page: Page | None) -> Page | None:
        return msgspec.structs.replace(page, child_shards=()) if page is not None else None

    _for_one(scene, "receive", AnswerChanged(nameless), 1.0)


async def taken_subscriptions(scene: Scene) -> None:
    """Somebody else subscribes through the same consumer."""
    door = LocalFanOut(scene.fleet.world.model, scene.fleet.world.stream_name)
    for consumer in await door.consumers():
        for shard in await scene.fleet.open_shards():
            if scene.dice.random() < 0.5:
                with suppress(SubscriptionTaken, ConsumerMissing):
                    taken = await door.subscribe(consumer.arn, shard.shard_id, ReadFrom("LATEST"))
                    await taken.close()
    scene.fleet.trouble("subscriptions taken", 20.0)


async def deleted_consumer(scene: Scene) -> None:
    """An operator deregisters the consumer."""
    door = LocalFanOut(scene.fleet.world.model, scene.fleet.world.stream_name)
    for consumer in await door.consumers():
        await door.deregister(consumer.name)
    scene.fleet.trouble("consumer deleted", 20.0)


def _for_one(scene: Scene, operation: Operation, effect: Effect, chance: float | None = None) -> None:
    victim = scene.victim()
    if victim is None or victim.fan_out is None:
        return
    door = victim.fan_out
    likely = scene.dice.uniform(0.1, 0.6) if chance is None else chance
    fault = Fault(operation=operation, effect=effect, chance=likely)
    door.faults.append(fault)
    seconds = scene.dice.choice([3.0, 20.0, 2 * scene.life.failover_seconds])
    scene.trouble("fan-out", seconds, lambda: door.faults.remove(fault), victim.name)
