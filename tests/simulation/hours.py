"""How much of a life counts as a busy fleet at work, and what it went through."""

from collections import Counter

import msgspec

from tests.simulation.facts import (
    Crashed,
    Done,
    Drained,
    Failed,
    Incident,
    Joined,
    Leaving,
    Log,
    Paused,
    Resharded,
    Resumed,
)

WORKERS_MIN, SHARDS_MIN, INCIDENTS_MIN = 5, 20, 1
MINUTE_SECONDS = 60.0


class Hours(msgspec.Struct, frozen=True):
    """Simulated time.

    Attributes:
        fleet: hours of fleets, all of them.
        counted: those among them, minute by minute, in which 5 workers or more ran on 20 open shards or more, at least
            one incident happened and records were done.
        worker: hours of running workers within the counted ones.
        incidents: how many of each kind happened.
        records: that were done, repeats included.
    """

    fleet: float = 0.0
    counted: float = 0.0
    worker: float = 0.0
    incidents: Counter[str] = msgspec.field(default_factory=Counter)
    records: int = 0

    def __add__(self, other: "Hours") -> "Hours":
        return Hours(
            self.fleet + other.fleet,
            self.counted + other.counted,
            self.worker + other.worker,
            self.incidents + other.incidents,
            self.records + other.records,
        )


def hours_of(log: Log, shards: int) -> Hours:
    """Measure a life.

    Args:
        log: of the life.
        shards: that it began with.
    """
    minutes = _Minutes(log.entries[0].at, shards)
    for entry in log.entries:
        if isinstance(entry.what, Drained):
            break
        minutes.see(entry.at, entry.worker, entry.what)
    hour = 3600 / MINUTE_SECONDS
    return Hours(
        fleet=(log.entries[-1].at - log.entries[0].at) / 3600,
        counted=minutes.counted / hour,
        worker=minutes.workers / hour,
        incidents=minutes.incidents,
        records=minutes.records,
    )


class _Minutes:
    """Goes through a log minute by minute. The last one, which is not over, never counts."""

    def __init__(self, begins_at: float, shards: int) -> None:
        self.counted = 0
        self.workers = 0  # the least that ran, summed over the counted minutes
        self.incidents: Counter[str] = Counter()
        self.records = 0
        self._ends_at = begins_at + MINUTE_SECONDS
        self._running: set[str] = set()
        self._shards = shards
        self._incidents = 0  # of this minute, as the following
        self._is_flowing = False
        self._workers_min = 0
        self._shards_min = shards

    def see(self, at: float, worker: str, what: object) -> None:
        """Take a line of the log in."""
        while at >= self._ends_at:
            is_busy = self._workers_min >= WORKERS_MIN and self._shards_min >= SHARDS_MIN
            if is_busy and self._incidents >= INCIDENTS_MIN and self._is_flowing:
                self.counted += 1
                self.workers += self._workers_min
            self._ends_at += MINUTE_SECONDS
            self._begin()
        if isinstance(what, Incident):
            self.incidents[what.kind] += 1
            self._incidents += 1
        elif isinstance(what, Done):
            self.records += len(what.records)
            self._is_flowing = True
        elif isinstance(what, Resharded):
            self._shards += len(what.children) - len(what.parents)
        elif isinstance(what, Joined | Resumed):
            self._running.add(worker)
        elif isinstance(what, Crashed | Paused | Leaving | Failed):
            self._running.discard(worker)
        self._workers_min = min(self._workers_min, len(self._running))
        self._shards_min = min(self._shards_min, self._shards)

    def _begin(self) -> None:
        self._incidents = 0
        self._is_flowing = False
        self._workers_min = len(self._running)
        self._shards_min = self._shards
