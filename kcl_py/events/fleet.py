"""Events about a worker, its session, the table, and the fleet as its leader sees it."""

from kcl_py.events.event import Event, Level, ShardEvent


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
    advice: str = "give each worker an id of its own"


class NobodyHasRoom(Event, frozen=True, kw_only=True):
    """Shards are read by nobody, because every worker holds as many as it may."""

    level: Level = "warning"
    leases: int
    advice: str = "start another worker, or raise leases_max"


class DeliveryPaused(Event, frozen=True, kw_only=True):
    """No beat has landed for the failover time: processors are not called, because others may own the shards now."""

    level: Level = "warning"


class DeliveryResumed(Event, frozen=True, kw_only=True):
    """A beat has landed again: processors are called."""


class LeadershipTaken(Event, frozen=True, kw_only=True):
    """This worker plans who holds which lease from now on."""

    session: str


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


class EventLoopBlocked(Event, frozen=True, kw_only=True):
    """Nothing has run in the worker's event loop for the stall timeout: it gives its leases up and leaves the fleet."""

    level: Level = "error"
    stall_timeout_seconds: float
    advice: str = "find what blocks the loop: a processor with async def methods must not call what blocks"


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
