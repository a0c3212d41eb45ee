"""The model as a door: what the runtime reads from when there is no network."""

import asyncio
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from typing import TypeVar

from kcl_py.core.position import ReadFrom
from kcl_py.core.record import Record
from kcl_py.core.shard import ChildShard, HashRange, Shard
from kcl_py.errors import IteratorExpired, SequenceRefused, ServiceError, StreamNotFound, Throttled
from kcl_py.interfaces import Page, ShardFilter, StreamDescription
from kcl_py.local import answers
from kcl_py.local.kinesis_error import KinesisError
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.operations import perform, request_from_members
from kcl_py.local.record_log import StoredRecord

EPOCH_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z, where a loop's time begins
Members = dict[str, object]
_A = TypeVar("_A")


def loop_clock_ms() -> int:
    """The running loop's time, as if it had begun with 2026, so that virtual time gives the same run every time."""
    return EPOCH_MS + round(asyncio.get_running_loop().time() * 1_000)


class LocalStream:
    """The `Stream` door on a stream of a `KinesisModel` in this process. It waits for nothing.

    Args:
        model: that has the stream.
        name: of the stream.
        clock_ms: milliseconds since the epoch; the running loop's time if absent. Whoever else calls the model must
            use the same clock.
    """

    def __init__(self, model: KinesisModel, name: str, *, clock_ms: Callable[[], int] = loop_clock_ms) -> None:
        self.model = model
        self.name = name
        self.clock_ms = clock_ms

    async def describe(self) -> StreamDescription:
        """See `Stream.describe`."""
        answer = self._ask(
            "DescribeStreamSummary", {"StreamName": self.name}, answers.DescribeStreamSummaryAnswer
        ).stream_description_summary
        return StreamDescription(
            name=answer.stream_name,
            arn=answer.stream_arn,
            created_at_seconds=int(answer.stream_creation_timestamp),
            retention_hours=answer.retention_period_hours,
            service_time_ms=self.clock_ms() // 1_000 * 1_000,  # a Date header has whole seconds
        )

    async def list_shards(self, shard_filter: ShardFilter | None = None) -> tuple[Shard, ...]:
        """See `Stream.list_shards`."""
        members: Members = {"StreamName": self.name, "ShardFilter": _filter_of(shard_filter)}
        shards: list[Shard] = []
        while True:
            page = self._ask("ListShards", members, answers.ListShardsAnswer)
            shards.extend(_shard_of(shard) for shard in page.shards)
            if page.next_token is None:
                return tuple(sorted(shards, key=lambda shard: shard.age_order))
            members = {"NextToken": page.next_token}

    async def open(self, shard_id: str, position: ReadFrom) -> str:
        """See `Stream.open`."""
        members: Members = {
            "StreamName": self.name,
            "ShardId": shard_id,
            "ShardIteratorType": position.kind,
            "StartingSequenceNumber": position.sequence_number,
            "Timestamp": _seconds(position.timestamp_ms),
        }
        return self._ask("GetShardIterator", members, answers.GetShardIteratorAnswer).shard_iterator

    async def read(self, iterator: str, limit: int) -> Page:
        """See `Stream.read`."""
        answer = self._ask("GetRecords", {"ShardIterator": iterator, "Limit": limit}, answers.GetRecordsAnswer)
        return Page(
            records=records_of(answer.records),
            next_iterator=answer.next_shard_iterator,
            child_shards=children_of(answer.child_shards),
            millis_behind_latest=answer.millis_behind_latest,
            size_bytes=sum(record.size_bytes for record in answer.records),
        )

    async def close(self) -> None:
        """Nothing to let go of."""

    def _ask(self, operation: str, members: Members, kind: type[_A]) -> _A:
        return asked(
            self.model, operation, members, kind, now_ms=self.clock_ms(), translated=partial(_translated, operation)
        )


def asked(
    model: KinesisModel,
    operation: str,
    members: Members,
    kind: type[_A],
    *,
    now_ms: int,
    translated: Callable[[KinesisError], ServiceError],
) -> _A:
    """What the model answers; what it refuses is raised in the words of a door.

    Raises:
        ServiceError: what `translated` makes of the refusal.
    """
    try:
        answer = perform(model, request_from_members(operation, members), now_ms)
    except KinesisError as error:
        raise translated(error) from error
    assert isinstance(answer, kind)
    return answer


def records_of(stored: Iterable[StoredRecord]) -> list[Record]:
    """Records as readers see them."""
    return [
        Record(
            data=record.data,
            partition_key=record.partition_key,
            sequence_number=record.sequence_number,
            arrival_timestamp_seconds=record.approximate_arrival_timestamp,
        )
        for record in stored
    ]


def children_of(children: Iterable[answers.ChildShard]) -> tuple[ChildShard, ...]:
    """Child shards as readers see them."""
    return tuple(
        ChildShard(
            shard_id=child.shard_id,
            hash_range=_range_of(child.hash_key_range),
            parent_shard_ids=child.parent_shards,
        )
        for child in children
    )


def _translated(operation: str, error: KinesisError) -> ServiceError:
    """What the door's docstrings promise in place of an answer's error code."""
    match error.code:
        case "ResourceNotFoundException":
            return StreamNotFound(error.message)
        case "ExpiredIteratorException":
            return IteratorExpired(error.message)
        case "ProvisionedThroughputExceededException" | "LimitExceededException":
            return Throttled(error.message)
        case "InvalidArgumentException" if operation == "GetShardIterator":
            return SequenceRefused(error.message)
        case "InvalidArgumentException" if operation == "GetRecords":
            return IteratorExpired(error.message)
        case _:
            return ServiceError(str(error))


def _filter_of(shard_filter: ShardFilter | None) -> Members | None:
    if shard_filter is None:
        return None
    return {
        "Type": shard_filter.kind,
        "ShardId": shard_filter.shard_id,
        "Timestamp": _seconds(shard_filter.timestamp_ms),
    }


def _seconds(timestamp_ms: int | None) -> float | None:
    return None if timestamp_ms is None else timestamp_ms / 1_000


@lru_cache(maxsize=100_000)  # a thousand simulated workers hold one listing, not a thousand
def _shard_of(shard: answers.Shard) -> Shard:
    return Shard(
        shard_id=shard.shard_id,
        hash_range=_range_of(shard.hash_key_range),
        parent_shard_ids=tuple(
            parent for parent in (shard.parent_shard_id, shard.adjacent_parent_shard_id) if parent is not None
        ),
        starting_sequence_number=shard.sequence_number_range.starting_sequence_number,
        ending_sequence_number=shard.sequence_number_range.ending_sequence_number,
    )


def _range_of(hash_key_range: answers.HashKeyRange) -> HashRange:
    return HashRange(int(hash_key_range.starting_hash_key), int(hash_key_range.ending_hash_key))
