"""Operations that read a shard."""

from kcl_py.local import requests
from kcl_py.local.answers import ChildShard, GetRecordsAnswer, GetShardIteratorAnswer
from kcl_py.local.beginning import Beginning
from kcl_py.local.kinesis_error import KinesisError
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.opaque_token import ShardIterator, opened, sealed
from kcl_py.local.shard_model import ShardModel
from kcl_py.local.stream_model import StreamModel


def get_shard_iterator(model: KinesisModel, request: requests.GetShardIterator, now_ms: int) -> GetShardIteratorAnswer:
    """The iterator is dated: it expires."""
    stream = model.served(request, now_ms)
    shard = stream.shard(request.shard_id, now_ms)
    beginning = Beginning(request.shard_iterator_type, request.starting_sequence_number, request.timestamp)
    place = beginning.place_in(shard, stream, now_ms)
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
