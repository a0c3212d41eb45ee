"""The model as the door of enhanced fan-out: what the runtime subscribes to when there is no network."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from kcl_py.core.position import ReadFrom
from kcl_py.errors import (
    ConsumerMissing,
    SequenceRefused,
    ServiceError,
    ServiceUnavailable,
    StreamNotFound,
    SubscriptionTaken,
    Throttled,
)
from kcl_py.interfaces import Page, StreamConsumer, Subscription
from kcl_py.local import answers
from kcl_py.local.doors import Members, asked, children_of, loop_clock_ms, records_of
from kcl_py.local.kinesis_error import KinesisError
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.pushed_events import PushedEvents
from kcl_py.local.subscription_model import SubscriptionModel

_LOOK_SECONDS = 1.0
_LOOKS_MAX = 120  # at a consumer that changes: longer than any has been seen to take
_A = TypeVar("_A")


class LocalFanOut:
    """The `FanOut` door on a stream of a `KinesisModel` in this process.

    Everything happens in the running loop, which whoever else calls the model has to use, too.

    Args:
        model: that has the stream.
        name: of the stream.
        clock_ms: milliseconds since the epoch; the running loop's time if absent. Whoever else calls the model must
            use the same clock.
    """

    def __init__(self, model: KinesisModel, name: str, *, clock_ms: Callable[[], int] = loop_clock_ms) -> None:
        self.model = model
        self.name = name
        self.clock_ms = clock_ms

    async def register(self, consumer_name: str) -> StreamConsumer:
        """See `FanOut.register`."""
        named: Members = {"StreamARN": self.model.arn_of(self.name), "ConsumerName": consumer_name}
        for _ in range(_LOOKS_MAX):
            consumer = next((one for one in await self.consumers() if one.name == consumer_name), None)
            if consumer is None:
                with suppress(SubscriptionTaken):  # ResourceInUse: the stream is not ACTIVE yet
                    answer = self._ask("RegisterStreamConsumer", named, answers.RegisterStreamConsumerAnswer)
                    consumer = _consumer_of(answer.consumer)
            if consumer is not None and consumer.status == "ACTIVE":
                return consumer
            await asyncio.sleep(_LOOK_SECONDS)
        raise ServiceUnavailable(f"consumer {consumer_name} of {self.name} has not become ACTIVE; try again")

    async def consumers(self) -> tuple[StreamConsumer, ...]:
        """See `FanOut.consumers`."""
        arn = self.model.arn_of(self.name)
        members: Members = {"StreamARN": arn}
        found: list[StreamConsumer] = []
        while True:
            page = self._ask("ListStreamConsumers", members, answers.ListStreamConsumersAnswer)
            found.extend(_consumer_of(consumer) for consumer in page.consumers)
            if page.next_token is None:
                return tuple(sorted(found, key=lambda consumer: consumer.name))
            members = {"StreamARN": arn, "NextToken": page.next_token}

    async def deregister(self, consumer_name: str) -> None:
        """See `FanOut.deregister`."""
        named: Members = {"StreamARN": self.model.arn_of(self.name), "ConsumerName": consumer_name}
        self._ask("DeregisterStreamConsumer", named, type(None))

    async def subscribe(self, consumer_arn: str, shard_id: str, position: ReadFrom) -> Subscription:
        """See `FanOut.subscribe`."""
        timestamp = None if position.timestamp_ms is None else position.timestamp_ms / 1_000
        members: Members = {
            "ConsumerARN": consumer_arn,
            "ShardId": shard_id,
            "StartingPosition": {
                "Type": position.kind,
                "SequenceNumber": position.sequence_number,
                "Timestamp": timestamp,
            },
        }
        return LocalSubscription(self._ask("SubscribeToShard", members, SubscriptionModel), self.clock_ms)

    def _ask(self, operation: str, members: Members, kind: type[_A]) -> _A:
        return asked(self.model, operation, members, kind, now_ms=self.clock_ms(), translated=_translated)


class LocalSubscription:
    """The `Subscription` door on a subscription of the model. What nobody reads is not made."""

    def __init__(self, subscription: SubscriptionModel, clock_ms: Callable[[], int]) -> None:
        self._events = PushedEvents(subscription, clock_ms)

    async def read(self) -> Page | None:
        """See `Subscription.read`."""
        try:
            event = await self._events.next()
        except KinesisError as error:
            raise _translated(error) from error
        if event is None:
            return None
        return Page(
            records=records_of(event.records),
            next_iterator=event.continuation_sequence_number,
            child_shards=children_of(event.child_shards),
            millis_behind_latest=event.millis_behind_latest,
            size_bytes=sum(record.size_bytes for record in event.records),
        )

    async def close(self) -> None:
        """See `Subscription.close`."""
        self._events.close()


def _consumer_of(consumer: answers.Consumer) -> StreamConsumer:
    return StreamConsumer(
        name=consumer.consumer_name,
        arn=consumer.consumer_arn,
        status=consumer.consumer_status,
        created_at_seconds=int(consumer.consumer_creation_timestamp),
    )


def _translated(error: KinesisError) -> ServiceError:
    """What the docstrings of the doors promise in place of an answer's error code."""
    match error.code:
        case "ResourceNotFoundException" if error.message.startswith("Consumer"):
            return ConsumerMissing(error.message)
        case "ResourceNotFoundException":
            return StreamNotFound(error.message)
        case "ResourceInUseException":
            return SubscriptionTaken(error.message)
        case "LimitExceededException":
            return Throttled(error.message)
        case "InvalidArgumentException":
            return SequenceRefused(error.message)
        case _:
            return ServiceError(str(error))
