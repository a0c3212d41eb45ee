"""Writes that reach the table, and the laws that each of them is judged by."""

from kcl_py.core.lease import RECREATED_COUNTER_STEP
from tests.exhaustive.rows import END, NOBODY, RECORDS, Row, Write
from tests.exhaustive.shipped import DEAD, Shipped
from tests.exhaustive.world import (
    NONE_LANDED,
    OTHERS_WROTE,
    OURS_LANDED,
    RUNNING,
    TAMPERED,
    TRUTHS,
    Backup,
    Consumer,
    Tenure,
    Worker,
    World,
    rebased,
)

REBORN_COUNTER_STEP = 1000 * RECREATED_COUNTER_STEP
"""The audit makes a row anew at the service's seconds: above whatever its counter may have been."""


class LawBroken(Exception):
    """A step that breaks a law; the message names both."""


def landed(world: World, shipped: Shipped, writer: int, write: Write) -> World | None:
    """The world after a conditional write of a session, or of an outsider; None if it was refused.

    Raises:
        LawBroken: it should have been.
    """
    row = shipped.landed(world.row, write)
    if row is None:
        return None
    assert world.row is not None
    _check(world, world.row, writer, write, row)
    if write.is_pick_up:
        token = shipped.token(world.row, writer)
        if token is None or token <= world.newest:
            raise LawBroken(f"fencing token {token} does not follow the newest, {world.newest} (from the counter on)")
        world = world._replace(newest=token)
    world = world._replace(
        workers=tuple(_knowing(world, number, writer, write) for number in range(len(world.workers)))
    )
    return rebased(world, row)


def reborn(world: World) -> World:
    """The leader's audit finds that the row is missing, and makes it anew, from the shard's beginning."""
    return rebased(world, Row(NOBODY, NOBODY, NOBODY, REBORN_COUNTER_STEP, 0))


def deleted(world: World) -> World:
    """An operator deletes the row; whoever holds it is excused until it looks: the audit may make it anew."""
    workers = tuple(
        worker._replace(
            tenure=worker.tenure and worker.tenure._replace(truth=TAMPERED),
            consumer=worker.consumer and worker.consumer._replace(is_excused=True),
        )
        for worker in world.workers
    )
    return world._replace(row=None, workers=workers)


def restored(world: World, shipped: Shipped, backup: Backup) -> World:
    """An operator deletes the table, which stops every worker, and makes it anew from a backup, counters and all.

    Whoever starts first adopts the row, as the operator allowed.
    """
    entries = tuple(then or (now and DEAD) for then, now in zip(backup.entries, world.entries, strict=True))
    world = world._replace(
        entries=entries, workers=tuple(stopped(worker) for worker in world.workers), strays=(), snapshot=None
    )
    return rebased(world._replace(backup=None), shipped.adopted(backup.row))


def stopped(worker: Worker) -> Worker:
    """The slot of a process that is gone, until it is started again."""
    return Worker(incarnation=worker.incarnation, is_up=False, has_joined=False, is_ahead=False)


def check_progress(tenure: Tenure, consumer: Consumer | None, write: Write) -> None:
    """Law S1, where a write is made.

    Raises:
        LawBroken: it would say that something is done which is not.
    """
    position = write.after.checkpoint
    if position != tenure.view.checkpoint:
        done = -1 if consumer is None else consumer.done
        if min(position, RECORDS) > done:
            raise LawBroken(f"S1: a checkpoint at {position} of {END} is written, and {done} records are done")


def check_verdict(world: World, number: int, verdict: str, view: Row) -> None:
    """A read-back must conclude what is true.

    Raises:
        LawBroken: it does not.
    """
    worker = world.workers[number]
    assert worker.tenure is not None
    truth, row, session = worker.tenure.truth, world.row, world.session_of(number)
    if verdict != "lost" and view.holder == session and (row is None or row.holder != session):
        raise LawBroken(f"settle says {verdict!r} of a row that is not this worker's")
    is_given_away = row is None or row.holder != session  # then nothing is left to be wrong about
    allowed = {
        NONE_LANDED: ("again",),
        OURS_LANDED: ("mine", "again", "lost") if is_given_away else ("mine", "again"),
        OTHERS_WROTE: ("lost", "mine") if is_given_away else ("lost",),
        TAMPERED: ("mine", "again", "lost"),
    }
    if verdict not in allowed[truth]:
        raise LawBroken(f"settle says {verdict!r}, and in truth {TRUTHS[truth]}")


def check_holders(world: World) -> None:
    """At most one worker may begin a batch.

    Raises:
        LawBroken: several may.
    """
    valid = [
        number
        for number, worker in enumerate(world.workers)
        if worker.is_ahead
        and (consumer := worker.consumer) is not None
        and consumer.status == RUNNING
        and not consumer.is_excused
    ]
    if len(valid) > 1:
        raise LawBroken(f"workers {valid} hold the lease at once, all with their deadline ahead")


def check_beginning(world: World, number: int) -> None:
    """A batch begins only where the row names this session as its holder.

    Raises:
        LawBroken: it names another.
    """
    session, row, consumer = world.session_of(number), world.row, world.workers[number].consumer
    if consumer is not None and not consumer.is_excused and (row is None or (row.holder, row.held) != (session,) * 2):
        raise LawBroken(f"worker {number} begins a batch, and the row is {row}")


def _check(world: World, before: Row, writer: int, write: Write, row: Row) -> None:
    seen = write.before
    if row.checkpoint < before.checkpoint:
        raise LawBroken(f"S5: the checkpoint goes back from {before.checkpoint} to {row.checkpoint}")
    if row.holder == before.holder and row.checkpoint == before.checkpoint:
        return
    if row.holder != before.holder and row.held not in (NOBODY, row.holder):
        raise LawBroken(f"session {row.holder} is to have the lease, which {row.held} seems to have picked up")
    guards = (seen.owner, seen.giver, seen.counter, seen.checkpoint)
    if guards != (before.owner, before.giver, before.counter, before.checkpoint):
        raise LawBroken(f"S6: {before} is overwritten by somebody who saw {seen}")
    if row.checkpoint != before.checkpoint and before.held != writer:
        raise LawBroken(f"session {writer} records progress, and {before.held} holds the lease")
    if before.held not in (NOBODY, writer) and world.entries[before.held] != DEAD:
        raise LawBroken(f"session {before.held} lives, and session {writer} ends its epoch")


def _knowing(world: World, number: int, writer: int, write: Write) -> Worker:
    """The worker, its ghost told whose write this was; the worker itself knows nothing of it."""
    worker = world.workers[number]
    tenure = worker.tenure
    if tenure is None or not tenure.attempts or tenure.truth == TAMPERED:
        return worker
    if world.session_of(number) == writer and write in tenure.attempts:
        return worker._replace(tenure=tenure._replace(truth=OURS_LANDED))
    if write.is_counter_free:
        return worker
    return worker._replace(tenure=tenure._replace(truth=OTHERS_WROTE))
