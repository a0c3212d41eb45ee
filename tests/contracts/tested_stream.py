"""A stream under test, with the calls that the contract makes all the time."""

import re
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from botocore.exceptions import ClientError

from kcl_py.core.shard import HASH_KEY_MAX


class TestedStream:
    """One stream, behind a client of boto3's shape."""

    __test__ = False

    def __init__(self, client: Any, name: str) -> None:
        self.name = name
        self._client = client

    def settle(self) -> None:
        """Wait until the change under way is done."""
        for _ in range(1_000):
            summary = self._client.describe_stream_summary(StreamName=self.name)["StreamDescriptionSummary"]
            if summary["StreamStatus"] == "ACTIVE":
                return
            time.sleep(0.02)
        raise AssertionError(f"{self.name} does not become ACTIVE")

    def shards(self, **members: object) -> list[dict[str, Any]]:
        """All shards, oldest first."""
        answer = self._client.list_shards(StreamName=self.name, **members)
        return sorted(answer["Shards"], key=lambda shard: shard["ShardId"])

    def ids(self, **members: object) -> list[int]:
        """The numbers of the listed shards."""
        return [number_of(shard["ShardId"]) for shard in self.shards(**members)]

    def put(self, data: str | bytes = b"", key: str = "key", hash_key: int | None = None) -> dict[str, Any]:
        explicit = {} if hash_key is None else {"ExplicitHashKey": str(hash_key)}
        payload = data.encode() if isinstance(data, str) else data
        answer: dict[str, Any] = self._client.put_record(
            StreamName=self.name, Data=payload, PartitionKey=key, **explicit
        )
        return answer

    def iterator(self, shard: int, kind: str = "TRIM_HORIZON", **members: object) -> str:
        answer = self._client.get_shard_iterator(
            StreamName=self.name, ShardId=shard_id(shard), ShardIteratorType=kind, **members
        )
        iterator: str = answer["ShardIterator"]
        return iterator

    def page(self, iterator: str, **members: object) -> dict[str, Any]:
        answer: dict[str, Any] = self._client.get_records(ShardIterator=iterator, **members)
        return answer

    def read(self, shard: int, kind: str = "TRIM_HORIZON", **members: object) -> list[str]:
        """The payloads of the shard up to its tip or end."""
        return [record["Data"].decode() for record in self.records(shard, kind, **members)]

    def records(self, shard: int, kind: str = "TRIM_HORIZON", **members: object) -> list[dict[str, Any]]:
        """The records of the shard up to its tip or end."""
        iterator: str | None = self.iterator(shard, kind, **members)
        records: list[dict[str, Any]] = []
        while iterator is not None:
            page = self.page(iterator)
            records += page["Records"]
            iterator = page.get("NextShardIterator")
            if page["MillisBehindLatest"] == 0:
                break
        return records

    def split(self, shard: int, at: int | None = None) -> None:
        """Split a shard, in the middle if not told where, and wait until it is done."""
        if at is None:
            hash_range = next(s for s in self.shards() if number_of(s["ShardId"]) == shard)["HashKeyRange"]
            at = (int(hash_range["StartingHashKey"]) + int(hash_range["EndingHashKey"]) + 1) // 2
        self._client.split_shard(StreamName=self.name, ShardToSplit=shard_id(shard), NewStartingHashKey=str(at))
        self.settle()

    def merge(self, shard: int, adjacent: int) -> None:
        """Merge two shards and wait until it is done."""
        self._client.merge_shards(
            StreamName=self.name, ShardToMerge=shard_id(shard), AdjacentShardToMerge=shard_id(adjacent)
        )
        self.settle()

    def scale(self, count: int) -> None:
        """UpdateShardCount, and wait until it is done."""
        self._client.update_shard_count(StreamName=self.name, TargetShardCount=count, ScalingType="UNIFORM_SCALING")
        self.settle()


def shard_id(number: int) -> str:
    return f"shardId-{number:012d}"


def number_of(shard: str) -> int:
    return int(re.fullmatch(r"shardId-(\d{12})", shard)[1])  # type: ignore[index]


def code_of(call: Callable[[], object]) -> str:
    """The error code that a call is refused with; `accepted` if it is not."""
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "accepted"


def range_of(shard: dict[str, Any]) -> tuple[int, int]:
    hash_range = shard["HashKeyRange"]
    return int(hash_range["StartingHashKey"]), int(hash_range["EndingHashKey"])


def is_open(shard: dict[str, Any]) -> bool:
    return shard["SequenceNumberRange"].get("EndingSequenceNumber") is None


def partition(shards: list[dict[str, Any]]) -> bool:
    """True when the ranges cover the hash space without holes and overlaps."""
    ranges = sorted(range_of(shard) for shard in shards)
    return (
        ranges[0][0] == 0
        and ranges[-1][1] == HASH_KEY_MAX
        and all(one[1] + 1 == other[0] for one, other in pairwise(ranges))
    )
