"""A log with the questions that several laws ask of it. Each answer is worked out once."""

from bisect import bisect_left
from collections import defaultdict
from functools import cached_property

from kcl_py.core.lease import Lease
from tests.simulation.facts import (
    BeatSent,
    Crashed,
    EntryWritten,
    Failed,
    Joined,
    Leaving,
    Left,
    LockWritten,
    Log,
    Paused,
    Position,
    Put,
    Resharded,
    Resumed,
    RowWritten,
    Trouble,
)
from tests.simulation.facts import Entry as LogEntry

EPSILON = 0.05  # by which clocks may differ, and by which a worker's own deadline is early


class History:
    """What happened, ready to be judged."""

    def __init__(self, log: Log, failover_seconds: float = 10.0) -> None:
        self.log = log
        self.failover_seconds = failover_seconds

    @cached_property
    def ends_at(self) -> float:
        return self.log.entries[-1].at

    # -- records ------------------------------------------------------------------------------------------------------

    @cached_property
    def puts(self) -> dict[str, list[Put]]:
        """By shard, in order."""
        puts: defaultdict[str, list[Put]] = defaultdict(list)
        for _, put in self.log.of(Put):
            puts[put.shard_id].append(put)
        return dict(puts)

    @cached_property
    def _positions(self) -> dict[str, list[Position]]:
        return {shard_id: [put.position for put in puts] for shard_id, puts in self.puts.items()}

    def after(self, shard_id: str, position: Position | None) -> list[Put]:
        """The shard's records behind a position, in order; all of them for None."""
        start = 0
        if position is not None:
            positions = self._positions.get(shard_id, [])
            start = bisect_left(positions, position)
            if start < len(positions) and positions[start] == position:
                start += 1
        return self.puts.get(shard_id, [])[start:]

    @cached_property
    def parents(self) -> dict[str, tuple[str, ...]]:
        """Of each child of a reshard."""
        return {child: reshard.parents for _, reshard in self.log.of(Resharded) for child in reshard.children}

    # -- rows ---------------------------------------------------------------------------------------------------------

    @cached_property
    def writes(self) -> list[tuple[LogEntry, RowWritten]]:
        return list(self.log.of(RowWritten))

    @cached_property
    def writes_of(self) -> dict[str, list[tuple[LogEntry, RowWritten]]]:
        """By row."""
        by_row: defaultdict[str, list[tuple[LogEntry, RowWritten]]] = defaultdict(list)
        for entry, write in self.writes:
            by_row[write.key].append((entry, write))
        return dict(by_row)

    @cached_property
    def pick_ups(self) -> dict[tuple[str, int], tuple[LogEntry, Lease]]:
        """By shard and fencing token: the write that began the epoch."""
        return {
            (write.key, write.stands.counter): (entry, write.stands)
            for entry, write in self.writes
            if write.stands is not None and is_pick_up(write)
        }

    def row_at(self, shard_id: str, at: float) -> Lease | None:
        """The row as it stood at an instant."""
        row = None
        for entry, write in self.writes_of.get(shard_id, ()):
            if entry.at > at:
                break
            row = write.stands
        return row

    # -- sessions and leaders -----------------------------------------------------------------------------------------

    @cached_property
    def entries_of(self) -> dict[str, list[tuple[LogEntry, EntryWritten]]]:
        """The writes of each worker entry."""
        by_key: defaultdict[str, list[tuple[LogEntry, EntryWritten]]] = defaultdict(list)
        for entry, written in self.log.of(EntryWritten):
            by_key[written.key].append((entry, written))
        return dict(by_key)

    @cached_property
    def _senders(self) -> dict[str, str]:
        senders: dict[str, str] = {}
        for entry, beat in self.log.of(BeatSent):
            senders.setdefault(beat.key, entry.worker)
        return senders

    def worker_of(self, session_key: str | None) -> str:
        """The process that a session belongs to; two of them may have one worker id."""
        return self._senders.get(session_key or "", worker_of(session_key or ""))

    @cached_property
    def rates(self) -> dict[str, float]:
        """How fast each worker's clock is."""
        return {entry.worker: joined.rate for entry, joined in self.log.of(Joined)}

    @cached_property
    def deadlines_of(self) -> dict[str, list[tuple[float, float]]]:
        """By session: from when on which deadline was known, at best; both in the world's time."""
        sent: dict[tuple[str, int], float] = {}
        for entry, beat in self.log.of(BeatSent):
            sent.setdefault((beat.key, beat.beat), entry.at)
        deadlines: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        for key, written in self.entries_of.items():
            lifetime = self.failover_seconds * (1 - EPSILON) / self.rates.get(self.worker_of(key), 1.0)
            for entry, fact in written:
                if fact.beat is not None and (key, fact.beat) in sent and not fact.is_revoked:
                    deadlines[key].append((entry.at, sent[key, fact.beat] + lifetime))
        return dict(deadlines)

    @cached_property
    def lock_writes(self) -> list[tuple[LogEntry, LockWritten]]:
        return list(self.log.of(LockWritten))

    def leader_at(self, at: float) -> LockWritten | None:
        """Who leads, and who stands by; None while nobody does."""
        lock = None
        for entry, written in self.lock_writes:
            if entry.at > at:
                break
            lock = written if written.owner is not None else None
        return lock

    # -- when things went wrong ---------------------------------------------------------------------------------------

    @cached_property
    def troubles(self) -> list[tuple[float, float, str]]:
        """From when to when what was wrong with the doors."""
        return [(entry.at, trouble.until, trouble.what) for entry, trouble in self.log.of(Trouble)]

    @cached_property
    def membership_changes(self) -> list[tuple[float, str]]:
        """When which worker came, went, stood still or came back."""
        kinds = (Joined, Crashed, Paused, Resumed, Leaving, Left, Failed)
        return [(entry.at, entry.worker) for entry, _ in self.log.of(*kinds)]

    def is_calm(self, begin: float, end: float, *, but: str = "") -> bool:
        """True if no door misbehaved between these instants, and none had just before.

        Args:
            begin, end: on the log's clock.
            but: this trouble does not count.
        """
        return not any(
            start <= end and until + self.failover_seconds >= begin and what != but
            for start, until, what in self.troubles
        )


def worker_of(session_key: str) -> str:
    """The worker id in an owner string."""
    return session_key.rpartition("@")[0]


def is_pick_up(write: RowWritten) -> bool:
    """True for the write that begins an epoch."""
    held_by = None if write.stands is None else write.stands.held_by
    if held_by is None or write.stands is None or write.is_counter_free:
        return False
    return write.stood is None or write.stood.held_by != held_by
