"""Who was able to do what when, and what was wrong meanwhile: promises about time hold where nothing else happens."""

from bisect import bisect_right
from functools import cached_property

import msgspec

from tests.simulation.facts import (
    Blocked,
    CoreChosen,
    Crashed,
    Entry,
    Failed,
    Healed,
    Joined,
    Leaving,
    Left,
    Log,
    Paused,
    Resumed,
    RowErased,
    StreamReplaced,
    TableDropped,
    TableRestored,
    Trouble,
    Unblocked,
)

EVER = float("inf")
FAR = "far"
UPSETS = (Crashed, Paused, Resumed, Blocked, Unblocked, Leaving, Failed)
CHANGES = (Joined, Left, *UPSETS)
RESETS = (StreamReplaced, TableDropped, TableRestored)


class Workers(msgspec.Struct, frozen=True):
    """Of one instant.

    Attributes:
        beating: those whose keeper runs, that are not leaving, and that are of the core once there is one.
        able: those of them whose loop runs as well.
    """

    beating: frozenset[str] = frozenset()
    able: frozenset[str] = frozenset()


class Circumstances:
    """Of one log."""

    def __init__(self, log: Log, failover_seconds: float, audit_seconds: float) -> None:
        self._log = log
        self._failover_seconds = failover_seconds
        self._audit_seconds = audit_seconds
        self._covered: dict[str, list[tuple[float, float]]] = {}

    @cached_property
    def troubles(self) -> list[tuple[float, float, str]]:
        """From when to when what was wrong with the doors, or with what stands behind them."""
        healed = [entry.at for entry, _ in self._log.of(Healed)]
        troubles = []
        for entry, what in self._log.of(Trouble, RowErased, *RESETS):
            if isinstance(what, Trouble):
                is_healed = what.what != FAR  # which is how things are, and no fault
                ends = next((at for at in healed if at >= entry.at and is_healed), EVER)
                troubles.append((entry.at, min(what.until, ends), what.what))
            else:
                # a row that is gone is made again when two audits lack it
                until = entry.at + 2 * self._audit_seconds if isinstance(what, RowErased) else EVER
                troubles.append((entry.at, until, type(what).__name__))
        return troubles

    def is_calm(self, begin: float, end: float, *, but: str = "") -> bool:
        """True if no door misbehaved between these instants, and none had just before.

        Args:
            begin, end: on the log's clock.
            but: this trouble does not count.
        """
        if but not in self._covered:
            self._covered[but] = self._merged(but)
        covered = self._covered[but]
        at = bisect_right(covered, (end, EVER)) - 1
        return at < 0 or covered[at][1] < begin

    def _merged(self, but: str) -> list[tuple[float, float]]:
        merged: list[tuple[float, float]] = []
        for begin, until, what in sorted(self.troubles):
            if what == but:
                continue
            if merged and begin <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(merged[-1][1], until + self._failover_seconds)
            else:
                merged.append((begin, until + self._failover_seconds))
        return merged

    @cached_property
    def changes(self) -> list[tuple[float, str]]:
        """When which worker came, went, stood still or came back."""
        return [(entry.at, entry.worker) for entry, _ in self._log.of(*CHANGES)]

    def changes_between(self, begin: float, end: float) -> list[tuple[float, str]]:
        """Those after one instant and up to another."""
        return self.changes[bisect_right(self.changes, (begin, "\uffff")) : bisect_right(self.changes, (end, "\uffff"))]

    @cached_property
    def _upsets(self) -> list[tuple[float, str]]:
        return [(entry.at, entry.worker) for entry, _ in self._log.of(*UPSETS)]

    def upsets_between(self, begin: float, end: float) -> list[tuple[float, str]]:
        """The changes that may hold others up, which a join or the end of a departure does not."""
        return self._upsets[bisect_right(self._upsets, (begin, "\uffff")) : bisect_right(self._upsets, (end, "\uffff"))]

    def at(self, instant: float) -> Workers:
        """Who could do what, right after whatever happened at that instant."""
        return self._times[1][bisect_right(self._times[0], instant)]

    def is_able_throughout(self, worker: str, begin: float, end: float) -> bool:
        """True if a worker ran all the time."""
        times, workers = self._times
        first, last = bisect_right(times, begin), bisect_right(times, end)
        return all(worker in one.able for one in workers[first : last + 1])

    def is_anybody_able_throughout(self, begin: float, end: float) -> bool:
        """True if the same worker ran all the time, whoever else did not."""
        times, workers = self._times
        first, last = bisect_right(times, begin), bisect_right(times, end)
        return bool(frozenset.intersection(*(one.able for one in workers[first : last + 1])))

    @cached_property
    def blocked_for_ever(self) -> frozenset[str]:
        """Workers whose loop was blocked last, and never let go: their keeper lives, until the stall timeout."""
        last = {entry.worker: isinstance(what, Blocked) for entry, what in self._log.of(Blocked, Unblocked)}
        return frozenset(worker for worker, is_blocked in last.items() if is_blocked)

    @cached_property
    def _times(self) -> tuple[list[float], list[Workers]]:
        times: list[float] = []
        workers = [Workers()]
        beating: set[str] = set()
        blocked: set[str] = set()
        for entry, what in self._log.of(*CHANGES, CoreChosen):
            match what:
                case CoreChosen():  # what ails the others never ends
                    beating &= set(what.workers)
                case Joined() | Resumed():
                    beating.add(entry.worker)
                case Blocked():
                    blocked.add(entry.worker)
                case Unblocked():
                    blocked.discard(entry.worker)
                case _:
                    beating.discard(entry.worker)
            times.append(entry.at)
            workers.append(Workers(frozenset(beating), frozenset(beating - blocked)))
        return times, workers

    @cached_property
    def resets(self) -> list[tuple[float, int, type]]:
        """When the stream or the table became another one: at, index, which of both."""
        return [(entry.at, entry.index, type(what)) for entry, what in self._log.of(*RESETS)]

    def is_of_another_table(self, before: Entry, after: Entry) -> bool:
        """True if the table was dropped or restored between two lines."""
        return any(before.index < index < after.index for _, index, kind in self.resets if kind is not StreamReplaced)
