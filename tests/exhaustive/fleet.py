"""What happens around the holder: processes come and go, leaders plan, operators meddle, requests arrive late."""

from collections.abc import Iterator

from tests.exhaustive.holder import (
    STRAYS_MAX,
    Step,
    lettings_go,
    lost,
    picking_up,
    steps_of_holder,
    strayed,
    told_to_let_go,
)
from tests.exhaustive.landing import deleted, landed, reborn, restored, stopped
from tests.exhaustive.rows import END, NOBODY, OUTSIDER, Row, Write
from tests.exhaustive.shipped import DEAD, LEAVING, LIVE, Shipped
from tests.exhaustive.world import UNSURE, Backup, Worker, World

FLEET = -1
"""In a step's place for a worker: a leader, whoever it is, an operator, or the network."""


def steps(world: World, shipped: Shipped) -> Iterator[Step]:
    """Every step from here.

    Raises:
        LawBroken: a step breaks a law.
    """
    for number, worker in enumerate(world.workers):
        if not worker.is_up:
            yield "starts again", number, _joined(world, number)
            continue
        yield from _process_steps(world, number, worker)
        if worker.has_joined:
            yield from _session_steps(world, number, worker)
            yield from steps_of_holder(world, shipped, number)
            yield from _intake_steps(world, shipped, number, worker)
            if worker.is_leaving:
                yield from _ways_out(world, shipped, number, worker)
    yield from _verdicts(world)
    yield from _plans(world, shipped)
    yield from _network_steps(world, shipped)
    yield from _operator_steps(world, shipped)


# -- a process and its session -----------------------------------------------------------------------------------------


def _joined(world: World, number: int) -> World:
    incarnation = world.workers[number].incarnation + 1
    consumer = world.workers[number].consumer
    joined = world.with_worker(number, Worker(incarnation=incarnation, consumer=consumer))
    return joined.with_entry(joined.session_of(number), LIVE)


def _process_steps(world: World, number: int, worker: Worker) -> Iterator[Step]:
    if (crashed := world.spending("crashes")) is not None:
        yield "crashes", number, crashed.with_worker(number, stopped(worker))
    if not worker.has_joined:
        if worker.is_leaving:
            yield "exits", number, world.with_worker(number, stopped(worker))
        else:
            yield "joins again", number, _joined(world, number)
        if (consumer := worker.consumer) is not None and consumer.delivered > consumer.done:
            done = consumer._replace(done=consumer.done + 1)
            yield "finishes a batch", number, world.with_worker(number, worker._replace(consumer=done))


def _session_steps(world: World, number: int, worker: Worker) -> Iterator[Step]:
    session = world.session_of(number)
    if world.entries[session] == DEAD:
        ended = lost(world, number)
        yield (
            "learns that its session is over",
            number,
            ended.with_worker(number, ended.workers[number]._replace(has_joined=False)),
        )
    elif not worker.is_ahead:
        yield "beats again", number, world.with_worker(number, worker._replace(is_ahead=True))
    if worker.is_ahead and (silent := world.spending("silences")) is not None:
        yield "lets its deadline pass", number, silent.with_worker(number, worker._replace(is_ahead=False))
    if not worker.is_leaving and (leaving := world.spending("departures")) is not None:
        leaving = told_to_let_go(leaving.with_worker(number, worker._replace(is_leaving=True)), number)
        if leaving.entries[session] == LIVE:
            leaving = leaving.with_entry(session, LEAVING)
        yield "is told to stop", number, leaving


def _verdicts(world: World) -> Iterator[Step]:
    """A session is revoked once it is silent, or its process is gone."""
    count = len(world.workers)
    for session, status in enumerate(world.entries):
        if status in (LIVE, LEAVING) and may_be_revoked(world, session % count, session // count):
            yield "is revoked", session % count, world.with_entry(session, DEAD)


def may_be_revoked(world: World, number: int, incarnation: int) -> bool:
    """True if nothing can begin under this session any more; what makes sure of it is searched through in `beats`."""
    worker = world.workers[number]
    return worker.incarnation != incarnation or not worker.is_up or not worker.is_ahead


# -- how a lease comes and goes ----------------------------------------------------------------------------------------


def _intake_steps(world: World, shipped: Shipped, number: int, worker: Worker) -> Iterator[Step]:
    row, session = world.row, world.session_of(number)
    has_room = worker.tenure is None and worker.consumer is None
    if row is None or worker.is_leaving or not has_room or row.holder != session or row.checkpoint == END:
        return
    if row.giver != NOBODY:
        write = shipped.change(row, "handed_over", 0)
        assert write is not None
        yield from _once(world, shipped, session, write, what="completes a hand-off of what it lost", number=number)
    else:
        yield "reads that the lease is its own", number, picking_up(world, number, row)


def _ways_out(world: World, shipped: Shipped, number: int, worker: Worker) -> Iterator[Step]:
    session, row, tenure = world.session_of(number), world.row, worker.tenure
    if tenure is None and worker.consumer is None:
        if row is not None and shipped.is_left_behind(row, world.entries, session):
            for heir, status in ((NOBODY, LIVE), *enumerate(world.entries)):
                if heir != session and status == LIVE:
                    write = shipped.passed_on(row, False, heir, 0)
                    yield from _once(
                        world, shipped, session, write, what="passes on what was left behind", number=number
                    )
        else:
            gone = world.with_worker(number, stopped(worker))
            yield "deletes its entry and exits", number, gone.with_entry(session, DEAD)
    elif worker.consumer is not None and (late := world.spending("graces")) is not None:
        # the grace is over: user code is cut off, and calls under way with it
        cut = late.with_worker(number, worker._replace(consumer=None))
        if tenure is None or not tenure.is_picked_up:
            yield "cuts everything off", number, lost(cut, number)
        else:
            unsure = tenure._replace(phase=UNSURE if tenure.attempts else tenure.phase)
            cut = cut.with_worker(number, cut.workers[number]._replace(tenure=unsure))
            for going in lettings_go(cut, shipped, number, 0, is_forced=True):
                yield "cuts everything off, and gives up what it holds", number, going


def _plans(world: World, shipped: Shipped) -> Iterator[Step]:
    row, snapshot = world.row, world.snapshot
    if row is not None:
        yield from _planned(world, shipped, row, "")
        if row.held == NOBODY and (missed := world.spending("misses")) is not None:
            for kind, to, write in shipped.plan(row, world.entries, True):
                if write is not None and kind == "assign":
                    yield from _once(
                        missed, shipped, OUTSIDER, write, what=f"assigns a missed lease to {to}", number=FLEET
                    )
        if row != snapshot and (reading := world.spending("stale_reads")) is not None:
            yield "a leader reads the row", FLEET, reading._replace(snapshot=row)
    if snapshot is not None and snapshot != row:
        yield from _planned(world, shipped, snapshot, " by an old reading")


def _planned(world: World, shipped: Shipped, seen: Row, how: str) -> Iterator[Step]:
    if seen.checkpoint == END:
        return
    count = len(world.workers)
    for kind, to, write in shipped.plan(seen, world.entries, False):
        able = world.spending("hand_offs") if kind == "hand_off" else world
        if able is None:
            continue
        if write is not None:
            yield from _once(able, shipped, OUTSIDER, write, what=f"{kind} to {to}{how}", number=FLEET)
        number, worker = to % count, world.workers[to % count]
        is_here = worker.has_joined and world.session_of(number) == to and not worker.is_leaving
        if kind == "assign" and is_here and worker.tenure is None and worker.consumer is None:
            yield f"takes it as the leader{how}", number, picking_up(world, number, seen)


def _once(world: World, shipped: Shipped, writer: int, write: Write, *, what: str, number: int) -> Iterator[Step]:
    """A write that is tried once, whatever comes of it; it may arrive late."""
    there = landed(world, shipped, writer, write)
    if there is not None:
        yield what, number, there
    if len(world.strays) < STRAYS_MAX and (lossy := world.spending("losses")) is not None:
        yield f"{what}; the request is late", number, strayed(lossy, writer, write)


# -- what nobody wants -------------------------------------------------------------------------------------------------


def _network_steps(world: World, shipped: Shipped) -> Iterator[Step]:
    for index, (writer, write) in enumerate(world.strays):
        rest = world._replace(strays=world.strays[:index] + world.strays[index + 1 :])
        there = landed(rest, shipped, writer, write)
        if there is not None:
            yield "a late request arrives", FLEET, there
        yield "a late request fails", FLEET, rest


def _operator_steps(world: World, shipped: Shipped) -> Iterator[Step]:
    row = world.row
    if row is None:
        yield "the audit makes the row anew", FLEET, reborn(world)
    elif (deleting := world.spending("deletions")) is not None:
        yield "an operator deletes the row", FLEET, deleted(deleting)
    if world.backup is not None:
        yield "an operator restores the table", FLEET, restored(world, shipped, world.backup)
    elif row is not None and (restoring := world.spending("restores")) is not None:
        backup = Backup(row, world.entries)
        yield "a backup is made", FLEET, restoring._replace(backup=backup)
