"""Operations that change streams."""

from kcl_py.local import requests
from kcl_py.local.answers import UpdateShardCountAnswer
from kcl_py.local.kinesis_error import KinesisError
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.stream_model import check_hash_key


def create_stream(model: KinesisModel, request: requests.CreateStream, now_ms: int) -> None:
    """A stream that is CREATING first, unless the limits say otherwise."""
    model.create(request, now_ms)


def delete_stream(model: KinesisModel, request: requests.DeleteStream, now_ms: int) -> None:
    """Only an ACTIVE stream is deleted; it is DELETING first. One with consumers has to be told that they go, too."""
    stream = model.stream_of(request, now_ms)
    stream.check_active()
    if not request.enforce_consumer_deletion and stream.consumers.all(now_ms):
        raise KinesisError(
            "ResourceInUseException",
            f"The {stream} has registered consumers; deregister them, or delete it with EnforceConsumerDeletion.",
        )
    stream.delete(now_ms)


def split_shard(model: KinesisModel, request: requests.SplitShard, now_ms: int) -> None:
    """The new starting hash key is the first one of the second child."""
    stream = model.stream_of(request, now_ms)
    model.check_room(1, now_ms)
    stream.split(request.shard_to_split, check_hash_key(request.new_starting_hash_key), now_ms)


def merge_shards(model: KinesisModel, request: requests.MergeShards, now_ms: int) -> None:
    """Two open shards whose hash ranges touch become one."""
    stream = model.stream_of(request, now_ms)
    stream.merge(request.shard_to_merge, request.adjacent_shard_to_merge, now_ms)


def update_shard_count(model: KinesisModel, request: requests.UpdateShardCount, now_ms: int) -> UpdateShardCountAnswer:
    """Splits and merges until the open shards are as many as asked for, in equal parts."""
    stream = model.stream_of(request, now_ms)
    current = len(stream.shards.open_shards)
    model.check_room(request.target_shard_count - current, now_ms)
    stream.scale(request.target_shard_count, now_ms)
    return UpdateShardCountAnswer(
        stream_name=stream.name,
        stream_arn=stream.arn,
        current_shard_count=current,
        target_shard_count=request.target_shard_count,
    )


def increase_retention(model: KinesisModel, request: requests.IncreaseStreamRetentionPeriod, now_ms: int) -> None:
    """What is shorter than now is refused."""
    _change_retention(model, request, request.retention_period_hours, is_increase=True, now_ms=now_ms)


def decrease_retention(model: KinesisModel, request: requests.DecreaseStreamRetentionPeriod, now_ms: int) -> None:
    """What is longer than now is refused; older records are gone at once."""
    _change_retention(model, request, request.retention_period_hours, is_increase=False, now_ms=now_ms)


def _change_retention(
    model: KinesisModel, request: requests.StreamRequest, hours: int, *, is_increase: bool, now_ms: int
) -> None:
    stream = model.stream_of(request, now_ms)
    least, most = model.limits.retention_hours_default, model.limits.retention_hours_max
    if not least <= hours <= most:
        raise KinesisError(
            "InvalidArgumentException", f"Retention period of {hours} hours is not from {least} to {most} hours."
        )
    if (hours < stream.retention_hours) if is_increase else (hours > stream.retention_hours):
        direction = "increased" if is_increase else "decreased"
        raise KinesisError(
            "InvalidArgumentException",
            f"The retention period of {stream} is {stream.retention_hours} hours and cannot be {direction} to {hours}.",
        )
    stream.check_active()
    stream.retain(hours, now_ms)


def update_max_record_size(model: KinesisModel, request: requests.UpdateMaxRecordSize, now_ms: int) -> None:
    """Counts for records put from now on."""
    stream = model.stream(None, request.stream_arn, now_ms)
    stream.check_active()
    stream.record_kib_max = request.max_record_size_in_kib
