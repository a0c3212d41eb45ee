"""Splits and merges of a stream, by an operator with plain boto3."""

import random
from collections.abc import Iterator
from typing import Any

from integration.program import eventually

Shard = dict[str, Any]


class Operator:
    """Reshards one stream."""

    def __init__(self, client: Any, stream: str) -> None:
        self._client = client
        self._stream = stream

    def shards(self) -> list[Shard]:
        """Every shard, closed ones too, as ListShards tells."""
        shards: list[Shard] = self._client.list_shards(StreamName=self._stream)["Shards"]
        return shards

    def open_shards(self) -> list[Shard]:
        """Those that take records, by hash range."""
        open_ones = [shard for shard in self.shards() if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]
        return sorted(open_ones, key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))

    def parents(self) -> dict[str, list[str]]:
        """The parents of every shard that has any."""
        names = ("ParentShardId", "AdjacentParentShardId")
        return {
            shard["ShardId"]: [shard[name] for name in names if name in shard]
            for shard in self.shards()
            if "ParentShardId" in shard
        }

    def split(self, shard_id: str) -> None:
        """Halve a shard, and wait until that is done."""
        (shard,) = (one for one in self.shards() if one["ShardId"] == shard_id)
        low, high = (int(shard["HashKeyRange"][name]) for name in ("StartingHashKey", "EndingHashKey"))
        self._client.split_shard(
            StreamName=self._stream, ShardToSplit=shard_id, NewStartingHashKey=str((low + high) // 2 + 1)
        )
        self._settled()

    def merge(self, shard_id: str, adjacent: str) -> None:
        """Join two neighbours, the lower one named first, and wait until that is done."""
        self._client.merge_shards(StreamName=self._stream, ShardToMerge=shard_id, AdjacentShardToMerge=adjacent)
        self._settled()

    def reshard_at_random(self, dice: random.Random) -> Iterator[str]:
        """One generation: every shard that is open now is split, or merged with its neighbour, in random order.

        Gives what was done, step by step.
        """
        steps = list(_pairs_and_singles(self.open_shards(), dice))
        dice.shuffle(steps)
        for step in steps:
            shard_ids = [shard["ShardId"] for shard in step]
            if len(shard_ids) == 2:
                self.merge(*shard_ids)
                yield f"merge {' '.join(shard_ids)}"
            else:
                self.split(*shard_ids)
                yield f"split {shard_ids[0]}"

    def _settled(self) -> None:
        def is_active() -> bool:
            summary = self._client.describe_stream_summary(StreamName=self._stream)["StreamDescriptionSummary"]
            return bool(summary["StreamStatus"] == "ACTIVE")

        eventually(is_active, f"stream {self._stream} to be ACTIVE")


def _pairs_and_singles(shards: list[Shard], dice: random.Random) -> Iterator[list[Shard]]:
    """Cut a row of neighbours into pairs to merge and single ones to split."""
    left = list(shards)
    while left:
        count = 2 if len(left) > 1 and dice.random() < 0.4 else 1
        yield left[:count]
        del left[:count]
