"""Shows a look at a fleet: tables for a terminal, lines for everything else. What others wrote is escaped."""

import contextlib
import io
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from kcl_py.cli.fleet_view import FleetView, LeaseView, SessionView
from kcl_py.printable import printable

_LINE_WIDTH_MAX = 1_000
_COLOURS = {
    "held": "green",
    "assigned": "yellow",
    "handing_over": "cyan",
    "free": "red",
    "waiting": "yellow",
    "finished": "dim",
    "leaving": "yellow",
    "revoked": "red",
}
_POSITION_DIGITS = 8


def drawn(view: FleetView, *, is_plain: bool = False) -> Group:
    """The whole look, to print with rich."""
    names = _Names(view)
    parts: list[RenderableType] = [Text(line) for line in _heading(view, names)]
    if view.leases:
        parts += ["", _lease_table(view, names, is_plain=is_plain)]
    if view.sessions:
        parts += ["", _session_table(view.sessions, is_plain=is_plain)]
    if notes := [Text(line, style="" if is_plain else "yellow") for line in _notes(view)]:
        parts += ["", *notes]
    return Group(*parts)


def lines(view: FleetView) -> list[str]:
    """The same without colours, and as wide as it needs to be."""
    text = io.StringIO()
    Console(file=text, width=_LINE_WIDTH_MAX, color_system=None, force_terminal=False).print(drawn(view, is_plain=True))
    return [line.rstrip() for line in text.getvalue().splitlines()]


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


def _heading(view: FleetView, names: _Names) -> Iterator[str]:
    yield f"lease table {printable(view.table)}: {view.kind}"
    if view.is_empty:
        yield "it is empty: no worker has joined yet"
        return
    yield f"leads: {names(view.leader)}, stands by: {names(view.standby)}"
    states = Counter(lease.state for lease in view.leases if lease.state != "finished")
    counts = [f"{count} {_words(state)}" for state, count in sorted(states.items())]
    yield f"leases: {', '.join(counts) or 'none unfinished'}; {view.finished_leases} finished"


def _notes(view: FleetView) -> Iterator[str]:
    for row in view.odd_rows:
        yield f"does not parse: {printable(row.key)}: {printable(row.reason)}"
    if view.foreign_entries:
        yield f"entries of others: {', '.join(map(printable, view.foreign_entries))}"
    if view.lag_trouble is not None:
        yield f"behind is not known everywhere: {printable(view.lag_trouble)}"


def _lease_table(view: FleetView, names: _Names, *, is_plain: bool) -> Table:
    table = _table("shard", "state", "owner", "checkpoint", is_plain=is_plain)
    for heading in ("behind", "switches", "KiB/s"):
        table.add_column(heading, justify="right")
    for lease in view.leases:
        table.add_row(
            Text(printable(lease.shard_id)),
            Text(_words(lease.state), style=_COLOURS.get(lease.state, "")),
            Text(_owner(lease, names)),
            Text(_position(lease.checkpoint)),
            "" if lease.state == "finished" else _behind(lease.behind_ms),
            str(lease.owner_switches),
            "" if lease.throughput_kib_per_second is None else f"{lease.throughput_kib_per_second:.1f}",
        )
    return table


def _session_table(sessions: tuple[SessionView, ...], *, is_plain: bool) -> Table:
    table = _table("session", "state", "last beat (its clock)", is_plain=is_plain)
    for heading in ("same for", "held", "assigned", "max", "CPU"):
        table.add_column(heading, justify="right")
    for session in sessions:
        unchanged = session.beat_unchanged_seconds
        table.add_row(
            Text(printable(session.session)),
            Text(session.state, style=_COLOURS.get(session.state, "")),
            _moment(session.updated_at_seconds),
            "" if unchanged is None else f"{unchanged:.1f} s",
            str(session.held),
            str(session.assigned),
            "" if session.leases_max is None else str(session.leases_max),
            "" if session.cpu_percent is None else f"{session.cpu_percent:.0f} %",
        )
    return table


def _table(*headings: str, is_plain: bool) -> Table:
    table = Table(box=None if is_plain else box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _owner(lease: LeaseView, names: _Names) -> str:
    if lease.state == "waiting":
        return f"waits for {', '.join(map(printable, lease.waits_for))}"
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


def _behind(milliseconds: int | None) -> str:
    if milliseconds is None:
        return "?"
    seconds = milliseconds / 1000
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def _moment(seconds: int) -> str:
    with contextlib.suppress(OverflowError, ValueError, OSError):  # whatever stands in the table
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return "?"
