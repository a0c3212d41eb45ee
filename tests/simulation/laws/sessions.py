"""Who was whose session, until when it might deliver, and who led."""

from bisect import bisect_right
from collections import defaultdict
from functools import cached_property

from tests.simulation.facts import BeatSent, Entry, EntryWritten, Joined, LockWritten, Log

EPSILON = 0.05  # by which clocks may differ, and by which a worker's own deadline is early


class Sessions:
    """Of one log."""

    def __init__(self, log: Log, failover_seconds: float) -> None:
        self._log = log
        self._failover_seconds = failover_seconds

    @cached_property
    def entries_of(self) -> dict[str, list[tuple[Entry, EntryWritten]]]:
        """The writes of each worker entry."""
        by_key: defaultdict[str, list[tuple[Entry, EntryWritten]]] = defaultdict(list)
        for entry, written in self._log.of(EntryWritten):
            by_key[written.key].append((entry, written))
        return dict(by_key)

    @cached_property
    def _senders(self) -> dict[str, str]:
        senders: dict[str, str] = {}
        for entry, beat in self._log.of(BeatSent):
            senders.setdefault(beat.key, entry.worker)
        return senders

    def worker_of(self, session_key: str | None) -> str:
        """The process that a session belongs to; two of them may have one worker id."""
        return self._senders.get(session_key or "", worker_of(session_key or ""))

    @cached_property
    def deadlines_of(self) -> dict[str, list[tuple[float, float]]]:
        """By session: from when on which deadline was known, at best; both in the world's time."""
        rates = {entry.worker: joined.rate for entry, joined in self._log.of(Joined)}
        sent: dict[tuple[str, int], float] = {}
        for entry, beat in self._log.of(BeatSent):
            sent.setdefault((beat.key, beat.beat), entry.at)
        deadlines: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        for key, written in self.entries_of.items():
            lifetime = self._failover_seconds * (1 - EPSILON) / rates.get(self.worker_of(key), 1.0)
            for entry, fact in written:
                if fact.beat is not None and (key, fact.beat) in sent and not fact.is_revoked:
                    deadlines[key].append((entry.at, sent[key, fact.beat] + lifetime))
        return dict(deadlines)

    def deadline_at(self, session_key: str, at: float) -> float | None:
        """The latest deadline that a session may know of at an instant."""
        deadlines = self.deadlines_of.get(session_key, [])
        known = bisect_right(deadlines, (at, float("inf")))
        # beats follow each other, so the last one that landed has the latest deadline, but for one that was late
        return max((deadline for _, deadline in deadlines[max(0, known - 3) : known]), default=None)

    @cached_property
    def lock_writes(self) -> list[tuple[Entry, LockWritten]]:
        """Every change of the leader lock."""
        return list(self._log.of(LockWritten))

    def leader_at(self, at: float) -> LockWritten | None:
        """Who leads, and who stands by; None while nobody does."""
        last = bisect_right(self.lock_writes, at, key=lambda written: written[0].at) - 1
        lock = self.lock_writes[last][1] if last >= 0 else None
        return lock if lock is not None and lock.owner is not None else None


def worker_of(session_key: str) -> str:
    """The worker id in an owner string."""
    return session_key.rpartition("@")[0]
