"""Turns the answers of ListShards into one listing."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from kcl_py.aws.calls import MalformedAnswer
from kcl_py.aws.members import hash_range, name_in, sequence_number, token_in
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
    return [_shard(item) for item in answer["Shards"]], token_in(answer, "NextToken")


def listing(found: Iterable[Shard]) -> tuple[Shard, ...]:
    """All pages as one listing: each shard once, as the last page that has it says, oldest first."""
    return tuple(sorted({shard.shard_id: shard for shard in found}.values(), key=lambda shard: shard.age_order))


def _shard(item: Mapping[str, Any]) -> Shard:
    numbers = item["SequenceNumberRange"]
    ending = numbers.get("EndingSequenceNumber") or None
    return Shard(
        shard_id=name_in(item, "ShardId"),
        hash_range=hash_range(item["HashKeyRange"]),
        parent_shard_ids=tuple(name_in(item, parent) for parent in _PARENTS if item.get(parent)),
        starting_sequence_number=sequence_number(numbers["StartingSequenceNumber"]),
        ending_sequence_number=None if ending is None else sequence_number(ending),
    )


_PARENTS = ("ParentShardId", "AdjacentParentShardId")
