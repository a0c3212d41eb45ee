"""Turns the answer of GetRecords into a page."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from kcl_py.aws.calls import MalformedAnswer
from kcl_py.core.record import Record
from kcl_py.core.shard import HASH_KEY_MAX, ChildShard, HashRange
from kcl_py.interfaces import Page

_SEQUENCE_NUMBER = re.compile(r"0|[1-9][0-9]{0,128}")  # the API reference's patterns
_HASH_KEY = re.compile(r"[0-9]{1,39}")
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
    _check_order(records)
    for record in records[:1] + records[1:][-1:]:
        _check_shard(record.sequence_number, shard_id)
    lag = answer.get("MillisBehindLatest")
    return Page(
        records=records,
        next_iterator=token_in(answer, "NextShardIterator"),  # some answers leave the key out at a shard's end
        child_shards=tuple(sorted(map(_child, answer.get("ChildShards") or ()), key=lambda child: child.shard_id)),
        millis_behind_latest=None if lag is None else int(lag),
        size_bytes=sum(len(record.data) + len(record.partition_key.encode()) for record in records),
    )


def hash_range(item: Mapping[str, Any]) -> HashRange:
    """Read a HashKeyRange; what a row could not hold is refused here.

    Raises:
        MalformedAnswer: it is none, or inverted.
        LookupError, TypeError: it has the wrong shape.
    """
    start, end = item["StartingHashKey"], item["EndingHashKey"]
    if not (_HASH_KEY.fullmatch(start) and _HASH_KEY.fullmatch(end) and int(start) <= int(end) <= HASH_KEY_MAX):
        raise MalformedAnswer("a hash range that is none")
    return HashRange(int(start), int(end))


def name_in(item: Mapping[str, Any], member: str) -> str:
    """Read a shard's id.

    Raises:
        MalformedAnswer: it is missing, or no text.
    """
    name = item.get(member)
    if not isinstance(name, str) or not name:
        raise MalformedAnswer(f"no {member}")
    return name


def token_in(answer: Mapping[str, Any], member: str) -> str | None:
    """Read what leads to the next page, None if nothing does.

    Raises:
        MalformedAnswer: it is no text.
    """
    token = answer.get(member) or None
    if token is not None and not isinstance(token, str):
        raise MalformedAnswer(f"a {member} that is none")
    return token


def sequence_number(number: object) -> str:
    """Read a sequence number.

    Raises:
        MalformedAnswer: it is none.
    """
    if not isinstance(number, str) or _SEQUENCE_NUMBER.fullmatch(number) is None:
        raise MalformedAnswer("a sequence number that is none")
    return number


def _record(item: Mapping[str, Any]) -> Record:
    data, partition_key = item.get("Data"), item.get("PartitionKey")
    if not isinstance(data, bytes) or not isinstance(partition_key, str):
        raise MalformedAnswer("a record without data or partition key")
    arrived_at = item.get("ApproximateArrivalTimestamp")
    return Record(
        data=data,
        partition_key=partition_key,
        sequence_number=sequence_number(item.get("SequenceNumber")),
        arrival_timestamp_seconds=0.0 if arrived_at is None else arrived_at.timestamp(),
    )


def _child(item: Mapping[str, Any]) -> ChildShard:
    parents = item["ParentShards"]
    if not isinstance(parents, list) or not all(isinstance(parent, str) and parent for parent in parents):
        raise MalformedAnswer("a child whose parents are no ids")
    return ChildShard(
        shard_id=name_in(item, "ShardId"),
        hash_range=hash_range(item["HashKeyRange"]),
        parent_shard_ids=tuple(parents),
    )


def _check_order(records: Sequence[Record]) -> None:
    """Refuse a page that goes back or repeats itself: a place in it would cover what follows, and was not yet read."""
    last = (0, "")
    for record in records:
        place = (len(record.sequence_number), record.sequence_number)  # as numbers compare, without making any
        if place <= last:
            raise MalformedAnswer("records out of order")
        last = place


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
