"""How the data plane and the keeper talk, whatever lies between them.

The data plane asks: record this progress, this shard ended, let go. The keeper tells: yours, lost, your deadline is
now this. All of it is values. A box delivers them into the loop of whoever opened it, so the two may share a loop or
live in two threads and never know.
"""

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from kcl_py.core.checkpoint import Checkpoint
from kcl_py.core.lease import Lease
from kcl_py.core.shard import ChildShard
from kcl_py.errors import LeaseLost

# -- what the keeper tells ----------------------------------------------------------------------------------------


class Yours(msgspec.Struct, frozen=True):
    """A lease was picked up: deliver what follows its checkpoint. Its counter is the epoch's fencing token."""

    lease: Lease
    horizon_ms: int  # records that arrived before it, by the service's clock, are or may be trimmed


class Lost(msgspec.Struct, frozen=True):
    """The epoch is over: no call into user code but `lease_lost` may begin."""

    shard_id: str
    fencing_token: int


class HandOver(msgspec.Struct, frozen=True):
    """Another worker is to have the lease: finish the batch in flight, then let go."""

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


FromKeeper = Yours | HandOver | Lost | DeadlineIs | Answer | KeeperFailed

# -- what the data plane asks -------------------------------------------------------------------------------------


class SaveCheckpoint(msgspec.Struct, frozen=True):
    """Everything up to `position` is done: `size_bytes` of payload and keys since the epoch began."""

    position: Checkpoint
    size_bytes: int = 0


class PrepareCheckpoint(msgspec.Struct, frozen=True):
    """A checkpoint at `position` is about to follow."""

    position: Checkpoint
    state: bytes | None


class NoteCaughtUp(msgspec.Struct, frozen=True):
    """At `at` of the shared clock the shard was idle at its tip, with everything checkpointed."""

    at: float


class ConfirmEnd(msgspec.Struct, frozen=True):
    """The service gave no next iterator and no children. Answered with the children, or None if the shard is open."""


class VerifyLease(msgspec.Struct, frozen=True):
    """Somebody else reads the shard: answered once its row was read and is still ours."""


class EndShard(msgspec.Struct, frozen=True):
    """Every record of the shard is done."""

    children: tuple[ChildShard, ...]


class LetGo(msgspec.Struct, frozen=True):
    """No other batch will begin: pass the lease on, with this progress."""

    position: Checkpoint | None


class Stalled(msgspec.Struct, frozen=True):
    """No attempt was made for too long, and no other batch will begin: pass the lease on, with what was done."""

    position: Checkpoint | None
    may_restart: bool  # this worker shall have it again, in a new epoch; else another one, if there is any


class ShardMissing(msgspec.Struct, frozen=True):
    """The service does not know the shard: look whether the stream is still the same. Needs no answer."""


class Closed(msgspec.Struct, frozen=True):
    """No call of this epoch runs any more, and none will: the shard may be picked up again. Needs no answer."""


Matter = (
    SaveCheckpoint
    | PrepareCheckpoint
    | NoteCaughtUp
    | ConfirmEnd
    | VerifyLease
    | EndShard
    | LetGo
    | Stalled
    | ShardMissing
    | Closed
)


class Request(msgspec.Struct, frozen=True):
    """What the data plane asks, under the fencing token of the epoch it belongs to."""

    request_id: int
    shard_id: str
    fencing_token: int
    matter: Matter


class Leaving(msgspec.Struct, frozen=True):
    """The worker drains: mark the entry, pick nothing up any more, go on serving requests."""


class Quit(msgspec.Struct, frozen=True):
    """No consumer is left: give up what is still held, take the entry away, and end."""


class Alive(msgspec.Struct, frozen=True):
    """The data plane's loop runs. Said so many times per `stall_timeout`."""


LOOKS_PER_STALL = 20
FromDataPlane = Request | Leaving | Quit | Alive

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


class KeeperLine:
    """The data plane's end: asks, and waits for the answer."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._ids = itertools.count(1)
        self._open: dict[int, asyncio.Future[object]] = {}
        self._is_cut = False

    async def ask(self, shard_id: str, fencing_token: int, matter: Matter) -> object:
        """Send a request and return what the keeper answers.

        Raises:
            LeaseLost: the epoch of this fencing token is over.
            KclError: whatever else the keeper met.
        """
        if self._is_cut:
            raise LeaseLost("the worker has stopped")
        request_id = next(self._ids)
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._open[request_id] = answer
        self._mailbox.to_keeper.put(Request(request_id, shard_id, fencing_token, matter))
        try:
            return await answer
        finally:
            del self._open[request_id]

    def tell(self, shard_id: str, fencing_token: int, matter: Matter) -> None:
        """Send something that needs no answer."""
        self._mailbox.to_keeper.put(Request(0, shard_id, fencing_token, matter))

    def answered(self, answer: Answer) -> None:
        """Hand an answer to whoever waits for it, if anybody still does."""
        waiting = self._open.get(answer.request_id)
        if waiting is None or waiting.done():
            return
        if answer.error is not None:
            waiting.set_exception(answer.error)
        else:
            waiting.set_result(answer.result)

    def hang_up(self) -> None:
        """The keeper is gone: whoever waits, or asks later, has lost its lease."""
        self._is_cut = True
        for waiting in self._open.values():
            if not waiting.done():
                waiting.set_exception(LeaseLost("the worker has stopped"))


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
