"""The shipped code, asked once for every question that differs: the search is a walk over its answers.

Nothing is decided here. A write is judged by `MemoryLeaseTable`, an answer that got lost by `HeldLease` itself, what a
leader would do by `Planner` and `_change`, what a leaving worker passes on by `Succession`, and which position may be
saved by `Watermark`. Answers are kept for the length of one search, so that patched code is asked anew.
"""

from collections.abc import Callable, Coroutine
from functools import cache
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar, cast

import msgspec

from kcl_py.core.balance import LeaseView, Move, by_lease_count
from kcl_py.core.lease import Change, Lease
from kcl_py.core.record import Record
from kcl_py.core.session import Session
from kcl_py.core.watermark import Watermark
from kcl_py.errors import ConditionFailed, LeaseLost
from kcl_py.local.memory_lease_table import MemoryLeaseTable
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.fleet import planner
from kcl_py.runtime.leases.held_lease import HeldLease
from kcl_py.runtime.leases.succession import Succession, may_receive
from tests.exhaustive.rows import BINDING, CHILDREN, KEY, NUMBERS, Row, Write, change_of, lease_of, row_of, session_key
from tests.exhaustive.rows import write_of as written

Answer = TypeVar("Answer")
LIVE, LEAVING, DEAD = 1, 2, 3
"""What an entry says; DEAD is revoked, or no entry, which count the same. 0: a session that was never begun."""


class Settled(NamedTuple):
    """What `HeldLease` made of attempts whose outcome it did not know."""

    verdict: str  # "mine", "again" or "lost"
    view: Row
    attempts: tuple[Write, ...]
    created: Row | None  # the row, if the holder wrote it anew


class Shipped:
    """The shipped decisions, by value."""

    def __init__(self) -> None:
        self.landed = cache(_landed)
        self.settled = cache(_settled)
        self.token = cache(_token)
        self.looked = cache(_looked)
        self.adopted = cache(_adopted)
        self.change = cache(_change)
        self.passed_on = cache(_passed_on)
        self.plan = cache(_plan)
        self.is_left_behind = cache(_is_left_behind)
        self.may_receive = cache(_may_receive)
        self.position = cache(_position)


def answer_of(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Run a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as done:
        return cast("Answer", done.value)
    raise AssertionError("it waits for something")


def _table(row: Row | None, *sessions: Session) -> MemoryLeaseTable:
    table = MemoryLeaseTable(exists=True)
    if row is not None:
        table.put(lease_of(row))
    for session in sessions:
        answer_of(table.write_session(None, session))
    return table


def _row_in(table: MemoryLeaseTable) -> Row | None:
    lease = answer_of(table.lease(KEY))
    return None if lease is None else row_of(lease)


def _landed(row: Row | None, write: Write) -> Row | None:
    """The row after a conditional write; None if it was refused."""
    table = _table(row)
    try:
        answer_of(table.write(change_of(write)))
    except ConditionFailed:
        return None
    return _row_in(table)


def _held(table: MemoryLeaseTable, view: Row, *, is_picked_up: bool, is_live: bool) -> HeldLease:
    held = HeldLease(
        table,
        lease_of(view),
        is_session_live=lambda: is_live,
        on_retry=lambda _key, _error: None,
        on_recreated=lambda _row: None,
    )
    held.fencing_token = int(is_picked_up)
    return held


def _settled(
    row: Row | None, view: Row, attempts: tuple[Write, ...], *, tried: int, is_picked_up: bool, is_live: bool
) -> Settled:
    """Read the row, the last `tried` attempts being those of the call that wants to know."""
    table = _table(row)
    held = _held(table, view, is_picked_up=is_picked_up, is_live=is_live)
    held._attempts = [change_of(attempt) for attempt in attempts]
    is_pick_up = attempts[0].is_pick_up
    try:
        is_mine = answer_of(held._is_settled_by(held._attempts[len(attempts) - tried :]))
    except LeaseLost:
        return Settled("lost", row_of(held.lease), (), None)
    left = tuple(written(change, is_pick_up=is_pick_up) for change in held._attempts)
    created = _row_in(table) if row is None else None
    return Settled("mine" if is_mine else "again", row_of(held.lease), left, created)


def _token(row: Row, session: int) -> int | None:
    """The fencing token that a pick-up gives, as a distance from the row's counter; None if it does not follow it."""
    distances = set()
    for counter in (0, 1000):
        there = row._replace(counter=counter)
        held = _held(_table(there), there, is_picked_up=False, is_live=True)
        answer_of(held.pick_up(lambda lease: lease.picked_up(session_key(session) or "", BINDING)))
        distances.add(held.fencing_token - counter)
    return distances.pop() if len(distances) == 1 else None


def _looked(view: Row, row: Row | None) -> Row | None:
    """What a look at a held lease leaves in memory; None if the row is not as it was left."""
    held = _held(_table(row), view, is_picked_up=True, is_live=True)
    return row_of(held.lease) if answer_of(held.look()) else None


def _adopted(row: Row) -> Row:
    """A row of a restored table, once a worker was admitted to it."""
    before, now = (msgspec.structs.replace(BINDING, table_id=table_id) for table_id in ("before", "now"))
    table = MemoryLeaseTable(exists=True)
    lease = msgspec.structs.replace(lease_of(row), binding=before)
    table.put(lease)
    answer_of(table.write(lease.bound(now)))
    adopted = _row_in(table)
    assert adopted is not None
    return adopted


def _change(view: Row, name: str, argument: int) -> Write | None:
    """One transition of the lease; None if it refuses."""
    lease, to = lease_of(view), session_key(argument) or ""
    transitions: dict[str, Callable[[], Change]] = {
        "picked_up": lambda: lease.picked_up(to, BINDING),
        "checkpointed": lambda: lease.checkpointed(NUMBERS[argument]),
        "prepared": lambda: lease.caught_up(1),
        "bound": lambda: lease.bound(BINDING),
        "ended": lambda: lease.ended(CHILDREN),
        "taken_back": lease.taken_back,
        "handed_over": lease.handed_over,
        "assigned": lambda: lease.assigned(to),
        "released": lease.released,
    }
    try:
        return written(transitions[name](), is_pick_up=name == "picked_up")
    except ValueError:
        return None


def _passed_on(view: Row, is_handing_over: bool, heir: int, position: int) -> Write:
    """What `Tenure` writes when a lease is let go; a position of 0 is no progress."""
    lease, to = lease_of(view), session_key(heir)
    if is_handing_over and lease.checkpoint_owner is not None:
        change = lease.handed_over()
    else:
        change = lease.released() if to is None else lease.assigned(to)
    return written(change.with_checkpoint(NUMBERS[position] if position else None))


def _session(number: int, status: int) -> Session:
    return Session(key=session_key(number) or "", is_leaving=status == LEAVING, is_revoked=status == DEAD)


def _plan(row: Row, entries: tuple[int, ...], is_missed: bool) -> tuple[tuple[str, int, Write | None], ...]:
    """Every move that a leader who knows these entries may make of a row, whatever the fleet's loads are.

    `is_missed`: the row's owner was given time to pick it up, twice.
    """
    living = {session_key(number) or "": _session(number, status) for number, status in enumerate(entries)}
    living = {key: living[key] for key, status in zip(living, entries, strict=True) if status in (LIVE, LEAVING)}
    lease = lease_of(row)
    view = _planner(lease, living, is_missed=is_missed)._view(lease, living, is_waiting=False, now=0.0)
    moves: list[tuple[str, int, Write | None]] = []
    for number, status in enumerate(entries):
        move = _move(view, session_key(number) or "") if status == LIVE else None
        if move is not None and not (move.kind == "assign" and row.owner == number and lease.checkpoint_owner is None):
            moves.append((move.kind, number, written(planner._change(move, lease))))
        elif move is not None:
            moves.append((move.kind, number, None))  # it names that one already, who may still pick it up
    return tuple(moves)


def _move(view: LeaseView, to: str) -> Move | None:
    if view.owner is None:
        if to in (view.giver, view.avoid):
            return None
        return Move(kind="assign" if view.giver is None else "readdress", key=view.key, to=to, giver=view.giver)
    if view.is_movable and to != view.owner:
        return Move(kind="hand_off", key=view.key, to=to, giver=view.owner)
    return None


def _planner(lease: Lease, living: dict[str, Session], *, is_missed: bool) -> planner.Planner:
    made = planner.Planner(
        MemoryLeaseTable(exists=True),
        cast("Any", SimpleNamespace()),
        by_lease_count,
        lineage=cast("Any", None),
        pick_up=cast("Any", None),
        may_write=lambda: True,
        idle_seconds=60.0,
        clock=lambda: 0.0,
        emit=Emitter(()),
    )
    made._progress = {lease.key: (lease.counter, 0.0)}
    if is_missed and lease.owner is not None:
        made._assigned = {lease.key: planner._Assigned(lease.owner, float("-inf"), misses=planner.MISSES_MAX - 1)}
        made._note_assigned({lease.key: lease}, living, frozenset(), now=0.0)
    return made


def _is_left_behind(row: Row, entries: tuple[int, ...], me: int) -> bool:
    """True if a leaving worker's last look passes this row on."""
    staying = {session_key(number) or "" for number, status in enumerate(entries) if status == LIVE}
    lease = lease_of(row)
    succession = Succession(
        _table(None), by_lease_count, me=session_key(me) or "", seems_dead=lambda _: False, emit=Emitter(())
    )
    is_open = not lease.is_finished and lease.is_owner_native
    return is_open and succession._is_left_behind(lease, staying - {succession.me})


def _may_receive(number: int, status: int) -> bool:
    table = _table(None, *(() if status == 0 else (_session(number, status),)))
    return answer_of(may_receive(table, session_key(number) or ""))


def _position(begin: int, delivered: int, done: int) -> int:
    """How far an epoch may checkpoint that began behind a record, and was given one record at a time since."""
    watermark = Watermark(NUMBERS[begin])
    for number in range(begin + 1, delivered + 1):
        batch = watermark.delivered([_record(number)])
        if number <= done:
            watermark.completed(batch)
    return NUMBERS.index(watermark.position)


def _record(number: int) -> Record:
    return Record(data=b"", partition_key="", sequence_number=str(number), arrival_timestamp_seconds=0.0)
