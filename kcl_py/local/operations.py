"""Every operation by name: what it is asked, and what it does to the model."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from kcl_py.local import administration, fan_out, listing, putting, reading, requests
from kcl_py.local.answers import Answer
from kcl_py.local.kinesis_error import KinesisError
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.requests import Request
from kcl_py.local.subscription_model import SubscriptionModel

Handler = Callable[[KinesisModel, Any, int], Answer | SubscriptionModel | None]

_HANDLERS: Mapping[type[Request], Handler] = {
    requests.CreateStream: administration.create_stream,
    requests.DeleteStream: administration.delete_stream,
    requests.DescribeStream: listing.describe_stream,
    requests.DescribeStreamSummary: listing.describe_stream_summary,
    requests.ListStreams: listing.list_streams,
    requests.ListShards: listing.list_shards,
    requests.PutRecord: putting.put_record,
    requests.PutRecords: putting.put_records,
    requests.GetShardIterator: reading.get_shard_iterator,
    requests.GetRecords: reading.get_records,
    requests.SplitShard: administration.split_shard,
    requests.MergeShards: administration.merge_shards,
    requests.UpdateShardCount: administration.update_shard_count,
    requests.IncreaseStreamRetentionPeriod: administration.increase_retention,
    requests.DecreaseStreamRetentionPeriod: administration.decrease_retention,
    requests.UpdateMaxRecordSize: administration.update_max_record_size,
    requests.RegisterStreamConsumer: fan_out.register_stream_consumer,
    requests.DescribeStreamConsumer: fan_out.describe_stream_consumer,
    requests.ListStreamConsumers: fan_out.list_stream_consumers,
    requests.DeregisterStreamConsumer: fan_out.deregister_stream_consumer,
    requests.SubscribeToShard: fan_out.subscribe_to_shard,
}
_KINDS: Mapping[str, type[Request]] = {kind.__name__: kind for kind in _HANDLERS}
_JSON: Mapping[type[Request], msgspec.json.Decoder[Request]] = {kind: msgspec.json.Decoder(kind) for kind in _HANDLERS}
OPERATIONS = tuple(_KINDS)


def perform(model: KinesisModel, request: Request, now_ms: int) -> Answer | SubscriptionModel | None:
    """Do what `request` asks for at the time `now_ms`, milliseconds since the epoch. None where there is no answer.

    SubscribeToShard is answered with the subscription, whose events are still to be taken.

    Raises:
        KinesisError: refused; nothing was changed.
    """
    return _HANDLERS[type(request)](model, request, now_ms)


def request_from_json(operation: str, body: bytes) -> Request:
    """Decode and check the JSON body of a request; blobs are base64.

    Raises:
        KinesisError: UnknownOperationException, SerializationException or ValidationException.
    """
    decoder = _JSON[_kind(operation)]
    return _checked(lambda: decoder.decode(body or b"{}"))


def request_from_members(operation: str, members: Mapping[str, object]) -> Request:
    """Check a request that is given as boto3 takes it, blobs as bytes and timestamps as seconds.

    Raises:
        KinesisError: UnknownOperationException, SerializationException or ValidationException.
    """
    return _checked(lambda: msgspec.convert(members, _kind(operation)))


def _kind(operation: str) -> type[Request]:
    kind = _KINDS.get(operation)
    if kind is None:
        raise KinesisError(
            "UnknownOperationException",
            f"This local Kinesis has no operation {operation!r}. It has: {', '.join(OPERATIONS)}.",
        )
    return kind


_R = TypeVar("_R")


def _checked(decode: Callable[[], _R]) -> _R:
    try:
        return decode()
    except msgspec.ValidationError as problem:
        text = str(problem)
        is_missing = text.startswith("Object missing required field") or "got `null`" in text
        if is_missing or not (", got `" in text or "base64" in text):
            raise KinesisError("ValidationException", f"1 validation error detected: {text}") from None
        raise KinesisError("SerializationException", text) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise KinesisError("SerializationException", str(problem)) from None
