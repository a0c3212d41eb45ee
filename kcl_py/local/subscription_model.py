"""One subscription of enhanced fan-out: what is pushed next, and how it ends.

Sources: the API reference of SubscribeToShard and SubscribeToShardEvent. Assumed, because nothing published says so:
that an idle shard's empty events come every five seconds, the first of them five seconds after the subscription; the
size of an event; that the last event of a closed shard is followed by the end of the stream; that the subscriptions of
a consumer end when it is deregistered, not only when it is gone.
"""

from collections.abc import Callable

from kcl_py.local.answers import ChildShard, SubscribeToShardEvent
from kcl_py.local.kinesis_error import KinesisError
from kcl_py.local.limits import Limits
from kcl_py.local.shard_model import Reading, ShardModel
from kcl_py.local.throughput import Allowance


class SubscriptionModel:
    """Reads one shard from `place` on, as fast as it is taken from and the limits allow.

    Args:
        find: gives the shard at a time, and raises a `KinesisError` if the consumer, the stream or the shard is gone.
        place: in the shard's log, where it begins.
        began_ms: when SubscribeToShard was called.
        limits: of the model.
        allowance: what may be pushed of this shard to this consumer, whichever subscription does it.
    """

    def __init__(
        self, *, find: Callable[[int], ShardModel], place: int, began_ms: int, limits: Limits, allowance: Allowance
    ) -> None:
        self.began_ms = began_ms
        self.allowance = allowance
        self.is_over = False
        self.wake: Callable[[], object] = _nobody_waits  # called when there may be something to take
        self._find = find
        self._place = place
        self._limits = limits
        self._error: KinesisError | None = None
        self._taken_ms = began_ms
        self._paused_until_ms = began_ms

    @property
    def ends_ms(self) -> int:
        """When its life is over."""
        return self.began_ms + self._limits.subscription_lifetime_ms

    @property
    def due_ms(self) -> int:
        """When to take again, if nobody calls `wake` before."""
        following_ms = self._taken_ms + self._limits.heartbeat_ms
        if self._paused_until_ms > self._taken_ms:
            following_ms = self._paused_until_ms
        return min(self.ends_ms, following_ms)

    def take(self, now_ms: int) -> SubscribeToShardEvent | None:
        """The next event. None if none is due yet, or, when `is_over`, none will come any more.

        Raises:
            KinesisError: the subscription ended with this error.
        """
        if self._error is not None:
            raise self._error
        if self.is_over:
            return None
        try:
            shard = self._find(now_ms)
        except KinesisError as error:
            self.fail(error)
            raise
        if now_ms >= self.ends_ms:
            self.is_over = True
            return None
        if now_ms < self._paused_until_ms:
            return None
        page = shard.read(self._place, self._limits.event_records_max, self._limits.event_bytes_max, now_ms)
        return self._event(shard, page, now_ms) if self._is_due(page, now_ms) else None

    def fail(self, error: KinesisError) -> None:
        """End with an error, which the next take raises."""
        if not self.is_over:
            self._error = error
            self.is_over = True
            self.wake()

    def close(self) -> None:
        """The subscriber is gone."""
        self.is_over = True
        self.wake = _nobody_waits

    def _is_due(self, page: Reading, now_ms: int) -> bool:
        if page.records:
            pause_ms = self.allowance.wait_ms(page.size_bytes, now_ms)
            self._paused_until_ms = now_ms + pause_ms
            return pause_ms == 0
        return page.is_shard_end or now_ms >= self._taken_ms + self._limits.heartbeat_ms

    def _event(self, shard: ShardModel, page: Reading, now_ms: int) -> SubscribeToShardEvent:
        self._place = page.next_place
        self._taken_ms = self._paused_until_ms = now_ms
        self.allowance.draw(page.size_bytes)
        self.is_over = page.is_shard_end
        return SubscribeToShardEvent(
            records=page.records,
            continuation_sequence_number=None if page.is_shard_end else shard.continuation_number(page, now_ms),
            millis_behind_latest=page.millis_behind_latest,
            child_shards=tuple(ChildShard.of(child) for child in shard.children) if page.is_shard_end else (),
        )


def _nobody_waits() -> None:
    """What to call while nobody waits for an event."""
