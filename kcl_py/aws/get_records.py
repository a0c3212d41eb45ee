"""Turns the answer of GetRecords into a page."""

from collections.abc import Mapping
from typing import Any

from kcl_py.aws.calls import MalformedAnswer
from kcl_py.core.record import Record
from kcl_py.core.shard import ChildShard, HashRange
from kcl_py.interfaces import Page

_VERSION_SHIFT = 184
_VERSION = 2
_INDEX_SHIFT = 4
_INDEX_MASK = 0xFFFFFFFF


def page(answer: Mapping[str, Any], shard_id: str) -> Page:
    """Read a page; all of it or nothing.

    Args:
        answer: as botocore parsed it.
        shard_id: the shard that was asked for.

    Raises:
        MalformedAnswer: the answer is no page, or holds records of another shard.
        LookupError, TypeError, ValueError, AttributeError: a part of it has the wrong shape.
    """
    if "Records" not in answer:
        raise MalformedAnswer("no Records")
    records = [_record(item) for item in answer["Records"]]
    for record in records[:1] + records[1:][-1:]:
        _check_shard(record.sequence_number, shard_id)
    lag = answer.get("MillisBehindLatest")
    return Page(
        records=records,
        next_iterator=answer.get("NextShardIterator") or None,  # some answers leave the key out at a shard's end
        child_shards=tuple(sorted(map(_child, answer.get("ChildShards") or ()), key=lambda child: child.shard_id)),
        millis_behind_latest=None if lag is None else int(lag),
        size_bytes=sum(len(record.data) + len(record.partition_key.encode()) for record in records),
    )


def hash_range(item: Mapping[str, Any]) -> HashRange:
    """Read a HashKeyRange."""
    return HashRange(int(item["StartingHashKey"]), int(item["EndingHashKey"]))


def _record(item: Mapping[str, Any]) -> Record:
    sequence_number = item.get("SequenceNumber")
    if not (isinstance(sequence_number, str) and sequence_number.isascii() and sequence_number.isdigit()):
        raise MalformedAnswer("a record without a sequence number")
    data, partition_key = item.get("Data"), item.get("PartitionKey")
    if not isinstance(data, bytes) or not isinstance(partition_key, str):
        raise MalformedAnswer("a record without data or partition key")
    arrived_at = item.get("ApproximateArrivalTimestamp")
    return Record(
        data=data,
        partition_key=partition_key,
        sequence_number=sequence_number,
        arrival_timestamp_seconds=0.0 if arrived_at is None else arrived_at.timestamp(),
    )


def _child(item: Mapping[str, Any]) -> ChildShard:
    return ChildShard(
        shard_id=item["ShardId"],
        hash_range=hash_range(item["HashKeyRange"]),
        parent_shard_ids=tuple(item["ParentShards"]),
    )


def _check_shard(sequence_number: str, shard_id: str) -> None:
    """Refuse a record that says itself that it is of another shard: an answer that was meant for somebody else.

    Only version 2 of the number's layout tells the shard (protocol reference, section 1.2). The first and the last
    record of a page are looked at, because a page is mixed up as a whole.
    """
    number = int(sequence_number)
    if number >> _VERSION_SHIFT != _VERSION:
        return
    told = f"shardId-{(number >> _INDEX_SHIFT) & _INDEX_MASK:012d}"
    if told != shard_id:
        raise MalformedAnswer(f"records of {told} instead of {shard_id}")
