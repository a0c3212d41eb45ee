"""Kinesis throttles, fails, is slow, says odd things, or is not there."""

from typing import Any

import msgspec

from kcl_py.core.shard import Shard
from kcl_py.errors import IteratorExpired, ServiceUnavailable
from kcl_py.interfaces import Page
from kcl_py.local.faults import (
    AnswerChanged,
    ChildShardsDropped,
    Delayed,
    Effect,
    Fault,
    ListingStale,
    Operation,
    Refused,
    throttled,
)
from tests.simulation.scene import Scene

DOWN = Refused(ServiceUnavailable("500"))


def throttled_reads(scene: Scene) -> None:
    """Reads come too fast, says the service."""
    _for_one(scene, "read", throttled())


def failing_reads(scene: Scene) -> None:
    """Reads fail."""
    _for_one(scene, "read", DOWN)


def slow_reads(scene: Scene) -> None:
    """Reads take seconds."""
    _for_one(scene, "read", Delayed(scene.dice.uniform(0, 4)))


def refused_iterators(scene: Scene) -> None:
    """No iterator is given out."""
    _for_one(scene, "open", DOWN)


def expired_iterators(scene: Scene) -> None:
    """Iterators are old."""
    _for_one(scene, "read", Refused(IteratorExpired("it is older than five minutes")))


async def false_ends(scene: Scene) -> None:
    """A shard that is open is said to have ended."""
    shard_id = scene.dice.choice(await scene.fleet.open_shards()).shard_id

    def ended(page: Page) -> Page:
        if not scene.fleet.is_open(shard_id):  # an end that is true, and too early, nobody could doubt
            return page
        return msgspec.structs.replace(page, next_iterator=None, child_shards=())

    if victim := scene.victim():
        fault = Fault(operation="read", shard_id=shard_id, effect=AnswerChanged(ended), chance=0.5)
        _spoil(scene, victim, (fault,), scene.dice.choice([3.0, 20.0]))


def nameless_children(scene: Scene) -> None:
    """The last page of a shard names no children."""
    _for_one(scene, "read", ChildShardsDropped(), chance=1.0)


def stale_listing(scene: Scene) -> None:
    """Listings show what they showed before."""
    _for_one(scene, "list_shards", ListingStale(scene.dice.uniform(1, 60)), chance=1.0)


def partial_listing(scene: Scene) -> None:
    """A listing lacks shards, or has some twice."""
    dice = scene.dice

    def torn(shards: tuple[Shard, ...]) -> tuple[Shard, ...]:
        if dice.random() < 0.5:
            return (*shards, *shards[: len(shards) // 2])
        return tuple(shard for shard in shards if dice.random() < 0.7)

    _for_one(scene, "list_shards", AnswerChanged(torn))


def slow_listing(scene: Scene) -> None:
    """Listings take seconds. (A door tries a refused listing again by itself.)"""
    _for_one(scene, "list_shards", Delayed(scene.dice.uniform(0, 4)))


def gone(scene: Scene) -> None:
    """No call gets through, one worker's or anybody's."""
    seconds = scene.some_seconds()
    for victim in scene.victims():
        _spoil(scene, victim, (Fault(effect=DOWN, operation="read"), Fault(effect=DOWN, operation="open")), seconds)


def _for_one(scene: Scene, operation: Operation, effect: Effect, chance: float | None = None) -> None:
    if victim := scene.victim():
        likely = scene.dice.uniform(0.1, 0.6) if chance is None else chance
        _spoil(
            scene,
            victim,
            (Fault(operation=operation, effect=effect, chance=likely),),
            scene.dice.choice([3.0, 20.0, 2 * scene.life.failover_seconds]),
        )


def _spoil(scene: Scene, victim: Any, faults: tuple[Fault, ...], seconds: float) -> None:
    victim.stream.faults += faults

    def mend() -> None:
        for fault in faults:
            if fault in victim.stream.faults:
                victim.stream.faults.remove(fault)

    scene.trouble("stream", seconds, mend, victim.name)
