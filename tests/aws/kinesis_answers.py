"""Answers of Kinesis as the wire has them."""

ARN = "arn:aws:kinesis:eu-west-1:000000000000:stream/orders"
SHARD = "shardId-000000000000"
ITERATOR = f"{SHARD} AAAA"
FULL = {"StartingHashKey": "0", "EndingHashKey": str(2**128 - 1)}


def number_of(shard_index: int, place: int) -> str:
    return str((2 << 184) + (place << 80) + (shard_index << 4) + 2)


def record(sequence_number: str = "21", **changes: object) -> dict[str, object]:
    plain: dict[str, object] = {
        "Data": "aGVsbG8=",
        "PartitionKey": "ä",
        "SequenceNumber": sequence_number,
        "ApproximateArrivalTimestamp": 1772355600.25,
    }
    return {key: value for key, value in (plain | changes).items() if value is not None}


def page(*records: object, **more: object) -> dict[str, object]:
    return {"Records": list(records), "NextShardIterator": "BBBB", "MillisBehindLatest": 0} | more


def shard(index: int, **changes: object) -> dict[str, object]:
    return {
        "ShardId": f"shardId-{index:012d}",
        "HashKeyRange": FULL,
        "SequenceNumberRange": {"StartingSequenceNumber": str(100 + index)},
    } | changes


def summary(status: str = "ACTIVE", **changes: object) -> dict[str, object]:
    plain = {
        "StreamName": "orders",
        "StreamARN": ARN,
        "StreamStatus": status,
        "RetentionPeriodHours": 24,
        "StreamCreationTimestamp": 1772355600.9,
        "EnhancedMonitoring": [],
        "OpenShardCount": 1,
    }
    return {"StreamDescriptionSummary": plain | changes}
