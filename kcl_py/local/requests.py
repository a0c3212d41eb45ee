"""The requests that the model understands, with the constraints of the service's own model (botocore 2013-12-02).

A field without a default is required. Decoding checks everything that one member can be wrong about; what depends on
the stream is checked by the operation.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

StreamName = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[a-zA-Z0-9_.-]+\Z")]
StreamArn = Annotated[str, Meta(min_length=1, max_length=2048, pattern=r"^arn:aws.*:kinesis:.*:\d{12}:stream/\S+\Z")]
ConsumerArn = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=2048,
        pattern=r"^arn:aws.*:kinesis:.*:\d{12}:.*stream/[a-zA-Z0-9_.-]+/consumer/[a-zA-Z0-9_.-]+:\d+\Z",
    ),
]
ShardId = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[a-zA-Z0-9_.-]+\Z")]
HashKey = Annotated[str, Meta(pattern=r"^(0|[1-9]\d{0,38})\Z")]
SequenceText = Annotated[str, Meta(pattern=r"^(0|[1-9]\d{0,128})\Z")]
PartitionKey = Annotated[str, Meta(min_length=1, max_length=256)]
Token = Annotated[str, Meta(min_length=1, max_length=1_048_576)]
Count = Annotated[int, Meta(ge=1)]
PageLimit = Annotated[int, Meta(ge=1, le=10_000)]
RecordKib = Annotated[int, Meta(ge=1_024, le=10_240)]
IteratorType = Literal["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", "TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"]
FilterType = Literal[
    "AFTER_SHARD_ID", "AT_TRIM_HORIZON", "FROM_TRIM_HORIZON", "AT_LATEST", "AT_TIMESTAMP", "FROM_TIMESTAMP"
]
StreamMode = Literal["PROVISIONED", "ON_DEMAND"]
# Ten digits of seconds are enough for every date that the service can mean.
Timestamp = Annotated[float, Meta(ge=0, le=99_999_999_999)]


class StreamModeDetails(msgspec.Struct, frozen=True, rename="pascal"):
    stream_mode: StreamMode


class Request(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """Any request."""


class StreamRequest(Request, frozen=True, kw_only=True):
    """A request about one stream, which is named by its name, its ARN or both."""

    stream_name: StreamName | None = None
    stream_arn: StreamArn | None = field(name="StreamARN", default=None)


class CreateStream(Request, frozen=True, kw_only=True):
    stream_name: StreamName
    shard_count: Count | None = None
    stream_mode_details: StreamModeDetails | None = None
    max_record_size_in_kib: RecordKib | None = field(name="MaxRecordSizeInKiB", default=None)


class DeleteStream(StreamRequest, frozen=True, kw_only=True):
    enforce_consumer_deletion: bool | None = None


class DescribeStream(StreamRequest, frozen=True, kw_only=True):
    limit: PageLimit | None = None
    exclusive_start_shard_id: ShardId | None = None


class DescribeStreamSummary(StreamRequest, frozen=True, kw_only=True):
    pass


class ListStreams(Request, frozen=True, kw_only=True):
    limit: PageLimit | None = None
    exclusive_start_stream_name: StreamName | None = None
    next_token: Token | None = None


class ShardFilter(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    type: FilterType
    shard_id: ShardId | None = None
    timestamp: Timestamp | None = None


class ListShards(StreamRequest, frozen=True, kw_only=True):
    next_token: Token | None = None
    exclusive_start_shard_id: ShardId | None = None
    max_results: PageLimit | None = None
    stream_creation_timestamp: Timestamp | None = None
    shard_filter: ShardFilter | None = None


class PutRecord(StreamRequest, frozen=True, kw_only=True):
    data: bytes
    partition_key: PartitionKey
    explicit_hash_key: HashKey | None = None
    sequence_number_for_ordering: SequenceText | None = None


class PutRecordsEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="pascal"):
    data: bytes
    partition_key: PartitionKey
    explicit_hash_key: HashKey | None = None


class PutRecords(StreamRequest, frozen=True, kw_only=True):
    records: Annotated[list[PutRecordsEntry], Meta(min_length=1)]


class GetShardIterator(StreamRequest, frozen=True, kw_only=True):
    shard_id: ShardId
    shard_iterator_type: IteratorType
    starting_sequence_number: SequenceText | None = None
    timestamp: Timestamp | None = None


class GetRecords(Request, frozen=True, kw_only=True):
    shard_iterator: Annotated[str, Meta(min_length=1, max_length=512)]
    limit: PageLimit | None = None
    stream_arn: StreamArn | None = field(name="StreamARN", default=None)


class RegisterStreamConsumer(Request, frozen=True, kw_only=True):
    stream_arn: StreamArn = field(name="StreamARN")
    consumer_name: StreamName


class ConsumerRequest(Request, frozen=True, kw_only=True):
    """A request about one consumer, which is named by its ARN, by its stream's ARN and its name, or by all three."""

    stream_arn: StreamArn | None = field(name="StreamARN", default=None)
    consumer_name: StreamName | None = None
    consumer_arn: ConsumerArn | None = field(name="ConsumerARN", default=None)


class DescribeStreamConsumer(ConsumerRequest, frozen=True, kw_only=True):
    pass


class DeregisterStreamConsumer(ConsumerRequest, frozen=True, kw_only=True):
    pass


class ListStreamConsumers(Request, frozen=True, kw_only=True):
    stream_arn: StreamArn = field(name="StreamARN")
    next_token: Token | None = None
    max_results: PageLimit | None = None
    stream_creation_timestamp: Timestamp | None = None


class StartingPosition(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    type: IteratorType
    sequence_number: SequenceText | None = None
    timestamp: Timestamp | None = None


class SubscribeToShard(Request, frozen=True, kw_only=True):
    consumer_arn: ConsumerArn = field(name="ConsumerARN")
    shard_id: ShardId
    starting_position: StartingPosition


class SplitShard(StreamRequest, frozen=True, kw_only=True):
    shard_to_split: ShardId
    new_starting_hash_key: HashKey


class MergeShards(StreamRequest, frozen=True, kw_only=True):
    shard_to_merge: ShardId
    adjacent_shard_to_merge: ShardId


class UpdateShardCount(StreamRequest, frozen=True, kw_only=True):
    target_shard_count: Count
    scaling_type: Literal["UNIFORM_SCALING"]


class IncreaseStreamRetentionPeriod(StreamRequest, frozen=True, kw_only=True):
    retention_period_hours: int


class DecreaseStreamRetentionPeriod(StreamRequest, frozen=True, kw_only=True):
    retention_period_hours: int


class UpdateMaxRecordSize(Request, frozen=True, kw_only=True):
    max_record_size_in_kib: RecordKib = field(name="MaxRecordSizeInKiB")
    stream_arn: StreamArn | None = field(name="StreamARN", default=None)
