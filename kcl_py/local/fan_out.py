"""Operations of enhanced fan-out: consumers, and subscriptions to shards.

Not modelled: the rates of the consumer operations (5 or 20 calls a second), tags, and consumers of other accounts.
"""

from kcl_py.local import answers, requests
from kcl_py.local.beginning import Beginning
from kcl_py.local.consumer_model import ConsumerModel
from kcl_py.local.kinesis_error import KinesisError
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.opaque_token import ConsumersToken, opened, sealed
from kcl_py.local.shard_model import ShardModel
from kcl_py.local.stream_model import StreamModel
from kcl_py.local.subscription_model import SubscriptionModel

_PAGE_DEFAULT = 100


def register_stream_consumer(
    model: KinesisModel, request: requests.RegisterStreamConsumer, now_ms: int
) -> answers.RegisterStreamConsumerAnswer:
    """A consumer that is CREATING first, unless the limits say otherwise."""
    stream = _named(model, request.stream_arn, now_ms)
    _check_served(stream)
    creating = [
        consumer
        for other in model.streams(now_ms)
        for consumer in other.consumers.all(now_ms)
        if consumer.status == "CREATING"
    ]
    if len(creating) >= model.limits.registrations_max:
        raise KinesisError(
            "LimitExceededException",
            f"{len(creating)} consumers of account {model.account_id} are CREATING, which is the limit.",
        )
    consumer = stream.consumers.register(request.consumer_name, now_ms)
    return answers.RegisterStreamConsumerAnswer(consumer=_shown(consumer))


def describe_stream_consumer(
    model: KinesisModel, request: requests.DescribeStreamConsumer, now_ms: int
) -> answers.DescribeStreamConsumerAnswer:
    """One consumer, in whatever state."""
    stream, consumer = _consumer_of(model, request, now_ms)
    shown = _shown(consumer)
    return answers.DescribeStreamConsumerAnswer(
        consumer_description=answers.ConsumerDescription(
            consumer_name=shown.consumer_name,
            consumer_arn=shown.consumer_arn,
            consumer_status=shown.consumer_status,
            consumer_creation_timestamp=shown.consumer_creation_timestamp,
            stream_arn=stream.arn,
        )
    )


def list_stream_consumers(
    model: KinesisModel, request: requests.ListStreamConsumers, now_ms: int
) -> answers.ListStreamConsumersAnswer:
    """Ordered by name, which is assumed. A token goes on with the stream that it began with."""
    stream = _named(model, request.stream_arn, now_ms)
    created_seconds = request.stream_creation_timestamp
    after_name = ""
    if request.next_token is not None:
        if created_seconds is not None:
            raise KinesisError(
                "InvalidArgumentException", "NextToken and StreamCreationTimestamp cannot be provided together."
            )
        after_name = _continued(model, stream, request.next_token, now_ms)
    elif created_seconds is not None and int(created_seconds) != stream.created_ms // 1_000:
        raise KinesisError("ResourceNotFoundException", f"The {stream} was not created at {created_seconds}.")
    consumers = [consumer for consumer in stream.consumers.all(now_ms) if consumer.name > after_name]
    limit = request.max_results or _PAGE_DEFAULT
    page = consumers[:limit]
    next_token = None
    if len(consumers) > limit:
        next_token = sealed(ConsumersToken(stream.name, stream.created_ms, page[-1].name, now_ms))
    return answers.ListStreamConsumersAnswer(consumers=[_shown(consumer) for consumer in page], next_token=next_token)


def deregister_stream_consumer(model: KinesisModel, request: requests.DeregisterStreamConsumer, now_ms: int) -> None:
    """The consumer is DELETING first; its subscriptions end at once."""
    _, consumer = _consumer_of(model, request, now_ms)
    consumer.delete(now_ms)


def subscribe_to_shard(model: KinesisModel, request: requests.SubscribeToShard, now_ms: int) -> SubscriptionModel:
    """The latest subscription of a consumer to a shard takes over from the one before, but not within five seconds."""
    stream, consumer = _consumer_by_arn(model, request.consumer_arn, now_ms)

    def find(at_ms: int) -> ShardModel:
        """The shard, while it is there and the consumer may read it."""
        stream.settle(at_ms)
        if not stream.is_served:
            raise KinesisError("ResourceNotFoundException", f"Stream {stream.arn} not found.")
        consumer.settle(at_ms)
        if consumer.status != "ACTIVE":
            raise KinesisError("ResourceNotFoundException", f"Consumer {consumer.arn} not found.")
        return stream.shard(request.shard_id, at_ms)

    if stream.is_served and consumer.status != "ACTIVE":
        raise KinesisError(
            "ResourceInUseException", f"Consumer {consumer.arn} is not ACTIVE, instead in state {consumer.status}."
        )
    shard = find(now_ms)
    position = request.starting_position
    beginning = Beginning(position.type, position.sequence_number, position.timestamp)
    place = beginning.place_in(shard, stream, now_ms)
    consumer.check_vacant(shard.shard_id, now_ms)
    subscription = SubscriptionModel(
        find=find,
        place=place,
        began_ms=now_ms,
        limits=model.limits,
        allowance=consumer.allowance(shard.shard_id),
    )
    consumer.hand_to(subscription, shard.shard_id)
    return subscription


def _named(model: KinesisModel, stream_arn: str, now_ms: int) -> StreamModel:
    return model.stream(None, stream_arn, now_ms)


def _check_served(stream: StreamModel) -> None:
    if not stream.is_served:
        raise KinesisError("ResourceInUseException", f"The {stream} is not ACTIVE, instead in state {stream.status}.")


def _shown(consumer: ConsumerModel) -> answers.Consumer:
    return answers.Consumer(
        consumer_name=consumer.name,
        consumer_arn=consumer.arn,
        consumer_status=consumer.status,
        consumer_creation_timestamp=consumer.created_ms / 1_000,
    )


def _consumer_of(
    model: KinesisModel, request: requests.ConsumerRequest, now_ms: int
) -> tuple[StreamModel, ConsumerModel]:
    """The consumer that a request names, in whatever state."""
    if request.consumer_arn is not None:
        stream, consumer = _consumer_by_arn(model, request.consumer_arn, now_ms)
        if request.stream_arn not in (None, stream.arn) or request.consumer_name not in (None, consumer.name):
            raise KinesisError(
                "InvalidArgumentException", "ConsumerARN is of another consumer than StreamARN and ConsumerName."
            )
        return stream, consumer
    if request.stream_arn is None or request.consumer_name is None:
        raise KinesisError("InvalidArgumentException", "Either ConsumerARN or StreamARN and ConsumerName are needed.")
    stream = _named(model, request.stream_arn, now_ms)
    found = stream.consumers.get(request.consumer_name, now_ms)
    if found is None:
        raise KinesisError(
            "ResourceNotFoundException", f"Consumer {request.consumer_name} of stream {stream.arn} not found."
        )
    return stream, found


def _consumer_by_arn(model: KinesisModel, arn: str, now_ms: int) -> tuple[StreamModel, ConsumerModel]:
    stream_arn, _, tail = arn.partition("/consumer/")
    stream = _named(model, stream_arn, now_ms)
    consumer = stream.consumers.get(tail.rpartition(":")[0], now_ms)
    if consumer is None or consumer.arn != arn:
        raise KinesisError("ResourceNotFoundException", f"Consumer {arn} not found.")
    return stream, consumer


def _continued(model: KinesisModel, stream: StreamModel, text: str, now_ms: int) -> str:
    """After which name a later page begins."""
    try:
        token = opened(text, ConsumersToken)
    except ValueError:
        raise KinesisError("InvalidArgumentException", "Invalid NextToken.") from None
    if (token.stream, token.created_ms) != (stream.name, stream.created_ms):
        raise KinesisError("InvalidArgumentException", "NextToken is of another stream than StreamARN.")
    if now_ms - token.issued_ms > model.limits.listing_token_lifetime_ms:
        raise KinesisError(
            "ExpiredNextTokenException",
            f"NextToken is {(now_ms - token.issued_ms) / 1_000:.0f} s old; list again from the first page.",
        )
    return token.after_name
