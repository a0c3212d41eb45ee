"""Shows a look at a fleet: tables for a terminal, lines for everything else. What others wrote is escaped."""

import contextlib
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from kcl_py.cli.fleet_view import FleetView, LeaseView
from kcl_py.core.table import TableKind
from kcl_py.printable import printable

_LINE_WIDTH_MAX = 1_000
_LEADER_WIDTH_MAX = 30  # two of them on a line of 80
_COLOURS = {
    "held": "green",
    "assigned": "yellow",
    "handing over": "cyan",
    "free": "red",
    "waiting": "yellow",
    "finished": "dim",
    "leaving": "yellow",
    "revoked": "red",
}
_POSITION_DIGITS = 8
_SHARD_ID = re.compile(r"shardId-([0-9]{1,20})")
_TABLE_LINES = 3  # a blank one, the headings and the rule below them
Row = TypeVar("Row")


def drawn(view: FleetView, *, is_plain: bool = False, height_max: int | None = None) -> Group:
    """The whole look, to print with rich.

    Args:
        view: the look.
        is_plain: without colours and rules.
        height_max: leave leases out, and then sessions, so that it takes no more lines than these; None for all.
    """
    names = _Names(view)
    heading = list(_heading(view, names, _LINE_WIDTH_MAX if is_plain else _LEADER_WIDTH_MAX))
    unread, notes = _unread(view), list(_notes(view))
    shown = view
    if height_max is not None:
        shown = _fitting(view, height_max - len(heading) - len(unread) - len(notes) - bool(notes))
    parts: list[RenderableType] = [*heading]
    if shown.sessions:
        parts += ["", _table(_session_columns(shown, names), is_plain=is_plain)]
    parts += _more("session", len(view.sessions) - len(shown.sessions))
    if shown.leases:
        parts += ["", _table(_lease_columns(shown, names), is_plain=is_plain)]
    parts += _more("lease", len(view.leases) - len(shown.leases))
    parts += unread
    if notes:
        parts += ["", *notes]
    is_cut = height_max is not None
    return Group(*(_line(part, is_cut=is_cut) if isinstance(part, str) else part for part in parts))


def lines(view: FleetView) -> list[str]:
    """The same without colours, and as wide as it needs to be."""
    text = io.StringIO()
    Console(file=text, width=_LINE_WIDTH_MAX, color_system=None, force_terminal=False).print(drawn(view, is_plain=True))
    return [line.rstrip() for line in text.getvalue().splitlines()]


class _Column(msgspec.Struct):
    """A column of text; `is_name` if its cells may be cut where the terminal is too narrow."""

    heading: str
    cells: list[str]
    is_right: bool = False
    is_name: bool = False


class _Name:
    """Text that is cut in its middle where there is no room, because hosts differ at both ends; it never wraps."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, max(1, cell_len(self._text)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield Text(_shortened(self._text, options.max_width), no_wrap=True, overflow="ellipsis")


class _Names:
    """Session keys as people say them: the worker's id, unless two sessions share it."""

    def __init__(self, view: FleetView) -> None:
        self._state = {session.session: session.state for session in view.sessions}
        known = {owner for lease in view.leases for owner in (lease.owner, lease.receiver) if owner is not None}
        known |= self._state.keys() | {key for key in (view.leader, view.standby) if key is not None}
        self._sharing = Counter(map(_worker_id, known))

    def __call__(self, key: str | None) -> str:
        if key is None:
            return "nobody"
        worker_id = _worker_id(key)
        return printable(key if self._sharing[worker_id] > 1 else worker_id)

    def with_state(self, key: str) -> str:
        """The name, and why it will not go on, if so."""
        state = self._state.get(key, "no entry" if _worker_id(key) != key else "member")
        return self(key) if state == "member" else f"{self(key)} ({state})"


def _worker_id(key: str) -> str:
    return key.rpartition("@")[0] or key


def _shortened(text: str, width: int) -> str:
    if cell_len(text) <= width:
        return text
    tail = width * 2 // 3
    return f"{text[: max(0, width - tail - 1)]}…{text[len(text) - tail :]}"


def _heading(view: FleetView, names: _Names, name_width: int) -> Iterator[str]:
    whose = "empty" if view.kind == TableKind.FRESH.value else f"written by {view.kind}"
    yield f"lease table {printable(view.table)}, {whose}"
    if view.is_empty:
        yield f"at {view.at}: no worker has joined yet"
        return
    yield f"at {view.at}"
    standby = "none" if view.standby is None else _shortened(names(view.standby), name_width)
    yield f"leads: {_shortened(names(view.leader), name_width)}, standby: {standby}"
    states = Counter(lease.state for lease in view.leases if lease.state != "finished")
    counts = [f"{count} {_words(state)}" for state, count in sorted(states.items())]
    yield f"leases: {', '.join(counts) or 'none unfinished'}; {view.finished_leases} finished"


def _unread(view: FleetView) -> list[str]:
    """What to say if shards stay free for want of workers."""
    free = sum(lease.state == "free" for lease in view.leases)
    if not (free and view.is_full):
        return []
    subject = "1 shard is" if free == 1 else f"{free} shards are"
    return [f"{subject} read by nobody: every worker is at its --leases-max"]


def _notes(view: FleetView) -> Iterator[str]:
    for row in view.odd_rows:
        yield f"does not parse: {printable(row.key)}: {printable(row.reason)}"
    if view.foreign_entries:
        yield f"entries of others: {', '.join(map(printable, view.foreign_entries))}"
    if view.lag_trouble is not None:
        yield f"behind is not known everywhere: {printable(view.lag_trouble)}"


def _fitting(view: FleetView, room: int) -> FleetView:
    """The sessions, and then the leases, that there is room for in so many lines."""
    sessions = _first(view.sessions, room - bool(view.leases))
    if sessions:
        room -= _TABLE_LINES + len(sessions)
    room -= len(sessions) < len(view.sessions)
    return msgspec.structs.replace(view, sessions=sessions, leases=_first(view.leases, room))


def _first(rows: tuple[Row, ...], room: int) -> tuple[Row, ...]:
    """As many as fit below their headings, above a line that counts the others."""
    room -= _TABLE_LINES
    return rows if len(rows) <= room else rows[: max(0, room - 1)]


def _more(noun: str, count: int) -> list[str]:
    return [f"… and {count} more {noun}{'' if count == 1 else 's'}"] if count else []


def _line(text: str, *, is_cut: bool) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis") if is_cut else Text(text)


def _lease_columns(view: FleetView, names: _Names) -> list[_Column]:
    leases, is_lag_unknown = view.leases, view.lag_trouble is not None
    rates = [lease.throughput_kib_per_second for lease in leases]
    return [
        _Column("shard", [_shard(lease.shard_id) for lease in leases]),
        _Column("state", [_words(lease.state) for lease in leases]),
        _Column("owner", [_owner(lease, names) for lease in leases], is_name=True),
        _Column("checkpoint", [_position(lease.checkpoint) for lease in leases]),
        _Column("behind", [_behind(lease, is_lag_unknown=is_lag_unknown) for lease in leases], is_right=True),
        _Column("KiB/s", ["" if rate is None else f"{rate:.1f}" for rate in rates], is_right=True),
    ]


def _session_columns(view: FleetView, names: _Names) -> list[_Column]:
    sessions = view.sessions
    unchanged = [session.beat_unchanged_seconds for session in sessions]
    maxima, cpus = [session.leases_max for session in sessions], [session.cpu_percent for session in sessions]
    return [
        _Column("session", [names(session.session) for session in sessions], is_name=True),
        _Column("state", [session.state for session in sessions]),
        _Column("last beat", [_moment(session.updated_at_seconds, view.at) for session in sessions]),
        _Column("same for", ["" if age is None else f"{age:.1f} s" for age in unchanged], is_right=True),
        _Column("held", [str(session.held) for session in sessions], is_right=True),
        _Column("assigned", [str(session.assigned) for session in sessions], is_right=True),
        _Column("max", ["" if most is None else str(most) for most in maxima], is_right=True),
        _Column("CPU", ["" if cpu is None else f"{cpu:.0f} %" for cpu in cpus], is_right=True),
    ]


def _table(columns: Sequence[_Column], *, is_plain: bool) -> Table:
    """Without the columns that would say nothing; no line wraps."""
    table = Table(
        box=None if is_plain else box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 2 if is_plain else 1, 0, 0),
    )
    columns = [column for column in columns if any(column.cells) or not column.cells]
    for column in columns:
        table.add_column(
            column.heading,
            justify="right" if column.is_right else "left",
            no_wrap=not column.is_name,
            overflow="ellipsis",
        )
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*map(_cell, columns, row))
    return table


def _cell(column: _Column, text: str) -> RenderableType:
    if column.is_name:
        return _Name(text)
    return Text(text, style=_COLOURS.get(text, "") if column.heading == "state" else "")


def _owner(lease: LeaseView, names: _Names) -> str:
    if lease.state == "waiting":
        return f"waits for {', '.join(map(_shard, lease.waits_for))}"
    owner = "" if lease.owner is None else names.with_state(lease.owner)
    return owner if lease.receiver is None else f"{owner} -> {names.with_state(lease.receiver)}"


def _words(state: str) -> str:
    return state.replace("_", " ")


def _position(checkpoint: str) -> str:
    number, _, sub_number = checkpoint.partition("/")
    if not number.isdecimal():
        return checkpoint
    short = number if len(number) <= _POSITION_DIGITS else f"…{number[-_POSITION_DIGITS:]}"
    return short if sub_number == "0" else f"{short}/{sub_number}"


def _shard(shard_id: str) -> str:
    """A shard as people say it."""
    match = _SHARD_ID.fullmatch(shard_id)
    return printable(shard_id) if match is None else f"shard {int(match[1])}"


def _behind(lease: LeaseView, *, is_lag_unknown: bool) -> str:
    if lease.behind_ms is None:
        return "?" if is_lag_unknown and lease.state != "finished" else ""
    seconds = lease.behind_ms / 1000
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def _moment(seconds: int, at: str) -> str:
    """The time of day, or the day if it is another than that of the look."""
    with contextlib.suppress(OverflowError, ValueError, OSError):  # whatever stands in the table
        moment = datetime.fromtimestamp(seconds, UTC)
        return moment.strftime("%H:%M:%SZ" if at.startswith(moment.strftime("%Y-%m-%d")) else "%Y-%m-%d")
    return "?"
