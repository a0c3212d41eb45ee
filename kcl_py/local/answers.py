"""The answers of the model, with the names that they have on the wire. Timestamps are seconds since the epoch."""

import msgspec

from kcl_py.core.shard import HashRange
from kcl_py.local.record_log import StoredRecord
from kcl_py.local.requests import StreamModeDetails
from kcl_py.local.shard_model import ShardModel


class Answer(msgspec.Struct, frozen=True, kw_only=True, rename="pascal", omit_defaults=True):
    """Any answer; a member that has no value is left out."""


class HashKeyRange(Answer, frozen=True, kw_only=True):
    starting_hash_key: str
    ending_hash_key: str

    @classmethod
    def of(cls, hash_range: HashRange) -> "HashKeyRange":
        return cls(starting_hash_key=str(hash_range.start), ending_hash_key=str(hash_range.end))


class SequenceNumberRange(Answer, frozen=True, kw_only=True):
    starting_sequence_number: str
    ending_sequence_number: str | None = None


class Shard(Answer, frozen=True, kw_only=True):
    shard_id: str
    parent_shard_id: str | None = None
    adjacent_parent_shard_id: str | None = None
    hash_key_range: HashKeyRange
    sequence_number_range: SequenceNumberRange

    @classmethod
    def of(cls, shard: ShardModel) -> "Shard":
        parents = (*shard.parent_ids, None, None)
        return cls(
            shard_id=shard.shard_id,
            parent_shard_id=parents[0],
            adjacent_parent_shard_id=parents[1],
            hash_key_range=HashKeyRange.of(shard.hash_range),
            sequence_number_range=SequenceNumberRange(
                starting_sequence_number=shard.starting_sequence_number,
                ending_sequence_number=shard.ending_sequence_number,
            ),
        )


class ChildShard(Answer, frozen=True, kw_only=True):
    shard_id: str
    parent_shards: tuple[str, ...]
    hash_key_range: HashKeyRange

    @classmethod
    def of(cls, shard: ShardModel) -> "ChildShard":
        return cls(
            shard_id=shard.shard_id,
            parent_shards=shard.parent_ids,
            hash_key_range=HashKeyRange.of(shard.hash_range),
        )


class EnhancedMetrics(Answer, frozen=True, kw_only=True):
    shard_level_metrics: tuple[str, ...]


NO_METRICS = (EnhancedMetrics(shard_level_metrics=()),)


class StreamDescription(Answer, frozen=True, kw_only=True):
    stream_name: str
    stream_arn: str = msgspec.field(name="StreamARN")
    stream_status: str
    stream_mode_details: StreamModeDetails
    shards: list[Shard]
    has_more_shards: bool
    retention_period_hours: int
    stream_creation_timestamp: float
    enhanced_monitoring: tuple[EnhancedMetrics, ...]
    encryption_type: str


class DescribeStreamAnswer(Answer, frozen=True, kw_only=True):
    stream_description: StreamDescription


class StreamDescriptionSummary(Answer, frozen=True, kw_only=True):
    stream_name: str
    stream_arn: str = msgspec.field(name="StreamARN")
    stream_status: str
    stream_mode_details: StreamModeDetails
    retention_period_hours: int
    stream_creation_timestamp: float
    enhanced_monitoring: tuple[EnhancedMetrics, ...]
    encryption_type: str
    open_shard_count: int
    consumer_count: int
    max_record_size_in_kib: int = msgspec.field(name="MaxRecordSizeInKiB")


class DescribeStreamSummaryAnswer(Answer, frozen=True, kw_only=True):
    stream_description_summary: StreamDescriptionSummary


class StreamSummary(Answer, frozen=True, kw_only=True):
    stream_name: str
    stream_arn: str = msgspec.field(name="StreamARN")
    stream_status: str
    stream_mode_details: StreamModeDetails
    stream_creation_timestamp: float


class ListStreamsAnswer(Answer, frozen=True, kw_only=True):
    stream_names: list[str]
    has_more_streams: bool
    next_token: str | None = None
    stream_summaries: list[StreamSummary]


class ListShardsAnswer(Answer, frozen=True, kw_only=True):
    shards: list[Shard]
    next_token: str | None = None


class PutRecordAnswer(Answer, frozen=True, kw_only=True):
    shard_id: str
    sequence_number: str
    encryption_type: str


class PutRecordsEntryAnswer(Answer, frozen=True, kw_only=True, gc=False):
    sequence_number: str | None = None
    shard_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None


class PutRecordsAnswer(Answer, frozen=True, kw_only=True):
    failed_record_count: int
    records: list[PutRecordsEntryAnswer]
    encryption_type: str


class GetShardIteratorAnswer(Answer, frozen=True, kw_only=True):
    shard_iterator: str


class GetRecordsAnswer(Answer, frozen=True, kw_only=True):
    """`next_shard_iterator` is null on the wire, not absent, at the end of a closed shard."""

    records: list[StoredRecord]
    next_shard_iterator: str | None
    millis_behind_latest: int
    child_shards: tuple[ChildShard, ...] = ()


class Consumer(Answer, frozen=True, kw_only=True):
    consumer_name: str
    consumer_arn: str = msgspec.field(name="ConsumerARN")
    consumer_status: str
    consumer_creation_timestamp: float


class RegisterStreamConsumerAnswer(Answer, frozen=True, kw_only=True):
    consumer: Consumer


class ConsumerDescription(Consumer, frozen=True, kw_only=True):
    stream_arn: str = msgspec.field(name="StreamARN")


class DescribeStreamConsumerAnswer(Answer, frozen=True, kw_only=True):
    consumer_description: ConsumerDescription


class ListStreamConsumersAnswer(Answer, frozen=True, kw_only=True):
    consumers: list[Consumer]
    next_token: str | None = None


class SubscribeToShardEvent(Answer, frozen=True, kw_only=True):
    """`continuation_sequence_number` is null at the end of a closed shard: on the wire, too, which is assumed."""

    records: list[StoredRecord]
    continuation_sequence_number: str | None
    millis_behind_latest: int
    child_shards: tuple[ChildShard, ...] = ()


class UpdateShardCountAnswer(Answer, frozen=True, kw_only=True):
    stream_name: str
    stream_arn: str = msgspec.field(name="StreamARN")
    current_shard_count: int
    target_shard_count: int
