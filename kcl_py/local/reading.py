"""Operations that read a shard."""

from kcl_py.local import requests
from kcl_py.local.answers import ChildShard, GetRecordsAnswer, GetShardIteratorAnswer
from kcl_py.local.kinesis_error import KinesisError
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.opaque_token import ShardIterator, opened, sealed
from kcl_py.local.sequence_number import SequenceNumber
from kcl_py.local.shard_model import ShardModel, shard_id_of
from kcl_py.local.stream_model import StreamModel


def get_shard_iterator(model: KinesisModel, request: requests.GetShardIterator, now_ms: int) -> GetShardIteratorAnswer:
    """The iterator is dated: it expires."""
    stream = model.served(request, now_ms)
    shard = stream.shard(request.shard_id, now_ms)
    place = _place_of(stream, shard, request, now_ms)
    if not shard.iterator_calls.admits(now_ms):
        raise _too_fast(stream, shard)
    return GetShardIteratorAnswer(
        shard_iterator=sealed(ShardIterator(stream.name, stream.created_ms, shard.shard_id, place, now_ms))
    )


def get_records(model: KinesisModel, request: requests.GetRecords, now_ms: int) -> GetRecordsAnswer:
    """The end of a closed shard names the children and gives no next iterator."""
    iterator = _iterator_of(model, request, now_ms)
    stream = model.incarnation(iterator.stream, iterator.created_ms, now_ms)
    shard = stream.shard(iterator.shard_id, now_ms)
    if not shard.read_calls.admits(now_ms) or shard.read_bytes.is_shut(now_ms):
        raise _too_fast(stream, shard)
    limits = model.limits
    records_max = min(request.limit or limits.page_records_max, limits.page_records_max)
    page = shard.read(iterator.place, records_max, limits.page_bytes_max, now_ms)
    shard.read_bytes.draw(page.size_bytes)
    following = ShardIterator(stream.name, stream.created_ms, shard.shard_id, page.next_place, now_ms)
    return GetRecordsAnswer(
        records=page.records,
        next_shard_iterator=None if page.is_shard_end else sealed(following),
        millis_behind_latest=page.millis_behind_latest,
        child_shards=tuple(ChildShard.of(child) for child in shard.children) if page.is_shard_end else (),
    )


def _iterator_of(model: KinesisModel, request: requests.GetRecords, now_ms: int) -> ShardIterator:
    try:
        iterator = opened(request.shard_iterator, ShardIterator)
    except ValueError:
        raise KinesisError("InvalidArgumentException", "Invalid ShardIterator.") from None
    if request.stream_arn not in (None, model.arn_of(iterator.stream)):
        raise KinesisError("InvalidArgumentException", "ShardIterator is of another stream than StreamARN.")
    age_ms = now_ms - iterator.issued_ms
    if age_ms > model.limits.iterator_lifetime_ms:
        raise KinesisError(
            "ExpiredIteratorException",
            f"Iterator expired. The iterator was created {age_ms} milliseconds ago, which is more than the tolerated "
            f"delay of {model.limits.iterator_lifetime_ms} milliseconds.",
        )
    return iterator


def _too_fast(stream: StreamModel, shard: ShardModel) -> KinesisError:
    return KinesisError(
        "ProvisionedThroughputExceededException", f"Rate exceeded for shard {shard.shard_id} in {stream}."
    )


def _place_of(stream: StreamModel, shard: ShardModel, request: requests.GetShardIterator, now_ms: int) -> int:
    kind = request.shard_iterator_type
    for is_given, is_needed, member in (
        (request.starting_sequence_number is not None, kind.endswith("_SEQUENCE_NUMBER"), "StartingSequenceNumber"),
        (request.timestamp is not None, kind == "AT_TIMESTAMP", "Timestamp"),
    ):
        if is_given != is_needed:
            raise KinesisError(
                "InvalidArgumentException",
                "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) "
                "AT_TIMESTAMP and Timestamp or (3) TRIM_HORIZON or LATEST and neither. Request specified "
                f"{kind} and {'no' if is_needed else 'also a'} {member}.",
            )
    if request.starting_sequence_number is not None:
        number = _number_of(stream, shard, request.starting_sequence_number)
        return shard.log.place_of_number(number if kind == "AT_SEQUENCE_NUMBER" else number + 1)
    if request.timestamp is not None:
        timestamp_ms = round(request.timestamp * 1_000)
        if timestamp_ms > now_ms:
            raise KinesisError(
                "InvalidArgumentException",
                "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. "
                f"timestampInMillis: {timestamp_ms}, currentTimestampInMillis: {now_ms}",
            )
        return shard.log.place_of_time(timestamp_ms)
    return shard.log.end if kind == "LATEST" else shard.log.first


def _number_of(stream: StreamModel, shard: ShardModel, text: str) -> int:
    """Check that a sequence number came from this shard of this incarnation of the stream."""
    where = f"StartingSequenceNumber {text} used in GetShardIterator on shard {shard.shard_id} in {stream}"
    try:
        number = SequenceNumber.parse(text)
    except ValueError:
        raise KinesisError("InvalidArgumentException", f"{where} is invalid.") from None
    if number.shard_index != shard.index:
        raise KinesisError(
            "InvalidArgumentException",
            f"Invalid StartingSequenceNumber. It encodes {shard_id_of(number.shard_index)}, while it was used in a "
            f"call to a shard with {shard.shard_id}",
        )
    if number.shard_created_seconds != shard.created_seconds:
        raise KinesisError("InvalidArgumentException", f"{where} is invalid because it did not come from this stream.")
    return int(text)
