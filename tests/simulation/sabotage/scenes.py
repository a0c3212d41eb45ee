"""Small fleets, each of which goes through what some sabotage shows in. Nothing is left to chance but for a seed."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec

from kcl_py.core.shard import Shard
from kcl_py.errors import IteratorExpired, StreamNotFound
from kcl_py.interfaces import Page
from kcl_py.local.faults import AnswerChanged, Refused
from kcl_py.local.faults import Fault as StreamFault
from kcl_py.local.faulty_lease_table import Fault, Operation
from tests.simulation.facts import Healed
from tests.simulation.fleet_worker import FleetWorker
from tests.simulation.journals import ManualJournal
from tests.simulation.laws.history import History, worker_of
from tests.simulation.simulation import Simulation, simulated

FAILOVER_SECONDS = 10.0
CAP, PAGE = 50, 100
SETTINGS: Mapping[str, object] = {
    "balance": "lease_count",
    "failover_seconds": FAILOVER_SECONDS,
    "checkpoint_interval_seconds": 2.0,
    "uncheckpointed_records_max": CAP,
    "read_limit": PAGE,
    "retry_backoff_max_seconds": 2.0,
    "retry_stopped_seconds": 5.0,
}


class Scene(msgspec.Struct, frozen=True):
    """A fleet and what happens to it.

    Attributes:
        play: what happens.
        seed: of the order of everything.
        shards: of the stream at first.
        told: what `History` is told beside the failover time.
    """

    play: Callable[[Simulation], Coroutine[Any, Any, None]]
    seed: int = 1
    shards: int = 4
    told: Mapping[str, float] = msgspec.field(default_factory=dict)

    def history(self) -> History:
        """Let it happen."""
        told: dict[str, Any] = {"repeats_max": CAP + PAGE, "checkpoint_seconds": 2.0, **self.told}
        return History(simulated(self.seed, self.play, shards=self.shards), FAILOVER_SECONDS, **told)


def scene(shards: int = 4, seed: int = 1, **told: float) -> Callable[[Callable[..., Any]], Scene]:
    """Make a scene of what happens in it."""
    return lambda play: Scene(play, seed, shards, told)


# -- what fleets do in many of them -----------------------------------------------------------------------------------


def recruit(fleet: Simulation, name: str, **settings: object) -> FleetWorker:
    return fleet.join(name, **{**SETTINGS, **settings})


async def settled(fleet: Simulation, workers: int, **settings: object) -> None:
    """So many workers join, and have found their shares."""
    for number in range(workers):
        recruit(fleet, f"w{number}", **settings)
    await under_load(fleet, 30)


async def under_load(fleet: Simulation, seconds: float, *, aggregate_max: int = 1, count: int = 4) -> None:
    """Let time pass while records come in."""
    for _ in range(int(seconds)):
        fleet.put(count, aggregate_max=aggregate_max)
        await asyncio.sleep(1)


async def at_rest(fleet: Simulation, seconds: float = 50) -> None:
    """Nothing happens any more, and everything is done."""
    fleet.log.note("", Healed())
    await asyncio.sleep(seconds)


def part(fleet: Simulation, which: str) -> str:
    """The worker that leads, the one that stands by, or another."""
    lock = History(fleet.log).lock_writes[-1][1]
    parts = {"leader": worker_of(lock.owner or ""), "standby": worker_of(lock.standby or "")}
    return parts.get(which) or next(name for name in fleet.workers if name not in parts.values())


def spoil(worker: FleetWorker, kind: Any, *operations: Operation | None, nth: int | None = None) -> None:
    worker.table.faults += [Fault(kind=kind, operation=operation, nth=nth) for operation in operations or (None,)]


def spoil_for(fleet: Simulation, worker: FleetWorker, seconds: float, kind: Any, *operations: Operation | None) -> None:
    spoil(worker, kind, *operations)
    fleet.trouble("throttle all" if kind == "throttle" else kind, seconds, worker.name)
    asyncio.get_running_loop().call_later(seconds, worker.table.faults.clear)


def slow(fleet: Simulation, seconds: float) -> None:
    for worker in fleet.everybody:
        worker.processing_seconds = lambda: seconds


# -- who runs ---------------------------------------------------------------------------------------------------------


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


# -- shards -----------------------------------------------------------------------------------------------------------


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


@scene(shards=2)
async def retention(fleet: Simulation) -> None:
    """Nobody runs for longer than records are kept; some were done, some not, and some come later."""
    recruit(fleet, "a")
    await under_load(fleet, 20)
    fleet.crash("a")
    await under_load(fleet, 10)
    await fleet.pass_hours(23)
    await under_load(fleet, 10)
    await fleet.pass_hours(3)
    recruit(fleet, "b")
    await under_load(fleet, 60)
    await at_rest(fleet)


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


# -- the lease table --------------------------------------------------------------------------------------------------


def throttled(*operations: Operation) -> Callable[[Simulation], Coroutine[Any, Any, None]]:
    """A table that throttles everybody for two failover times, the leader three seconds less."""

    async def play(fleet: Simulation) -> None:
        await settled(fleet, 3)
        leader = part(fleet, "leader")
        for worker in fleet.everybody:
            seconds = 2 * FAILOVER_SECONDS - 3 * (worker.name == leader)
            spoil_for(fleet, worker, seconds, "throttle", *operations)
        await under_load(fleet, 2 * FAILOVER_SECONDS + 20)
        await at_rest(fleet)

    return play


WRITES: tuple[Operation, ...] = ("write", "create", "delete", "write_session", "write_leader_lock")
throttled_writes = Scene(throttled(*WRITES), shards=6)


@scene(shards=3)
async def lost_answers(fleet: Simulation) -> None:
    """Answers of writes are lost now and then, while shards move and one is split."""
    await settled(fleet, 2)
    for worker in fleet.everybody:
        for nth in range(2, 60, 3):
            spoil(worker, "lose_answer", "write", nth=nth)
            spoil(worker, "lose_answer", "write_session", nth=nth)
    fleet.trouble("lose_answer", 90)
    recruit(fleet, "late")
    await under_load(fleet, 20)
    await fleet.split((await fleet.open_shards())[0])
    await under_load(fleet, 30)
    await fleet.leave("w0")
    await under_load(fleet, 30)
    for worker in fleet.everybody:
        worker.table.faults.clear()
    await at_rest(fleet)


@scene(shards=3)
async def lost_requests(fleet: Simulation) -> None:
    """Writes get lost on their way, while shards move and one is split."""
    await settled(fleet, 2)
    for worker in fleet.everybody:
        for nth in range(2, 60, 3):
            spoil(worker, "fail", "write", nth=nth)
            spoil(worker, "fail", "write_session", nth=nth)
    fleet.trouble("fail", 90)
    recruit(fleet, "late")
    await under_load(fleet, 20)
    await fleet.split((await fleet.open_shards())[0])
    await under_load(fleet, 30)
    await fleet.leave("w0")
    await under_load(fleet, 30)
    for worker in fleet.everybody:
        worker.table.faults.clear()
    await at_rest(fleet)


@scene(shards=4)
async def late_writes(fleet: Simulation) -> None:
    """A worker's lease writes and beats are done seconds late, longer than it takes to be declared dead."""
    await settled(fleet, 3)
    worker = fleet.workers["w1"]
    for nth in range(2, 30, 4):
        worker.table.faults.append(Fault(kind="delay", operation="write", nth=nth, seconds=14.0))
        worker.table.faults.append(Fault(kind="delay", operation="write_session", nth=nth, seconds=14.0))
    fleet.trouble("requests late", 60, "w1")
    await under_load(fleet, 60)
    worker.table.faults.clear()
    await under_load(fleet, 20)
    await at_rest(fleet)


@scene(shards=4)
async def cut_off(fleet: Simulation) -> None:
    """One worker does not reach the table for three failover times; its processors go on as long as they may."""
    await settled(fleet, 3)
    spoil_for(fleet, fleet.workers["w1"], 3 * FAILOVER_SECONDS, "fail")
    await under_load(fleet, 3 * FAILOVER_SECONDS + 15)
    await at_rest(fleet)


@scene(shards=4)
async def slow_beats(fleet: Simulation) -> None:
    """The answers to one worker's beats take seven seconds; then it does not reach the table any more."""
    await settled(fleet, 2)
    slow(fleet, 0.1)
    worker = fleet.workers["w1"]
    worker.table.faults.append(Fault(kind="delay_answer", operation="write_session", seconds=7.0))
    fleet.trouble("answers late", 60, "w1")
    await under_load(fleet, 22)
    spoil(worker, "fail")
    worker.table.faults.reverse()
    await under_load(fleet, 30)
    worker.table.faults.clear()
    slow(fleet, 0.0)
    await at_rest(fleet)


@scene(audit_seconds=10)
async def erased(fleet: Simulation) -> None:
    """An operator deletes rows: one whose holder lives, and one whose holder dies at the same time."""
    await settled(fleet, 3, shard_listing_interval_seconds=10.0)
    rows = await fleet.rows()
    held = {worker_of(row.held_by or ""): key for key, row in rows.items()}
    fleet.erase_row(held["w0"])
    await under_load(fleet, 10)
    fleet.erase_row(held["w1"])
    fleet.crash("w1")
    await under_load(fleet, 40)
    await fleet.leave("w0")
    await under_load(fleet, 20)
    await at_rest(fleet)


@scene(audit_seconds=10)
async def table_restored(fleet: Simulation) -> None:
    """The table is put back to an earlier state while workers use it, and another one starts."""
    await settled(fleet, 2, shard_listing_interval_seconds=10.0)
    await fleet.back_up_table()
    await under_load(fleet, 20)
    await fleet.restore_table()
    await under_load(fleet, 30)
    recruit(fleet, "late")
    await under_load(fleet, 30)


@scene(audit_seconds=10)
async def table_dropped(fleet: Simulation) -> None:
    """The table is deleted while workers use it, and another one starts."""
    await settled(fleet, 2, shard_listing_interval_seconds=10.0)
    fleet.drop_table()
    await under_load(fleet, 30)
    recruit(fleet, "late")
    await under_load(fleet, 30)


@scene(audit_seconds=10)
async def stream_replaced(fleet: Simulation) -> None:
    """The stream is deleted and made again while workers read it, and another one starts."""
    await settled(fleet, 2, shard_listing_interval_seconds=10.0)
    fleet.replace_stream(4)
    await under_load(fleet, 40)
    recruit(fleet, "late")
    await under_load(fleet, 30)


# -- user code --------------------------------------------------------------------------------------------------------


@scene()
async def failing(fleet: Simulation) -> None:
    """Processors raise now and then; those of one worker always, for a while; then that worker leaves."""
    await settled(fleet, 2)
    calls = itertools.count(1)
    fleet.workers["w0"].is_failing = lambda: next(calls) % 3 == 0
    await under_load(fleet, 20)
    fleet.workers["w1"].is_failing = lambda: True
    await under_load(fleet, 25)
    await fleet.leave("w1")
    await under_load(fleet, 30)
    fleet.workers["w0"].is_failing = lambda: False
    await at_rest(fleet)


@scene()
async def mended(fleet: Simulation) -> None:
    """The processors of one worker always raise, for a while."""
    await settled(fleet, 2)
    fleet.workers["w1"].is_failing = lambda: True
    await under_load(fleet, 45)
    fleet.workers["w1"].is_failing = lambda: False
    await under_load(fleet, 20)
    await at_rest(fleet)


@scene(shards=2, repeats_max=CAP + 4 * PAGE)
async def aggregates(fleet: Simulation) -> None:
    """KPL aggregates; processors checkpoint within them, and a worker dies."""
    for name in "ab":
        fleet.join(name, journal=ManualJournal, **SETTINGS)
    await under_load(fleet, 30, aggregate_max=6, count=8)
    fleet.crash("a")
    await under_load(fleet, 30, aggregate_max=6, count=8)
    await at_rest(fleet)


@scene(shards=1, repeats_max=5 + 5, checkpoint_seconds=60)
async def many_records(fleet: Simulation) -> None:
    """More records than may be uncheckpointed; a worker dies in their midst."""
    fleet.put(600)
    recruit(fleet, "a", uncheckpointed_records_max=5, read_limit=5, checkpoint_interval_seconds=60.0)
    fleet.everybody[0].processing_seconds = lambda: 0.05
    await asyncio.sleep(6)
    fleet.crash("a")
    recruit(fleet, "b", uncheckpointed_records_max=5, read_limit=5)
    await asyncio.sleep(60)
    await at_rest(fleet, 60)


@scene(shards=8, page_bytes_max=1 << 20)
async def large_pages(fleet: Simulation) -> None:
    """Large records, a small buffer and slow processors."""
    for _ in range(40):
        fleet.put(4, padding=200_000)
        await asyncio.sleep(1)
    recruit(fleet, "a", buffer_bytes_max=2 << 20, read_limit=5)
    fleet.everybody[0].processing_seconds = lambda: 0.5
    await asyncio.sleep(20)
    fleet.everybody[0].processing_seconds = lambda: 0.0
    await at_rest(fleet, 30)


SCENES: Mapping[str, Scene] = {name: one for name, one in globals().items() if isinstance(one, Scene)}
