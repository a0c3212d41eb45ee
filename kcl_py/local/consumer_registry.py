"""The enhanced fan-out consumers of one stream."""

from kcl_py.local.consumer_model import ConsumerModel
from kcl_py.local.kinesis_error import KinesisError
from kcl_py.local.limits import Limits


class ConsumerRegistry:
    """Consumers by name, from registration until they are gone."""

    def __init__(self, stream_arn: str, limits: Limits) -> None:
        self._stream_arn = stream_arn
        self._limits = limits
        self._consumers: dict[str, ConsumerModel] = {}
        self._last_created_ms: dict[str, int] = {}

    def all(self, now_ms: int) -> list[ConsumerModel]:
        """Every consumer, by name."""
        for consumer in list(self._consumers.values()):
            consumer.settle(now_ms)
            if consumer.is_gone:
                del self._consumers[consumer.name]
        return [self._consumers[name] for name in sorted(self._consumers)]

    def get(self, name: str, now_ms: int) -> ConsumerModel | None:
        """The consumer of this name, in whatever state."""
        return next((consumer for consumer in self.all(now_ms) if consumer.name == name), None)

    def register(self, name: str, now_ms: int) -> ConsumerModel:
        """A new consumer. One of a name that was used before is created in a later second: ARNs are never reused."""
        consumers = self.all(now_ms)
        if any(consumer.name == name for consumer in consumers):
            raise KinesisError(
                "ResourceInUseException", f"Consumer {name} of stream {self._stream_arn} already exists."
            )
        if len(consumers) >= self._limits.consumers_max:
            raise KinesisError(
                "LimitExceededException",
                f"Stream {self._stream_arn} has {len(consumers)} consumers, which is the limit.",
            )
        created_ms = max(now_ms, self._last_created_ms.get(name, now_ms - 1_000) + 1_000)
        self._last_created_ms[name] = created_ms
        consumer = ConsumerModel(name=name, stream_arn=self._stream_arn, created_ms=created_ms, limits=self._limits)
        self._consumers[name] = consumer
        consumer.settle(created_ms)
        return consumer

    def wake(self, shard_id: str | None = None) -> None:
        """Have every subscription to a shard, or to any, look at what there is."""
        for consumer in self._consumers.values():
            consumer.wake(shard_id)
