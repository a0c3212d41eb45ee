"""How the data plane and the keeper talk, whatever lies between them.

The data plane asks: record this progress, this shard ended, let go. The keeper tells: yours, lost, your deadline is
now this. All of it is values. A box delivers them into the loop of whoever opened it, so the two may share a loop or
live in two threads and never know.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from kcl_py.core.checkpoint import Checkpoint
from kcl_py.core.lease import Lease
from kcl_py.core.shard import ChildShard

# -- what the keeper tells ----------------------------------------------------------------------------------------


class Yours(msgspec.Struct, frozen=True):
    """A lease was picked up: deliver what follows its checkpoint. Its counter is the epoch's fencing token."""

    lease: Lease


class Lost(msgspec.Struct, frozen=True):
    """The epoch is over: no call into user code but `lease_lost` may begin."""

    shard_id: str
    fencing_token: int


class DeadlineIs(msgspec.Struct, frozen=True):
    """No call into user code may begin past this instant of the shared clock, seconds."""

    at: float


class Answer(msgspec.Struct, frozen=True):
    """What became of the request with this id."""

    request_id: int
    result: object = None
    error: Exception | None = None


class KeeperFailed(msgspec.Struct, frozen=True):
    """The keeper cannot go on; the worker stops."""

    error: BaseException


FromKeeper = Yours | Lost | DeadlineIs | Answer | KeeperFailed

# -- what the data plane asks -------------------------------------------------------------------------------------


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Asked under the fencing token of the epoch it belongs to."""

    request_id: int
    shard_id: str
    fencing_token: int


class SaveCheckpoint(Request, frozen=True, kw_only=True):
    """Everything up to `position` is done."""

    position: Checkpoint


class PrepareCheckpoint(Request, frozen=True, kw_only=True):
    """A checkpoint at `position` is about to follow."""

    position: Checkpoint
    state: bytes | None


class NoteCaughtUp(Request, frozen=True, kw_only=True):
    """The shard is idle at its tip, with everything checkpointed."""


class ConfirmEnd(Request, frozen=True, kw_only=True):
    """The service gave no next iterator and no children. Answered with the children, or None if the shard is open."""


class EndShard(Request, frozen=True, kw_only=True):
    """Every record of the shard is done."""

    children: tuple[ChildShard, ...]


class LetGo(Request, frozen=True, kw_only=True):
    """Give the lease up, with this progress."""

    position: Checkpoint | None


class ShardMissing(Request, frozen=True, kw_only=True):
    """The service does not know the shard: look whether the stream is still the same."""


class Closed(Request, frozen=True, kw_only=True):
    """No call of this epoch runs any more, and none will: the shard may be picked up again."""


FromDataPlane = (
    SaveCheckpoint | PrepareCheckpoint | NoteCaughtUp | ConfirmEnd | EndShard | LetGo | ShardMissing | Closed
)

Message = TypeVar("Message")


class Box(Generic[Message]):
    """One direction. Put from anywhere; received, in order, in the loop that opened it."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._receive: Callable[[Message], None] | None = None
        self._waiting: list[Message] = []  # put before the box was opened
        self._lock = threading.Lock()  # between a first put in one thread and the opening in another

    def open(self, receive: Callable[[Message], None]) -> None:
        """Begin to receive in the running loop; `receive` must return at once."""
        with self._lock:
            self._receive = receive
            self._loop = asyncio.get_running_loop()
            for message in self._waiting:
                self._loop.call_soon(self._deliver, message)
            self._waiting.clear()

    def put(self, message: Message) -> None:
        """Send. A message to a side that has gone is dropped: nobody is left to act on it."""
        with self._lock:
            if self._loop is None:
                self._waiting.append(message)
            elif _running_loop() is self._loop:
                self._loop.call_soon(self._deliver, message)
            elif not self._loop.is_closed():
                with contextlib.suppress(RuntimeError):  # it was closed just now
                    self._loop.call_soon_threadsafe(self._deliver, message)

    def close(self) -> None:
        """Receive nothing more."""
        self._receive = None

    def _deliver(self, message: Message) -> None:
        if self._receive is not None:
            self._receive(message)


class Mailbox:
    """Both directions."""

    def __init__(self) -> None:
        self.to_keeper: Box[FromDataPlane] = Box()
        self.to_data_plane: Box[FromKeeper] = Box()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
