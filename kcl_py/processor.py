"""What a user writes, and what is handed to it."""

import inspect
from collections.abc import Awaitable, Callable, Generator
from typing import Any, ClassVar, Literal, Protocol

import msgspec

from kcl_py.core.batch import RecordBatch
from kcl_py.core.checkpoint import Checkpoint
from kcl_py.core.record import Record
from kcl_py.errors import ProcessorError

Checkpointing = Literal["automatic", "manual"]
_METHODS = {
    "initialize": ("context",),
    "process_records": ("records", "checkpointer"),
    "lease_lost": (),
    "shard_ended": ("checkpointer",),
    "shutdown_requested": ("checkpointer",),
}


class ShardContext(msgspec.Struct, kw_only=True):
    """What a processor may know of the shard it has.

    Attributes:
        application: the application's name.
        stream: the stream's name.
        shard_id: the shard.
        worker_id: the worker that runs this processor.
        checkpoint: where this epoch began: everything up to it was done before.
        fencing_token: grows with every change of owner. A sink that refuses lower tokens than the highest it has seen
            refuses a worker that lost the shard and does not know it yet.
        pending_checkpoint: a checkpoint that an earlier owner prepared and did not finish, or None.
        pending_checkpoint_state: the bytes prepared along with it, or None.
        is_cancelled: True once the shard is to be let go; a long call may look at it and return early, by raising.
    """

    application: str
    stream: str
    shard_id: str
    worker_id: str
    checkpoint: Checkpoint
    fencing_token: int
    pending_checkpoint: Checkpoint | None = None
    pending_checkpoint_state: bytes | None = None
    is_cancelled: bool = False


class PendingCheckpoint(Protocol):
    """A checkpoint that is noted in the lease row and not in force yet. Await it to know that the note is durable."""

    def checkpoint(self) -> Awaitable[None]:
        """Put it in force. Blocks, is awaited and raises as `Checkpointer.checkpoint` does."""

    def __await__(self) -> "Generator[Any, None, PendingCheckpoint]": ...


class Checkpointer(Protocol):
    """Records progress in one shard, forward only. May be used from any thread for as long as the lease is held."""

    def checkpoint(self, record: Record | None = None) -> Awaitable[None]:
        """Make progress durable.

        In a synchronous processor this blocks until the lease row is written; in an asynchronous one the result is
        awaited. With `checkpointing = "manual"` it says that everything up to `record` is done, or, without one,
        everything delivered so far. With `checkpointing = "automatic"` it hastens the checkpoint that the timer would
        write: the completed batches, up to `record` if one is given.

        Args:
            record: a record that was delivered in this epoch.

        Raises:
            CheckpointError: the record is behind the last checkpoint or above what may be checkpointed, or no record
                is named while an exception is being handled.
            LeaseLost: the shard is not ours any more.
        """

    def prepare(self, record: Record | None = None, state: bytes | None = None) -> PendingCheckpoint:
        """Note in the lease row that a checkpoint is about to follow.

        The next owner finds position and state in its `ShardContext` if this one never puts it in force. In a
        synchronous processor this blocks until the note is durable; in an asynchronous one the result is awaited.

        Raises:
            CheckpointError, LeaseLost: as `checkpoint`.
        """


class RecordProcessor:
    """Subclass this; only `process_records` is required. One instance serves one held shard.

    Every method may be `def` or `async def`, not mixed. Calls never overlap. A synchronous processor has a thread of
    its own for as long as it holds the shard, so that a connection made in `initialize` may be used later on.

    An exception advances nothing: the call is tried again with growing pauses, and if it keeps failing the shard
    stands still, keeps its lease, says so, and is tried again slowly. Other shards go on.
    """

    checkpointing: ClassVar[Checkpointing] = "automatic"
    """`automatic`: completed batches are checkpointed on a timer, at hand-over, stop and shard end. `manual`: nothing
    moves without a call to the checkpointer, and what was not checkpointed is delivered again."""

    context: ShardContext  # set before initialize is called

    def initialize(self, context: ShardContext) -> Awaitable[None] | None:  # noqa: ARG002 - a hook
        """Get ready. Called once for each shard held, before anything else."""
        return None

    def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> Awaitable[None] | None:
        """Process a batch; returning means that all of it is done."""
        raise NotImplementedError

    def lease_lost(self) -> Awaitable[None] | None:
        """The shard is not ours any more: let go of what belongs to it. Nothing can be checkpointed."""
        return None

    def shard_ended(self, checkpointer: Checkpointer) -> Awaitable[None] | None:  # noqa: ARG002 - a hook
        """Every record of the shard was processed. When this returns, the end is checkpointed for you."""
        return None

    def shutdown_requested(self, checkpointer: Checkpointer) -> Awaitable[None] | None:  # noqa: ARG002 - a hook
        """The shard is given up in an orderly way: flush, and with manual checkpoints checkpoint."""
        return None


ProcessorFactory = Callable[[], RecordProcessor]


def is_async(processor: type[RecordProcessor]) -> bool:
    """Tell which kind of processor a class is, and refuse one that is neither.

    Raises:
        ProcessorError: it is not a RecordProcessor, lacks `process_records`, has a method that does not take what it
            is given, mixes `def` and `async def`, or declares a kind of checkpointing that does not exist.
    """
    name = processor.__name__
    if not issubclass(processor, RecordProcessor):
        raise ProcessorError(f"{name} is not a RecordProcessor: subclass kcl_py.RecordProcessor")
    if processor.process_records is RecordProcessor.process_records:
        raise ProcessorError(f"{name} lacks process_records(self, records, checkpointer)")
    if processor.checkpointing not in ("automatic", "manual"):
        raise ProcessorError(f'{name}.checkpointing is {processor.checkpointing!r}: use "automatic" or "manual"')
    own = [method for method in _METHODS if getattr(processor, method) is not getattr(RecordProcessor, method)]
    for method in own:
        _check_arguments(processor, method)
    kinds = {inspect.iscoroutinefunction(getattr(processor, method)) for method in own}
    if len(kinds) > 1:
        raise ProcessorError(f"{name} mixes def and async def among {', '.join(own)}: make all of them the same")
    return kinds.pop()


def _check_arguments(processor: type[RecordProcessor], method: str) -> None:
    given = _METHODS[method]
    try:
        inspect.signature(getattr(processor, method)).bind(None, *given)
    except TypeError as wrong:
        expected = ", ".join(("self", *given))
        raise ProcessorError(f"{processor.__name__}.{method} must be {method}({expected}): {wrong}") from None
