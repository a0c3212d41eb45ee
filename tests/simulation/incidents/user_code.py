"""Processors are slow, raise, and block."""

from tests.simulation.scene import Scene


def slow(scene: Scene) -> None:
    """Batches take their time."""
    if victim := scene.victim():
        seconds, dice = scene.dice.choice([0.1, 1.0, 9.0, 2 * scene.life.failover_seconds]), scene.dice
        victim.processing_seconds = lambda: seconds * dice.random()
        scene.mended_after(scene.dice.uniform(10, 100), lambda: setattr(victim, "processing_seconds", lambda: 0.0))


def failing(scene: Scene) -> None:
    """Now and then one raises."""
    if victim := scene.victim():
        dice, chance = scene.dice, scene.dice.choice([0.05, 0.3])
        victim.is_failing = lambda: dice.random() < chance
        scene.mended_after(scene.dice.uniform(10, 100), lambda: setattr(victim, "is_failing", lambda: False))


def always_failing(scene: Scene) -> None:
    """Each one raises, until it is mended: the worker's shards stand still meanwhile."""
    if victim := scene.victim():
        victim.is_failing = lambda: True
        seconds = scene.dice.uniform(5, 60)
        scene.trouble("always failing", seconds, lambda: setattr(victim, "is_failing", lambda: False), victim.name)


def blocked_loop(scene: Scene) -> None:
    """User code blocks the loop that it was called on; the keeper has a loop of its own."""
    if (victim := scene.victim()) and not victim.is_paused:
        victim.block()
        scene.mended_after(scene.some_seconds(), victim.unblock)
