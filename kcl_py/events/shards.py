"""Events about the shards that this worker processes."""

from kcl_py.events.event import Level, ShardEvent


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


class ShardStalled(ShardEvent, frozen=True, kw_only=True):
    """Its consumer has made no attempt for the stall timeout: a call that hangs is cancelled, and nothing is advanced.

    Attributes:
        method: the call of user code that has not returned; None if the service has not answered.
        is_restarted: the shard begins again here, behind its checkpoint; else another worker is to have it.
    """

    level: Level = "error"
    method: str | None
    stall_timeout_seconds: float
    is_restarted: bool
    advice: str = "find what hangs; raise stall_timeout, or checkpoint within the batch, if it is only slow"


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


class ForeignRecordsDropped(ShardEvent, frozen=True, kw_only=True):
    """A gap by choice: user records that belong to another shard were not delivered (`foreign_user_records = "drop"`).

    Attributes:
        first: the place of the first of them.
        last: the place of the last; others between the two may have been delivered.
    """

    level: Level = "warning"
    first: str
    last: str
    records: int


class CheckpointOverdue(ShardEvent, frozen=True, kw_only=True):
    """A processor with manual checkpoints has many records delivered and none checkpointed."""

    level: Level = "warning"
    records: int


class ShardFinished(ShardEvent, frozen=True, kw_only=True):
    """SHARD_END is durable, and the children's rows exist."""

    children: tuple[str, ...]
