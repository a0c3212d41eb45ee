"""Workers come, go, die, stand still and come back."""

import asyncio

from tests.simulation.laws.history import History
from tests.simulation.scene import Scene

WORKERS_MAX = 12


def leave(scene: Scene) -> None:
    """SIGTERM for one or for several at once."""
    for victim in scene.victims()[:3]:
        victim.leave()


async def leave_in_a_hurry(scene: Scene) -> None:
    """SIGTERM, and soon after SIGKILL."""
    if victim := scene.victim():
        victim.leave()
        await asyncio.sleep(scene.dice.choice([0.0, 0.01, 0.05, 0.2, 1.0]))
        if victim.is_alive:
            victim.crash()


def crash(scene: Scene) -> None:
    """SIGKILL."""
    if victim := scene.victim():
        victim.crash()


def crash_of_all(scene: Scene) -> None:
    """SIGKILL for everybody."""
    for victim in scene.fleet.workers.values():
        victim.crash()


def crash_of_the_leader(scene: Scene) -> None:
    """SIGKILL for whoever leads, and sometimes for who stands by as well."""
    writes = History(scene.fleet.log).lock_writes
    if not writes:
        return
    lock = writes[-1][1]
    keys = [lock.owner, lock.standby] if scene.dice.random() < 0.3 else [lock.owner]
    ids = {key.rpartition("@")[0] for key in keys if key}
    for victim in scene.fleet.workers.values():
        if victim.config.worker_id in ids:
            victim.crash()


def pause(scene: Scene) -> None:
    """SIGSTOP, and SIGCONT after a while."""
    if (victim := scene.victim()) and not victim.is_paused:
        victim.pause()
        seconds = scene.dice.choice([0.3, 0.6, 1.0, 3.0]) * scene.life.failover_seconds * scene.dice.uniform(0.8, 1.2)
        scene.mended_after(seconds, victim.resume)


def burst_of_joins(scene: Scene) -> None:
    """Several join at once, and leave again."""
    room = WORKERS_MAX - len(scene.fleet.workers)
    extras = [scene.recruit() for _ in range(min(room, scene.dice.randint(1, 4)))]
    for extra in extras:
        scene.mended_after(scene.dice.uniform(10, 120), extra.leave_if_running)


def twin(scene: Scene) -> None:
    """A second process takes the worker id of one that runs."""
    if victim := scene.victim():
        second = scene.recruit(victim.config.worker_id)
        scene.mended_after(scene.dice.uniform(5, 60), second.leave_if_running)


def wall_clock(scene: Scene) -> None:
    """Everybody's wall clock jumps."""
    scene.fleet.wall_clock.jump(scene.dice.choice([-3600, 3600, 365 * 86_400, -86_400]))
