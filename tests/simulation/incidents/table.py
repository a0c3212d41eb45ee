"""The lease table is throttled, slow, stale, gone, or tampered with; answers and requests are lost."""

from collections.abc import Iterable

from kcl_py.local.faulty_lease_table import Fault, Operation
from tests.simulation.fleet_worker import FleetWorker
from tests.simulation.scene import Scene

OPERATIONS: tuple[Operation, ...] = (
    "write", "write", "write_session", "create", "snapshot", "lease", "session", "sessions", "write_leader_lock",
    "leader_lock", "lease_keys_of", "delete",
)  # fmt: skip
WRITES: tuple[Operation | None, ...] = ("write", "create", "delete", "write_session", "write_leader_lock")
EVERYTHING: tuple[Operation | None, ...] = (None,)
OF_ALL = "throttle all"
"""The name of the trouble of which law L7 speaks."""


def throttled(scene: Scene) -> None:
    """For one worker anything; for all of them writes or everything, for two failover times, whoever joins as well."""
    if scene.dice.random() < 0.5:
        _for_one(scene, [Fault(kind="throttle")], "throttle one")
        return
    operations = scene.dice.choice([EVERYTHING, WRITES])
    seconds = 2 * scene.life.failover_seconds

    def spoil(worker: FleetWorker) -> None:
        # it does not end for all in one instant
        left = seconds - scene.dice.uniform(0, 3)
        _spoil(scene, worker, [Fault(kind="throttle", operation=one) for one in operations], OF_ALL, left)

    scene.for_everybody(seconds, spoil)


def throttled_beats(scene: Scene) -> None:
    """A part of all beats and checkpoints, everybody's."""
    chance = scene.dice.choice([0.3, 0.5])
    for worker in scene.fleet.workers.values():
        numbers = [nth for nth in range(1, 120) if scene.dice.random() < chance]
        operation: Operation = scene.dice.choice(["write_session", "write"])
        faults = [Fault(kind="throttle", operation=operation, nth=nth) for nth in numbers]
        _spoil(scene, worker, faults, "throttled beats", 3 * scene.life.failover_seconds)


def lost_answers(scene: Scene) -> None:
    """Things are done, and nobody is told."""
    _for_one(scene, [_now_and_then(scene, "lose_answer") for _ in range(6)], "answers lost")


def lost_requests(scene: Scene) -> None:
    """Nothing is done, and nobody is told."""
    _for_one(scene, [_now_and_then(scene, "fail") for _ in range(6)], "requests lost")


def late_requests(scene: Scene) -> None:
    """Things are done long after they were asked for."""
    _for_one(scene, [_now_and_then(scene, "delay") for _ in range(6)], "requests late")


def late_answers(scene: Scene) -> None:
    """Things are done at once, and told late."""
    _for_one(scene, [_now_and_then(scene, "delay_answer") for _ in range(6)], "answers late")


def stale_index(scene: Scene) -> None:
    """The index shows what it showed before."""
    _for_one(scene, [Fault(kind="stale_index")], "index stale")


def gone(scene: Scene) -> None:
    """No call gets through, one worker's or anybody's."""
    seconds = scene.some_seconds()
    for victim in scene.victims():
        _spoil(scene, victim, [Fault(kind="fail")], "table gone", seconds * scene.dice.uniform(0.9, 1))


def expired_credentials(scene: Scene) -> None:
    """The table refuses whoever it is, and recovers."""
    seconds = scene.dice.choice([2.0, scene.life.failover_seconds, 60.0])
    for victim in scene.victims():
        _spoil(scene, victim, [Fault(kind="expire")], "credentials expired", seconds * scene.dice.uniform(0.9, 1))


async def erased_row(scene: Scene) -> None:
    """An operator deletes a row that somebody holds. (Without any row at all a table begins anew.)"""
    rows = await scene.fleet.rows()
    held = sorted(key for key, row in rows.items() if row.held_by is not None and not row.is_finished)
    if held and len(rows) > 1:
        scene.fleet.erase_row(scene.dice.choice(held))


def _now_and_then(scene: Scene, kind: str) -> Fault:
    dice = scene.dice
    late = dice.choice([0.5, 3.0, scene.life.failover_seconds, scene.life.failover_seconds + 4])
    return Fault(kind=kind, operation=dice.choice(OPERATIONS), nth=dice.randint(1, 12), seconds=late)  # type: ignore[arg-type]


def _for_one(scene: Scene, faults: Iterable[Fault], what: str) -> None:
    if victim := scene.victim():
        _spoil(scene, victim, faults, what, scene.dice.choice([1.0, 5.0, 2 * scene.life.failover_seconds]))


def _spoil(scene: Scene, worker: FleetWorker, faults: Iterable[Fault], what: str, seconds: float) -> None:
    if seconds <= 0:
        return
    spoiled = list(faults)
    worker.table.faults += spoiled
    ids = {id(fault) for fault in spoiled}

    def mend() -> None:
        worker.table.faults[:] = [fault for fault in worker.table.faults if id(fault) not in ids]
        spoiled.clear()  # held until here, so that no other fault gets an id of theirs

    scene.trouble(what, seconds, mend, worker.name)
