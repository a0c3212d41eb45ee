"""Lives in which one worker may end at any step. What comes before `watch` is only told to get there."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from kcl_py.events import CheckpointWritten, ShardFinished
from kcl_py.runtime.fleet.planner import SETTLE_SECONDS
from tests.crash_points.stage import Stage
from tests.crash_points.victim import Victim
from tests.simulation.facts import Left

SLOW_SECONDS = 2.0  # of a batch that a stop has to wait for


class Scenario(msgspec.Struct, frozen=True):
    """One life.

    Attributes:
        scene: plays it.
        shards: of the stream.
        is_on_its_way_out: the victim was told to stop already.
        settings: of every worker, besides those of the stage.
        landmarks: patterns of places that must be among those of the victim, or the scenario has collapsed.
    """

    name: str
    scene: Callable[[Stage], Awaitable[None]]
    shards: int
    landmarks: tuple[str, ...]
    is_on_its_way_out: bool = False
    settings: Mapping[str, object] = msgspec.field(default_factory=dict)


async def start_up(stage: Stage) -> None:
    """A worker begins where nobody was before."""
    stage.watch(stage.join("a", host="here"))
    await stage.until_noted(CheckpointWritten, "a", times=3)


async def restart(stage: Stage) -> None:
    """A worker dies, and another process begins in its place at once."""
    stage.join("a", host="here", worker_id="a")
    await stage.until_noted(CheckpointWritten, "a", times=2)
    stage.fleet.crash("a")
    stage.watch(stage.join("a2", host="here", worker_id="a"))
    await stage.until_noted(CheckpointWritten, "a2", times=2)


def hand_off(victim: str) -> Callable[[Stage], Awaitable[None]]:
    """A leader that holds one shard, a giver of one of two, and a receiver that joins last."""

    async def scene(stage: Stage) -> None:
        workers = {"leader": stage.join("leader", leases_max=1)}
        await stage.until_held(leader=1)
        workers["giver"] = stage.join("giver")
        await stage.until_held(leader=1, giver=2)
        workers["receiver"] = stage.join("receiver")
        await asyncio.sleep(SETTLE_SECONDS - 0.5)
        stage.watch(workers[victim])
        await stage.until_noted(CheckpointWritten, "receiver", times=2)

    return scene


async def split(stage: Stage) -> None:
    """A shard ends, and whoever read it goes on with its two children; then another worker gets one of them."""
    victim = stage.join("a")
    await stage.until_held(a=1)
    stage.join("b")
    await asyncio.sleep(3)
    stage.watch(victim)
    assert await stage.fleet.split(*await stage.fleet.open_shards())
    await stage.until_noted(ShardFinished, "a")
    await asyncio.sleep(1.5)


async def merge(stage: Stage) -> None:
    """Two shards end and have one child; one of them is another worker's."""
    _, victim = await _two_workers(stage)
    stage.watch(victim)
    assert await stage.fleet.merge(*await stage.fleet.open_shards())
    await stage.until_noted(ShardFinished, victim.name)
    await asyncio.sleep(1.5)


async def shutdown(stage: Stage) -> None:
    """A worker leaves a fleet that goes on."""
    victim, _ = await _two_workers(stage)
    victim.processing_seconds = lambda: SLOW_SECONDS
    await asyncio.sleep(SLOW_SECONDS)
    stage.watch(victim)
    victim.leave()
    await stage.until_noted(Left, victim.name)


async def shutdown_of_the_last(stage: Stage) -> None:
    """A worker leaves, and nobody is there to inherit."""
    victim = stage.join("a")
    await stage.until_noted(CheckpointWritten, "a", times=3)
    stage.watch(victim)
    victim.leave()
    await stage.until_noted(Left, "a")


async def _two_workers(stage: Stage) -> tuple[Victim, Victim]:
    """Each holds a shard, and the first leads."""
    first = stage.join("a", leases_max=1)
    await stage.until_held(a=1)
    second = stage.join("b")
    await stage.until_held(a=1, b=1)
    return first, second


BEAT = r"Heartbeat\.beat.*> write_session$"
PICK_UP = r"Tenure\.pick_up.*> write$"
CHECKPOINT = r"Tenure\._save.*> write$"
SUBSCRIBE = r"Subscriber\._subscribe.*> subscribe$"
PUSHED = r"Subscriber\._take.*> read$"
FAN_OUT: Mapping[str, object] = {"fan_out": True}
DELIVERY = r"ShardConsumer\._process.*> UserCode\.call"

SCENARIOS = (
    Scenario("start-up", start_up, 2, (
        r"Heartbeat\.join.*> write_session$", BEAT, r"Discovery\._create_one.*> create$", PICK_UP, CHECKPOINT, DELIVERY,
        r"> prepare$", r"> list_shards$", r"> open$", r"> read$", r"Leadership\..*> write_leader_lock$",
        r"_deliver Yours$", r"_deliver SaveCheckpoint$",
    )),
    Scenario("restart", restart, 2, (
        r"Heartbeat\.join.*> write_session$", BEAT, PICK_UP, CHECKPOINT, DELIVERY,
        r"Observer\.revoke.*> write_session$", r"Leadership\..*> write_leader_lock$",
    )),
    Scenario("hand-off, giver", hand_off("giver"), 3, (
        BEAT, r"HandOff\.run.*> session$", r"Tenure\._let_go.*> write$", CHECKPOINT, DELIVERY,
        r"_deliver HandOver$", r"_deliver LetGo$", r"HandOff\.run.*> HeldLease\.wait_until_over",
    )),
    Scenario("hand-off, receiver", hand_off("receiver"), 3, (BEAT, PICK_UP, CHECKPOINT, DELIVERY, r"_deliver Yours$")),
    Scenario("hand-off, leader", hand_off("leader"), 3, (
        BEAT, r"Planner\..*> write$", r"Observer\.look_at_table.*> snapshot$", r"Leadership\..*> write_leader_lock$",
    )),
    Scenario("split", split, 1, (
        r"Discovery\._create_one.*> create$", r"Tenure\._end_shard.*> write$", r"_deliver EndShard$", PICK_UP,
        r"ShardConsumer\._end_shard",
    )),
    Scenario("merge", merge, 2, (
        r"Discovery\._create_one.*> create$", r"Tenure\._end_shard.*> write$", r"_deliver EndShard$",
        r"ShardConsumer\._end_shard",
    )),
    Scenario("shutdown", shutdown, 2, is_on_its_way_out=True, landmarks=(
        r"Heartbeat\.leave.*> write_session$", r"Tenure\._let_go.*> write$", r"Heartbeat\.delete.*> write_session$",
        r"Succession\.read.*> snapshot$", r"Succession\.last_look.*> snapshot$", r"Succession\.heir_of.*> session$",
        r"Leadership\.release.*> write_leader_lock$", r"_deliver Quit$",
    )),
    Scenario("shutdown of the last one", shutdown_of_the_last, 2, is_on_its_way_out=True, landmarks=(
        r"Heartbeat\.leave.*> write_session$", r"Tenure\._let_go.*> write$", r"Heartbeat\.delete.*> write_session$",
        r"Leadership\.release.*> write_leader_lock$", r"_deliver Quit$",
    )),
    Scenario("start-up, fan-out", start_up, 2, settings=FAN_OUT, landmarks=(
        r"Registration\..*> register$", SUBSCRIBE, PUSHED, CHECKPOINT, DELIVERY,
    )),
    Scenario("hand-off with fan-out, giver", hand_off("giver"), 3, settings=FAN_OUT, landmarks=(
        PUSHED, r"Tenure\._let_go.*> write$", r"_deliver LetGo$",
    )),
    Scenario("hand-off with fan-out, receiver", hand_off("receiver"), 3, settings=FAN_OUT, landmarks=(
        SUBSCRIBE, PICK_UP, DELIVERY,
    )),
    Scenario("split with fan-out", split, 1, settings=FAN_OUT, landmarks=(
        SUBSCRIBE, PUSHED, r"Tenure\._end_shard.*> write$", r"_deliver EndShard$", PICK_UP,
    )),
)  # fmt: skip
