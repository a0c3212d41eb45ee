"""What happened, as values. Logs, metrics and tests listen to these; a listener never holds up the work.

Every event names worker and shard where it has one. None carries a payload or a partition key.
"""

from collections.abc import Callable
from typing import Literal

import msgspec

Level = Literal["debug", "info", "warning", "error"]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """The root of every event."""

    level: Level = "info"


class ShardEvent(Event, frozen=True, kw_only=True):
    """Something about one shard that this worker holds, or wants."""

    shard_id: str


# -- the worker ---------------------------------------------------------------------------------------------------


class WorkerStarting(Event, frozen=True, kw_only=True):
    """The worker has its configuration and begins to reach out."""

    application: str
    stream: str
    worker_id: str


class TableCreated(Event, frozen=True, kw_only=True):
    """A lease table was made, or found empty: this is a cold start."""

    table: str


class TableTakenOver(Event, frozen=True, kw_only=True):
    """A Java fleet's lease table is ours now. Its workers must stay stopped."""

    level: Level = "warning"
    table: str
    kind: str
    leases: int


class WorkerReady(Event, frozen=True, kw_only=True):
    """Every start position is durable: nothing that is put from now on can be missed."""


class SessionStarted(Event, frozen=True, kw_only=True):
    """The worker's entry stands and beats."""

    session: str


class SessionLost(Event, frozen=True, kw_only=True):
    """The session ended without our will; every lease is lost, and the worker joins again."""

    level: Level = "warning"
    session: str
    reason: str


class SessionRevoked(Event, frozen=True, kw_only=True):
    """This worker declared another one's session dead."""

    level: Level = "warning"
    session: str
    reason: str


class SameWorkerId(Event, frozen=True, kw_only=True):
    """Another live session carries our worker id. Harmless, and seldom what was meant."""

    level: Level = "warning"
    session: str


class LeadershipTaken(Event, frozen=True, kw_only=True):
    """This worker plans who holds which lease from now on."""

    session: str
    standby: str | None = None


class LeadershipLost(Event, frozen=True, kw_only=True):
    """This worker plans no more; that harms nothing."""

    session: str
    reason: str


class MembershipChanged(Event, frozen=True, kw_only=True):
    """The leader sees another set of workers than before."""

    workers: int
    joined: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


class LeaseAssigned(ShardEvent, frozen=True, kw_only=True):
    """The leader gave a lease that nobody held to a worker."""

    to: str
    was: str | None = None


class HandOffOpened(ShardEvent, frozen=True, kw_only=True):
    """The leader asked a holder to hand its lease over."""

    giver: str
    to: str


class LeaseRemoved(ShardEvent, frozen=True, kw_only=True):
    """The row of a finished shard, which the stream has long forgotten, was deleted."""


class WorkerDraining(Event, frozen=True, kw_only=True):
    """A stop was asked for: no new batch begins."""

    grace_seconds: float


class WorkerStopped(Event, frozen=True, kw_only=True):
    """All leases are given up and the entry is gone."""


class HashRangeHole(Event, frozen=True, kw_only=True):
    """No unfinished row covers a part of the hash range; rows are made as the listing shows them."""

    level: Level = "warning"
    start: int
    end: int


class OddRowFound(Event, frozen=True, kw_only=True):
    """A row of the lease table does not parse; it is left alone."""

    level: Level = "warning"
    key: str
    reason: str


class ServiceTrouble(Event, frozen=True, kw_only=True):
    """A call failed and will be tried again."""

    level: Level = "warning"
    operation: str
    reason: str
    shard_id: str | None = None


# -- leases -------------------------------------------------------------------------------------------------------


class LeaseCreated(ShardEvent, frozen=True, kw_only=True):
    """A row was made for a shard."""

    checkpoint: str


class LeasePickedUp(ShardEvent, frozen=True, kw_only=True):
    """A new epoch began: from here on this worker may deliver."""

    fencing_token: int
    checkpoint: str


class LeaseGivenUp(ShardEvent, frozen=True, kw_only=True):
    """The row has no owner any more."""

    checkpoint: str


class HandOffBegun(ShardEvent, frozen=True, kw_only=True):
    """This worker is to hand the lease over: it begins no other batch of the shard."""

    to: str


class HandOffCalledOff(ShardEvent, frozen=True, kw_only=True):
    """The receiver is dead or leaving: this worker goes on."""

    to: str


class LeaseHandedOver(ShardEvent, frozen=True, kw_only=True):
    """The row names another worker, who goes on right after the checkpoint.

    Attributes:
        to: its session.
        checkpoint: what is done.
        is_forced: a batch was still in flight after the grace; what it did not checkpoint is delivered again.
    """

    to: str
    checkpoint: str
    is_forced: bool = False


class LeaseWasLost(ShardEvent, frozen=True, kw_only=True):
    """The epoch is over without our will."""

    level: Level = "warning"
    reason: str


class LeaseRecreated(ShardEvent, frozen=True, kw_only=True):
    """The row had vanished; it was written again from memory."""

    level: Level = "warning"
    checkpoint: str


class CheckpointWritten(ShardEvent, frozen=True, kw_only=True):
    """Progress is durable."""

    level: Level = "debug"
    checkpoint: str
    fencing_token: int


# -- shards -------------------------------------------------------------------------------------------------------


class ShardWaiting(ShardEvent, frozen=True, kw_only=True):
    """The shard's parents are not done yet."""

    parents: tuple[str, ...]


class ShardStarted(ShardEvent, frozen=True, kw_only=True):
    """The processor was initialized and reading begins."""

    checkpoint: str


class BatchDelivered(ShardEvent, frozen=True, kw_only=True):
    """`process_records` was called with these records."""

    level: Level = "debug"
    first: str
    last: str
    records: int
    attempt: int
    fencing_token: int


class BatchDone(ShardEvent, frozen=True, kw_only=True):
    """`process_records` returned."""

    level: Level = "debug"
    last: str
    records: int
    size_bytes: int
    millis_behind_latest: int | None
    seconds: float


class ProcessorFailed(ShardEvent, frozen=True, kw_only=True):
    """User code raised. Nothing was advanced."""

    level: Level = "error"
    method: str
    error: str  # the exception's type and place; never its text, which may hold a payload
    attempt: int
    retry_in_seconds: float
    is_stopped: bool  # the quick attempts are used up; the shard stands still and is tried again slowly


class ShardStopped(ShardEvent, frozen=True, kw_only=True):
    """The quick attempts are used up: the shard stands still, keeps its lease, and is tried again slowly."""

    level: Level = "error"
    method: str
    tried_again_every_seconds: float


class RecordsMissing(ShardEvent, frozen=True, kw_only=True):
    """A gap: records between two places were trimmed before anybody could read them."""

    level: Level = "error"
    after: str
    before: str
    reason: str


class MalformedAggregate(ShardEvent, frozen=True, kw_only=True):
    """A record that claims to be a KPL aggregate does not parse; it was delivered raw and flagged."""

    level: Level = "warning"
    sequence_number: str
    reason: str


class CheckpointOverdue(ShardEvent, frozen=True, kw_only=True):
    """A processor with manual checkpoints has many records delivered and none checkpointed."""

    level: Level = "warning"
    records: int


class ShardFinished(ShardEvent, frozen=True, kw_only=True):
    """SHARD_END is durable, and the children's rows exist."""

    children: tuple[str, ...]


Listener = Callable[[Event], None]
"""Called on the worker's loop, or the keeper's; must return at once. An exception in it is swallowed and counted."""
