"""What the simulation saw: beside the product's own events, everything that the laws speak of."""

import asyncio
import heapq
import itertools
import operator
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar, overload

import msgspec

from kcl_py.core.lease import Lease
from kcl_py.events import Event

Position = tuple[int, int]
"""Sequence number and sub-sequence number."""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """The root of everything that is seen from outside."""


class Put(Fact, frozen=True, kw_only=True):
    """A record is in the stream."""

    shard_id: str
    position: Position
    key: str
    number: int  # of the key's records, from 0


class Resharded(Fact, frozen=True, kw_only=True):
    """A split or a merge took effect."""

    parents: tuple[str, ...]
    children: tuple[str, ...]


class Delivered(Fact, frozen=True, kw_only=True):
    """A processor was called with these records."""

    shard_id: str
    token: int
    records: tuple[Put, ...]


class Done(Fact, frozen=True, kw_only=True):
    """The call returned."""

    shard_id: str
    token: int
    records: tuple[Put, ...]


class Raised(Fact, frozen=True, kw_only=True):
    """The call raised: nothing of it is done."""

    shard_id: str
    token: int
    records: tuple[Put, ...]


class Trimmed(Fact, frozen=True, kw_only=True):
    """Retention passed these records: nobody can read them any more."""

    shard_id: str
    records: tuple[Put, ...]


class Buffered(Fact, frozen=True, kw_only=True):
    """A worker holds more payload than it ever did.

    Attributes:
        size: bytes held or reserved.
        allowed: bytes of its buffer.
    """

    size: int
    allowed: int


class RowWritten(Fact, frozen=True, kw_only=True):
    """A lease row changed.

    Attributes:
        claimed: the row that the writer named as the condition; None for a creation.
        stood: the row as it was; None if there was none.
        stands: the row as it is now; None if it was deleted.
    """

    key: str
    claimed: Lease | None
    stood: Lease | None
    stands: Lease | None
    is_counter_free: bool = False


class EntryWritten(Fact, frozen=True, kw_only=True):
    """A worker entry changed; `beat` is None if it was deleted."""

    key: str
    beat: int | None
    is_revoked: bool = False
    is_leaving: bool = False


class BeatSent(Fact, frozen=True, kw_only=True):
    """A worker begins to write its entry with this beat."""

    key: str
    beat: int


class LockWritten(Fact, frozen=True, kw_only=True):
    """The leader lock changed; `owner` is None if it was deleted."""

    owner: str | None
    standby: str | None = None


class Joined(Fact, frozen=True, kw_only=True):
    """A worker's process began.

    Attributes:
        rate: seconds that its clock counts in one of the world's.
        worker_id: may be another process's as well, by somebody's mistake.
        host: where it runs; empty where processes cannot be told apart.
        is_manual: its processors checkpoint by themselves.
    """

    rate: float
    worker_id: str = ""
    host: str = ""
    is_manual: bool = False


class Crashed(Fact, frozen=True, kw_only=True):
    """A worker's power went out."""


class Paused(Fact, frozen=True, kw_only=True):
    """A worker stands still."""


class Resumed(Fact, frozen=True, kw_only=True):
    """It goes on."""


class Blocked(Fact, frozen=True, kw_only=True):
    """User code blocks a worker's own loop; its keeper has a thread of its own."""


class Unblocked(Fact, frozen=True, kw_only=True):
    """It lets the loop go."""


class Leaving(Fact, frozen=True, kw_only=True):
    """A worker was told to stop."""


class Left(Fact, frozen=True, kw_only=True):
    """It has stopped."""


class Failed(Fact, frozen=True, kw_only=True):
    """A worker gave up by itself."""

    error: str


class RowErased(Fact, frozen=True, kw_only=True):
    """An operator deleted a lease row."""

    key: str


class TableDropped(Fact, frozen=True, kw_only=True):
    """An operator deleted the lease table."""


class TableRestored(Fact, frozen=True, kw_only=True):
    """An operator put an earlier state of the lease table in its place; it has another id."""


class StreamReplaced(Fact, frozen=True, kw_only=True):
    """The stream was deleted, and another one of its name was created."""


class Incident(Fact, frozen=True, kw_only=True):
    """Something is done to the fleet."""

    kind: str


class Trouble(Fact, frozen=True, kw_only=True):
    """A fault begins; it is over at `until`."""

    what: str
    until: float


class Healed(Fact, frozen=True, kw_only=True):
    """From here on nothing goes wrong any more."""


class CoreChosen(Fact, frozen=True, kw_only=True):
    """From here on these workers are healthy, and what ails the others never ends."""

    workers: tuple[str, ...]


class Drained(Fact, frozen=True, kw_only=True):
    """The run is over: whatever was put should be done."""


What = Fact | Event
Kind = TypeVar("Kind", bound=What)


class Entry(msgspec.Struct, frozen=True):
    """One line of the log."""

    index: int
    at: float  # the world's time, seconds
    worker: str  # empty for what no worker did
    what: What

    def __str__(self) -> str:
        return f"{self.at:10.3f} {self.worker or '-':>4} {self.what}"


_index = operator.attrgetter("index")


class Log:
    """Everything that happened, in order, of all workers."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.entries: list[Entry] = []
        self._of_kind: dict[type[What], list[Entry]] = {}
        for entry in entries:
            self._add(entry)

    def note(self, worker: str, what: What, at: float | None = None) -> None:
        """Add a line."""
        now = asyncio.get_running_loop().time() if at is None else at
        self._add(Entry(len(self.entries), now, worker, what))

    def _add(self, entry: Entry) -> None:
        self.entries.append(entry)
        self._of_kind.setdefault(type(entry.what), []).append(entry)

    @overload
    def of(self, kind: type[Kind], /) -> "Iterator[tuple[Entry, Kind]]": ...
    @overload
    def of(self, *kinds: type[What]) -> "Iterator[tuple[Entry, Any]]": ...
    def of(self, *kinds: type[Any]) -> "Iterator[tuple[Entry, Any]]":
        """The lines of some kinds, with what they say."""
        wanted = [entries for kind, entries in self._of_kind.items() if issubclass(kind, kinds)]
        for entry in heapq.merge(*wanted, key=_index) if len(wanted) > 1 else itertools.chain(*wanted):
            yield entry, entry.what

    def __str__(self) -> str:
        return "\n".join(map(str, self.entries))
