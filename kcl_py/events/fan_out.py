"""Events about enhanced fan-out."""

from kcl_py.events.event import Event, Level, ShardEvent


class ConsumerRegistered(Event, frozen=True, kw_only=True):
    """The stream's fan-out consumer of this name is ACTIVE: shards are subscribed to through it."""

    consumer: str


class ConsumerDeleted(Event, frozen=True, kw_only=True):
    """The service does not know the fan-out consumer any more; it is registered again."""

    level: Level = "warning"
    consumer: str
    advice: str = "to be rid of it, turn fan_out off or stop the workers before it is deregistered"


class FanOutInterrupted(ShardEvent, frozen=True, kw_only=True):
    """The shard cannot be subscribed to for now. Nothing is lost or repeated.

    Attributes:
        reason: why not.
        is_polled: the shard is read by polling meanwhile; else it waits.
        retry_in_seconds: when it is tried again, at the earliest.
    """

    reason: str
    is_polled: bool
    retry_in_seconds: float


class FanOutResumed(ShardEvent, frozen=True, kw_only=True):
    """The shard is subscribed to again."""
