"""The two doors to the outside: a stream to read and a table to keep leases in.

Whatever stands behind a door raises only the errors of `errors`. Neither door retries by itself unless its docstring
says so, and a write whose outcome is not known raises `ServiceUnavailable`.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, Protocol

import msgspec

from kcl_py.core.leadership import LeaderLock
from kcl_py.core.lease import Change, Lease
from kcl_py.core.position import ReadFrom
from kcl_py.core.record import Record
from kcl_py.core.session import Session
from kcl_py.core.shard import ChildShard, Shard
from kcl_py.core.table import TableSnapshot


class StreamDescription(msgspec.Struct, frozen=True, kw_only=True):
    """What the service says of the stream."""

    name: str
    arn: str
    created_at_seconds: int
    retention_hours: int
    service_time_ms: int  # the answer's own Date header: the only clock that start positions are resolved by

    @property
    def incarnation(self) -> str:
        """Names this stream and no later one of the same name: `ARN@creation epoch`."""
        return f"{self.arn}@{self.created_at_seconds}"


class ShardFilter(msgspec.Struct, frozen=True):
    """Which shards to list; see the service's ListShards."""

    kind: Literal[
        "AT_LATEST", "AT_TRIM_HORIZON", "AT_TIMESTAMP", "FROM_TRIM_HORIZON", "FROM_TIMESTAMP", "AFTER_SHARD_ID"
    ]
    timestamp_ms: int | None = None
    shard_id: str | None = None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of GetRecords, or one event of SubscribeToShard; aggregates still packed."""

    records: list[Record]
    # The shard iterator to go on with, or the continuation sequence number to subscribe after.
    # None: the shard is closed and this was its last page.
    next_iterator: str | None
    child_shards: tuple[ChildShard, ...] = ()
    millis_behind_latest: int | None = None
    size_bytes: int = 0  # of the payloads and keys, which is what buffers and the 2 MB/s limit count


class Stream(Protocol):
    """One Kinesis stream."""

    async def describe(self) -> StreamDescription:
        """Describe the stream once it is ACTIVE or UPDATING. Retries transient errors.

        Raises:
            StreamNotFound, AccessDenied, CredentialsError, ServiceUnavailable.
        """

    async def list_shards(self, shard_filter: ShardFilter | None = None) -> tuple[Shard, ...]:
        """List every shard that the filter lets through, all pages, oldest first. Retries transient errors.

        Raises:
            StreamNotFound, AccessDenied, CredentialsError, ServiceUnavailable.
        """

    async def open(self, shard_id: str, position: ReadFrom) -> str:
        """Ask for a shard iterator.

        Raises:
            StreamNotFound, SequenceRefused, Throttled, ServiceUnavailable, AccessDenied, CredentialsError.
        """

    async def read(self, iterator: str, limit: int) -> Page:
        """Read one page.

        Raises:
            IteratorExpired, Throttled, ServiceUnavailable, EncryptionKeyError, StreamNotFound, AccessDenied,
            CredentialsError.
        """

    async def close(self) -> None:
        """Let go of connections."""


class StreamConsumer(msgspec.Struct, frozen=True, kw_only=True):
    """An enhanced fan-out consumer, as the service has it registered."""

    name: str
    arn: str
    status: str  # CREATING, ACTIVE or DELETING
    created_at_seconds: int


class Subscription(Protocol):
    """The pages of one shard as the service pushes them, for at most five minutes. Used by one task."""

    async def read(self) -> Page | None:
        """Wait for the next page; who does not ask stops the service from sending more (flow control).

        Pages without records arrive every few seconds as well, and tell the lag and how far the shard was searched.

        Returns:
            None once the subscription is over, as it is after five minutes: subscribe again after the last page's
            `next_iterator`.

        Raises:
            ServiceUnavailable: the connection broke, or nothing arrived on it for too long.
            SubscriptionTaken: somebody else subscribed to the shard through the same consumer.
            ConsumerMissing, StreamNotFound, Throttled, EncryptionKeyError, AccessDenied, CredentialsError.
        """

    async def close(self) -> None:
        """Unsubscribe. May be called again."""


class FanOut(Protocol):
    """Enhanced fan-out of one stream."""

    async def register(self, consumer_name: str) -> StreamConsumer:
        """Register the consumer unless it is there already; wait until it is ACTIVE. Retries transient errors.

        Raises:
            StreamNotFound, AccessDenied, CredentialsError, ServiceUnavailable, Throttled.
        """

    async def consumers(self) -> tuple[StreamConsumer, ...]:
        """List the stream's consumers, all pages, sorted by name. Retries transient errors.

        Raises:
            StreamNotFound, AccessDenied, CredentialsError, ServiceUnavailable.
        """

    async def deregister(self, consumer_name: str) -> None:
        """Deregister the consumer. Retries transient errors.

        Raises:
            ConsumerMissing: there is none of this name.
            StreamNotFound, AccessDenied, CredentialsError, ServiceUnavailable.
        """

    async def subscribe(self, consumer_arn: str, shard_id: str, position: ReadFrom) -> Subscription:
        """Subscribe to a shard. One attempt.

        Raises:
            SubscriptionTaken: another subscription of this consumer to this shard began within the last five seconds.
            ConsumerMissing: the consumer does not exist (any more).
            StreamNotFound: the stream or the shard does not.
            SequenceRefused, Throttled, ServiceUnavailable, EncryptionKeyError, AccessDenied, CredentialsError.
        """


class LeaseTable(Protocol):
    """One lease table. Reads are strongly consistent unless the docstring says otherwise."""

    async def prepare(self) -> str | None:
        """Create the table with its index if it is absent and may be created; wait until it is ACTIVE.

        A table that is there already is looked at and left as it is: it may yet have to be refused.

        Returns:
            DynamoDB's TableId, None where the endpoint has none.

        Raises:
            TableRefused: the table's key is not `leaseKey`.
            TableMissing: it is absent and `create_table` is false.
        """

    async def equip(self) -> None:
        """Give a prepared and accepted table what it lacks: its index, not awaited, and what the options ask for."""

    async def snapshot(self) -> TableSnapshot:
        """Read the whole table. A table that does not exist reads as empty."""

    async def lease(self, key: str) -> Lease | None:
        """Read one row; None if it is absent.

        Raises:
            RowUnreadable: the row is odd.
        """

    async def lease_keys_of(self, owner: str) -> tuple[str, ...]:
        """Ask the index, eventually consistent, which rows name `owner` as leaseOwner."""

    async def create(self, lease: Lease) -> bool:
        """Write a new row if none stands there. False if one does."""

    async def write(self, change: Change) -> None:
        """Write what differs between `change.before` and `change.after`, and nothing else.

        The condition is that both owner attributes are as in `before`, and the counter too, and that the row exists. If
        `change.is_counter_free`, who holds the row stands in the counter's place.

        Raises:
            ConditionFailed: nothing was written.
            Throttled: nothing was written.
            ServiceUnavailable: the outcome is unknown.
        """

    async def delete(self, lease: Lease) -> None:
        """Delete a finished row, on condition that it is as in `lease`: both owners, the counter, and SHARD_END.

        Raises:
            ConditionFailed, Throttled, ServiceUnavailable.
        """

    async def session(self, key: str) -> Session | None:
        """Read one worker entry; None if it is absent.

        Raises:
            RowUnreadable: what stands there is no session of ours.
        """

    async def write_session(self, before: Session | None, after: Session | None) -> None:
        """Create (`before` None), change, or delete (`after` None) a worker entry.

        The condition is that the entry's beat and revocation are as in `before`, or that there is no entry.

        Raises:
            ConditionFailed, Throttled, ServiceUnavailable.
        """

    async def sessions(self, keys: Iterable[str]) -> tuple[Session, ...]:
        """Read several worker entries, eventually consistent, sorted by key.

        Those that are absent or no sessions of ours are left out.
        """

    async def leader_lock(self) -> LeaderLock | None:
        """Read the leader lock; None if there is none.

        Raises:
            RowUnreadable: what stands there is no lock.
        """

    async def write_leader_lock(self, before: LeaderLock | None, after: LeaderLock | None) -> None:
        """Take or renew the lock, or delete it (`after` None).

        The condition is that the version and the owner are as in `before`, or that there is no lock. One that is taken
        from somebody else, or was released, is written whole; one's own is updated.

        Raises:
            ConditionFailed, Throttled, ServiceUnavailable.
        """

    async def foreign_pulse(self) -> Mapping[str, str]:
        """Everything that moves while a Java fleet lives: its rows' counters, its leader lock, its worker metrics.

        Two equal answers some time apart mean that it was silent in between.
        """

    async def close(self) -> None:
        """Let go of connections and threads."""
