"""One instant of a row's life: the table, every worker's memory, what is still on its way, and what may yet go wrong.

Time is abstract, as in a timed automaton: a worker's deadline is ahead or has passed, and only whose deadline has
passed may be revoked. That this follows from the beats is searched through by itself, in `beats.py`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from kcl_py.core.lease import RECREATED_COUNTER_STEP
from tests.exhaustive.rows import NOBODY, OUTDATED, OUTSIDER, Row, Write, shifted
from tests.exhaustive.shipped import LIVE

RUNNING, LETTING_GO, LOST = range(3)  # a consumer: begins batches; was told to let go; finishes a call, at most
READY, LANDED, UNSURE = range(3)  # a write of the holder: may be sent; has landed, unknown to it; must be read back
NONE_LANDED, OURS_LANDED, OTHERS_WROTE, TAMPERED = range(4)  # what truly became of a holder's attempts
TRUTHS = ("none of its writes landed", "its own write stands", "others wrote the row", "an operator meddled")


class Bounds(NamedTuple):
    """How often each thing may happen that nobody needs: all else repeats only as far as these make it necessary.

    So the graph is finite without being cut off anywhere, and whatever cannot be finished in it is a true dead end.
    """

    hand_offs: int = 0  # opened by a leader
    crashes: int = 0  # of a process; it is started again, under the same worker id
    silences: int = 0  # a worker's deadline passes; it goes on as a zombie, is revoked, or beats again
    losses: int = 0  # of a request or its answer; or the request arrives late
    stale_reads: int = 0  # that a leader plans by, or picks up by
    departures: int = 0  # SIGTERM
    deletions: int = 0  # of the row, by an operator
    restores: int = 0  # of the table from a backup; a table that is deleted stops every worker
    misses: int = 0  # a lease is assigned to another because it was not picked up
    graces: int = 0  # that are over before a batch has been finished
    notes: int = 0  # writes of the holder without progress


class Backup(NamedTuple):
    """The table at some instant."""

    row: Row
    entries: tuple[int, ...]


class Consumer(NamedTuple):
    """One epoch in the data plane. Records are delivered one by one: a batch is one record."""

    begin: int  # the checkpoint that the epoch began with
    delivered: int
    done: int
    status: int
    is_excused: bool  # an operator meddled with the row since: another may hold it, until this one looks


class Tenure(NamedTuple):
    """What a worker knows of the lease that it holds or is about to pick up, and the call under way."""

    view: Row
    attempts: tuple[Write, ...] = ()
    tried: int = 0  # the last so many of them by the call under way
    phase: int = READY
    is_picked_up: bool = False
    call: tuple[object, ...] = ()  # its name and arguments
    truth: int = NONE_LANDED


class Worker(NamedTuple):
    """A process slot; `incarnation` counts its sessions."""

    incarnation: int = 0
    is_up: bool = True
    has_joined: bool = True
    is_ahead: bool = True  # its own deadline
    is_leaving: bool = False
    tenure: Tenure | None = None
    consumer: Consumer | None = None


class World(NamedTuple):
    """The row has counter 0; every other counter is relative to it."""

    row: Row | None
    entries: tuple[int, ...]  # by session: worker + workers * incarnation
    workers: tuple[Worker, ...]
    bounds: Bounds  # what is left of them
    strays: tuple[tuple[int, Write], ...] = ()  # requests that may still arrive, with the session that sent them
    snapshot: Row | None = None  # that some leader still has
    backup: Backup | None = None  # that may be restored
    newest: int = -1  # the fencing token given last; -1: below the row's counter

    def session_of(self, worker: int) -> int:
        return worker + len(self.workers) * self.workers[worker].incarnation

    def with_worker(self, number: int, worker: Worker) -> "World":
        workers = self.workers
        return self._replace(workers=(*workers[:number], worker, *workers[number + 1 :]))

    def with_entry(self, session: int, status: int) -> "World":
        entries = self.entries
        return self._replace(entries=(*entries[:session], status, *entries[session + 1 :]))

    def spending(self, name: str) -> "World | None":
        """The world with one such thing less to come; None if there was none left."""
        left: int = getattr(self.bounds, name)
        return self._replace(bounds=self.bounds._replace(**{name: left - 1})) if left else None


def first(workers: int, bounds: Bounds) -> World:
    """Everybody has just joined, and nobody owns the row."""
    incarnations = 1 + bounds.crashes + bounds.silences + bounds.departures + bounds.restores
    sessions = workers * incarnations
    return World(
        row=Row(NOBODY, NOBODY, NOBODY, 0, 0),
        entries=(LIVE,) * workers + (0,) * (sessions - workers),
        workers=(Worker(),) * workers,
        bounds=bounds,
    )


def rebased(world: World, row: Row) -> World:
    """The world with another row in the table, whose counter becomes the new zero."""
    by = row.counter
    floor = OUTDATED if world.backup is None else None
    snapshot, backup = world.snapshot, world.backup
    return world._replace(
        row=shifted(row, by, None),
        workers=tuple(
            worker if worker.tenure is None else worker._replace(tenure=_shifted_memory(worker.tenure, by, floor))
            for worker in world.workers
        ),
        strays=tuple(
            (session, _shifted_write(write, by, floor))
            for session, write in world.strays
            if floor is None or write.is_counter_free or write.before.counter >= by
        ),
        snapshot=None if snapshot is None else shifted(snapshot, by, floor),
        backup=backup and backup._replace(row=shifted(backup.row, by, None)),
        newest=max(world.newest - by, -1),
    )


def _shifted_memory(tenure: Tenure, by: int, floor: int | None) -> Tenure:
    counter = tenure.view.counter - by
    if floor is not None and counter < floor and counter != -RECREATED_COUNTER_STEP:
        by = tenure.view.counter - floor
    attempts = tuple(_shifted_write(write, by, None) for write in tenure.attempts)
    return tenure._replace(view=shifted(tenure.view, by, None), attempts=attempts)


def _shifted_write(write: Write, by: int, floor: int | None) -> Write:
    return write._replace(before=shifted(write.before, by, floor), after=shifted(write.after, by, floor))


# -- the same world, whoever is called what ---------------------------------------------------------------------------


def canonical(world: World) -> World:
    """One world for all that differ only in which worker is which."""
    order = sorted(range(len(world.workers)), key=lambda number: _looks(world, number))
    return renamed(world, order) if order != list(range(len(world.workers))) else world


def renamed(world: World, order: Sequence[int]) -> World:
    """The world with its workers in another order."""
    count = len(world.workers)
    new = {old: place for place, old in enumerate(order)}
    names = [new[session % count] + count * (session // count) for session in range(len(world.entries))]
    names += [OUTSIDER, NOBODY]  # which are -2 and -1, and so name themselves
    backup = world.backup
    return world._replace(
        row=world.row and _renamed(world.row, names),
        entries=_renamed_entries(world.entries, names),
        workers=tuple(_renamed_worker(world.workers[old], names) for old in order),
        strays=tuple(sorted((names[session], _renamed_write(write, names)) for session, write in world.strays)),
        snapshot=world.snapshot and _renamed(world.snapshot, names),
        backup=backup
        and backup._replace(row=_renamed(backup.row, names), entries=_renamed_entries(backup.entries, names)),
    )


def _looks(world: World, number: int) -> tuple[object, ...]:
    worker, session = world.workers[number], world.session_of(number)
    tenure, consumer = worker.tenure, worker.consumer
    return (
        worker[:5],
        world.entries[session],
        () if world.row is None else [session == owner for owner in world.row[:3]],
        () if consumer is None else consumer,
        () if tenure is None else (tenure.phase, tenure.is_picked_up, tenure.view.counter, tenure.call[:1]),
    )


def _renamed_entries(entries: tuple[int, ...], names: list[int]) -> tuple[int, ...]:
    renamed_entries = [0] * len(entries)
    for session, status in enumerate(entries):
        renamed_entries[names[session]] = status
    return tuple(renamed_entries)


def _renamed(row: Row, names: list[int]) -> Row:
    return Row(names[row.owner], names[row.giver], names[row.held], row.counter, row.checkpoint)


def _renamed_write(write: Write, names: list[int]) -> Write:
    return write._replace(before=_renamed(write.before, names), after=_renamed(write.after, names))


def _renamed_worker(worker: Worker, names: list[int]) -> Worker:
    tenure = worker.tenure
    if tenure is None:
        return worker
    call = tenure.call
    if call and call[0] == "let go":
        name, is_handing_over, heir, position, is_forced = call
        assert isinstance(heir, int)
        call = (name, is_handing_over, names[heir], position, is_forced)
    return worker._replace(
        tenure=tenure._replace(
            view=_renamed(tenure.view, names),
            attempts=tuple(_renamed_write(write, names) for write in tenure.attempts),
            call=call,
        )
    )
