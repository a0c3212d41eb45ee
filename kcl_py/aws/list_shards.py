"""Turns the answers of ListShards into one listing."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from kcl_py.aws.calls import MalformedAnswer
from kcl_py.aws.get_records import hash_range
from kcl_py.core.shard import Shard
from kcl_py.interfaces import ShardFilter


def filter_parameter(shard_filter: ShardFilter) -> dict[str, Any]:
    """The request's ShardFilter."""
    parameter: dict[str, Any] = {"Type": shard_filter.kind}
    if shard_filter.timestamp_ms is not None:
        parameter["Timestamp"] = moment(shard_filter.timestamp_ms)
    if shard_filter.shard_id is not None:
        parameter["ShardId"] = shard_filter.shard_id
    return parameter


def moment(timestamp_ms: int) -> datetime:
    """A time as requests carry it: whole seconds, because botocore sends no more; the earlier one, to miss nothing."""
    return datetime.fromtimestamp(timestamp_ms // 1000, UTC)


def shards(answer: Mapping[str, Any]) -> tuple[list[Shard], str | None]:
    """Read one page: its shards, and the token of the next page.

    Raises:
        MalformedAnswer: it is no page of shards.
        LookupError, TypeError, ValueError, AttributeError: a part of it has the wrong shape.
    """
    if "Shards" not in answer:
        raise MalformedAnswer("no Shards")
    return [_shard(item) for item in answer["Shards"]], answer.get("NextToken") or None


def listing(found: Iterable[Shard]) -> tuple[Shard, ...]:
    """All pages as one listing: each shard once, as the last page that has it says, oldest first."""
    return tuple(sorted({shard.shard_id: shard for shard in found}.values(), key=lambda shard: shard.age_order))


def _shard(item: Mapping[str, Any]) -> Shard:
    parents = (item.get("ParentShardId"), item.get("AdjacentParentShardId"))
    numbers = item["SequenceNumberRange"]
    if not isinstance(item["ShardId"], str):
        raise MalformedAnswer("a shard without an id")
    return Shard(
        shard_id=item["ShardId"],
        hash_range=hash_range(item["HashKeyRange"]),
        parent_shard_ids=tuple(parent for parent in parents if parent),
        starting_sequence_number=_number(numbers["StartingSequenceNumber"]),
        ending_sequence_number=_number(numbers["EndingSequenceNumber"]) if _is_closed(numbers) else None,
    )


def _is_closed(numbers: Mapping[str, Any]) -> bool:
    return bool(numbers.get("EndingSequenceNumber"))


def _number(text: str) -> str:
    if not (text.isascii() and text.isdigit()):
        raise MalformedAnswer("a shard with a sequence number that is none")
    return text
