"""The FanOut door on Kinesis: consumers, and subscriptions of shards."""

import asyncio
import random
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any

from kcl_py.aws import list_shards
from kcl_py.aws.connection import Connection
from kcl_py.aws.event_stream import Frames
from kcl_py.aws.kinesis import KinesisStream
from kcl_py.aws.members import name_in, token_in
from kcl_py.aws.subscription import KinesisSubscription
from kcl_py.aws.turnstile import Turnstile
from kcl_py.core.position import ReadFrom
from kcl_py.errors import ConsumerMissing, KclError, ServiceUnavailable, StreamNotFound, Throttled
from kcl_py.interfaces import StreamConsumer

SUBSCRIPTIONS_MAX = 4_096
READ_TIMEOUT_SECONDS = 60.0
"""Beyond what a subscription waits for a page, which has the say."""
_REGISTRATION_WAIT_SECONDS = 120.0
_REGISTRATION_POLL_SECONDS = 2.0
_CONSUMERS_PER_PAGE = 100
_PAGES_MAX = 1_000


def connection_for_pages(stream: str, **options: Any) -> Connection:
    """A connection for a `KinesisFanOut` that subscribes.

    A subscription holds a connection for as long as it lives, and may be silent for longer than an answer. So it is one
    of its own, beside that of polling: hundreds of subscriptions leave no call without a free connection.

    Args:
        stream: see `Connection`.
        options: see `Connection`.
    """
    limits = {"connections_max": SUBSCRIPTIONS_MAX, "read_timeout_seconds": READ_TIMEOUT_SECONDS}
    return Connection(stream, **(limits | options))


class KinesisFanOut:
    """Enhanced fan-out of one stream, as `interfaces.FanOut` describes it."""

    def __init__(self, connection: Connection) -> None:
        """Talk through `connection`, which is closed with this door; see `connection_for_pages`."""
        self._connection = connection
        self._stream = KinesisStream(connection)
        self._resource = f"stream {connection.stream_name}"
        self._arn: str | None = connection.address.get("StreamARN")
        self._open: set[KinesisSubscription] = set()
        self._turnstile = Turnstile()

    async def register(self, consumer_name: str) -> StreamConsumer:
        """Register the consumer unless it is there already; wait up to two minutes until it is ACTIVE.

        One that is being deregistered is waited for, and registered anew.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + _REGISTRATION_WAIT_SECONDS
        while True:
            trouble: KclError | None = None
            consumer = await self._found(consumer_name)
            if consumer is None:
                try:
                    consumer = await self._registered(consumer_name)
                except (ServiceUnavailable, Throttled) as error:  # another worker may just have done it
                    trouble = error
            if consumer is not None and consumer.status == "ACTIVE":
                return consumer
            if loop.time() >= give_up_at:
                status = "not there" if consumer is None else consumer.status
                raise trouble or ServiceUnavailable(
                    f"consumer {consumer_name} of {self._resource} is still {status} after "
                    f"{_REGISTRATION_WAIT_SECONDS:g} s; try again"
                )
            await asyncio.sleep(_REGISTRATION_POLL_SECONDS * random.uniform(0.5, 1.0))  # a fleet starts together

    async def consumers(self) -> tuple[StreamConsumer, ...]:
        """List the stream's consumers: all pages, or an error; sorted by name."""
        parameters: dict[str, Any] = {"StreamARN": await self._stream_arn(), "MaxResults": _CONSUMERS_PER_PAGE}
        found: list[StreamConsumer] = []
        for _ in range(_PAGES_MAX):
            consumers, next_token = await self._connection.patiently("ListStreamConsumers", parameters, _consumers)
            found += consumers
            if next_token is None:
                return tuple(sorted(found, key=lambda consumer: consumer.name))
            parameters["NextToken"] = next_token
        raise ServiceUnavailable(f"the consumers of {self._resource} do not end; try again")

    async def deregister(self, consumer_name: str) -> None:
        """Deregister the consumer, without waiting until it is gone; one that is on its way is left to it."""
        consumer = await self._found(consumer_name)
        if consumer is None:
            raise await self._told_apart(consumer_name)
        if consumer.status == "DELETING":
            return
        parameters = {"StreamARN": await self._stream_arn(), "ConsumerName": consumer_name}
        # it was there: an attempt whose answer was lost has done it, or somebody else has
        with suppress(StreamNotFound):
            await self._connection.patiently("DeregisterStreamConsumer", parameters, lambda _: None)

    async def subscribe(self, consumer_arn: str, shard_id: str, position: ReadFrom) -> KinesisSubscription:
        """Subscribe to a shard. One attempt."""
        starting: dict[str, Any] = {"Type": position.kind}
        if position.sequence_number is not None:
            starting["SequenceNumber"] = position.sequence_number
        if position.timestamp_ms is not None:
            starting["Timestamp"] = list_shards.moment(position.timestamp_ms)
        parameters = {"ConsumerARN": consumer_arn, "ShardId": shard_id, "StartingPosition": starting}

        async def told_apart(_: StreamNotFound) -> KclError:
            return await self._told_apart(consumer_arn, shard_id)

        async def begin(answer: Mapping[str, Any]) -> KinesisSubscription:
            subscription = KinesisSubscription(
                await Frames.of(answer),
                shard_id,
                resource=f"{shard_id} of {self._resource}",
                told_apart=told_apart,
                turnstile=self._turnstile,
                on_close=self._open.discard,
            )
            self._open.add(subscription)
            async with AsyncExitStack() as unless_begun:
                unless_begun.push_async_callback(subscription.close)
                await subscription.begin()
                unless_begun.pop_all()
            return subscription

        try:
            return await self._connection.opening("SubscribeToShard", parameters, begin)
        except StreamNotFound as error:
            raise await told_apart(error) from None

    async def close(self) -> None:
        """End the subscriptions, and let go of the connections. May be called again."""
        for subscription in tuple(self._open):
            await subscription.close()
        await self._connection.close()

    async def _found(self, consumer_name: str) -> StreamConsumer | None:
        """The consumer; None if it, or the stream, is missing."""
        parameters = {"StreamARN": await self._stream_arn(), "ConsumerName": consumer_name}
        return await self._described(parameters)

    async def _described(self, parameters: dict[str, Any]) -> StreamConsumer | None:
        try:
            return await self._connection.patiently("DescribeStreamConsumer", parameters, _description)
        except StreamNotFound:
            return None

    async def _registered(self, consumer_name: str) -> StreamConsumer:
        parameters = {"StreamARN": await self._stream_arn(), "ConsumerName": consumer_name}
        try:
            return await self._connection.once("RegisterStreamConsumer", parameters, _registration)
        except Throttled as error:  # the service has the same code for a quota
            raise Throttled(f"{error}, or {self._resource} has as many consumers as it may") from None

    async def _stream_arn(self) -> str:
        if self._arn is None:
            self._arn = (await self._stream.describe()).arn
        return self._arn

    async def _told_apart(self, consumer: str, shard_id: str | None = None) -> KclError:
        """What it is that does not exist. The service has one code for all, and its words are not to be relied on.

        Args:
            consumer: its name, or its ARN where a shard was asked for.
            shard_id: what was subscribed to; None if it was about the consumer alone.
        """
        try:
            await self._stream.describe()
        except StreamNotFound as error:
            return error
        if shard_id is not None:
            found = await self._described({"ConsumerARN": consumer})
            if found is not None and found.status != "DELETING":
                return StreamNotFound(f"{self._resource} has no shard {shard_id}, or not any more")
        return ConsumerMissing(f"{self._resource} has no consumer {consumer}, or not any more; register it again")


def _description(answer: Mapping[str, Any]) -> StreamConsumer:
    return _consumer(answer["ConsumerDescription"])


def _registration(answer: Mapping[str, Any]) -> StreamConsumer:
    return _consumer(answer["Consumer"])


def _consumers(answer: Mapping[str, Any]) -> tuple[list[StreamConsumer], str | None]:
    return [_consumer(item) for item in answer["Consumers"]], token_in(answer, "NextToken")


def _consumer(item: Mapping[str, Any]) -> StreamConsumer:
    return StreamConsumer(
        name=name_in(item, "ConsumerName"),
        arn=name_in(item, "ConsumerARN"),
        status=name_in(item, "ConsumerStatus"),
        created_at_seconds=int(item["ConsumerCreationTimestamp"].timestamp()),
    )
