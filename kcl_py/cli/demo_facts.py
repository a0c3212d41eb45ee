"""What the demo's workers report: one pipe that all of them write into, so that what happened first stands first.

A write of at most PIPE_BUF bytes is whole or not there at all, also when its process is killed, and never mixed with
another's (POSIX, write). So no fact arrives in halves. A worker reports a record before it is done with it, and so
before it checkpoints or hands over: whatever another one does with the shard then is reported later.
"""

import os
import select
from collections.abc import Callable
from threading import Lock, Thread
from typing import Any

import msgspec

from kcl_py import events
from kcl_py.events import Event

_RECORDS_PER_FACT_MAX = 16  # what fits into 512 bytes, the smallest PIPE_BUF there is
_TEXT_MAX = 120
_TOLD = (
    events.BatchDone,
    events.CheckpointWritten,
    events.HandOffBegun,
    events.LeadershipTaken,
    events.LeaseGivenUp,
    events.LeaseHandedOver,
    events.LeasePickedUp,
    events.LeaseWasLost,
    events.SessionLost,
    events.SessionRevoked,
    events.ShardFinished,
    events.WorkerReady,
)
_KINDS: dict[str, type[Event]] = {kind.__name__: kind for kind in _TOLD}


class Processed(msgspec.Struct, frozen=True, tag="processed"):
    """Records reached a worker's processor.

    Attributes:
        worker: its id.
        shard_id: the shard.
        fencing_token: of the epoch in which it has the shard.
        records: key and number of each.
    """

    worker: str
    shard_id: str
    fencing_token: int
    records: list[tuple[str, int]]


class Told(msgspec.Struct, frozen=True, tag="told"):
    """A worker's event, by its class's name."""

    worker: str
    name: str
    values: dict[str, Any]

    @property
    def event(self) -> Event:
        """The event as it was."""
        return msgspec.convert(self.values, _KINDS[self.name])


class Killed(msgspec.Struct, frozen=True, tag="killed"):
    """A worker was killed; it has reported all that it ever will."""

    worker: str


Fact = Processed | Told | Killed


class Scribe:
    """Writes one worker's facts. Used from any thread; waits while the pipe is full.

    Args:
        descriptor: the pipe's end to write into; closed by `close`.
        worker: the worker's id.

    Attributes:
        descriptor: for another process to write into as well.
    """

    def __init__(self, descriptor: int, worker: str) -> None:
        self.descriptor = descriptor
        self._worker = worker
        self._writing = Lock()
        self._is_closed = False

    def processed(self, shard_id: str, fencing_token: int, records: list[tuple[str, int]]) -> None:
        """Report records, a few at a time."""
        for start in range(0, len(records), _RECORDS_PER_FACT_MAX):
            few = records[start : start + _RECORDS_PER_FACT_MAX]
            self._write(Processed(self._worker, shard_id, fencing_token, few))

    def note(self, event: Event) -> None:
        """Listen to the worker."""
        if isinstance(event, _TOLD):
            values = msgspec.structs.asdict(event)
            values |= {name: text[:_TEXT_MAX] for name, text in values.items() if isinstance(text, str)}
            self._write(Told(self._worker, type(event).__name__, values))

    def killed(self, worker: str) -> None:
        """Report that another worker's process is gone."""
        self._write(Killed(worker))

    def close(self) -> None:
        """Write nothing any more."""
        with self._writing:
            self._is_closed = True
            os.close(self.descriptor)

    def _write(self, fact: Fact) -> None:
        line = msgspec.json.encode(fact) + b"\n"
        assert len(line) <= select.PIPE_BUF, "only a short write is whole or not at all"
        with self._writing:
            if not self._is_closed:
                os.write(self.descriptor, line)


class FactReader(Thread):
    """Reads facts until every worker has closed its end, or died.

    Args:
        descriptor: the pipe's end to read from.
        take: called with every fact, in this thread.
    """

    def __init__(self, descriptor: int, take: Callable[[Fact], object]) -> None:
        super().__init__(name="kcl_py-demo-facts", daemon=True)
        self._descriptor = descriptor
        self._take = take

    def run(self) -> None:
        """Read."""
        decoder = msgspec.json.Decoder(Fact)
        with os.fdopen(self._descriptor, "rb") as lines:
            for line in lines:
                self._take(decoder.decode(line))
