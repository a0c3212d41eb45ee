"""A shard as the stream lists it: a hash range, a place in the sequence, and its parents."""

from collections.abc import Iterable

import msgspec

HASH_KEY_MAX = 2**128 - 1


class HashRange(msgspec.Struct, frozen=True, order=True):
    """An inclusive range of 128-bit hash keys."""

    start: int
    end: int  # start <= end <= HASH_KEY_MAX

    def __contains__(self, hash_key: int) -> bool:
        return self.start <= hash_key <= self.end

    def overlaps(self, other: "HashRange") -> bool:
        """True if some hash key lies in both."""
        return self.start <= other.end and other.start <= self.end

    def without(self, ranges: Iterable["HashRange"]) -> tuple["HashRange", ...]:
        """What remains of this range when `ranges`, which may overlap, are taken out; ascending."""
        left = []
        start = self.start
        for taken in sorted(taken for taken in ranges if self.overlaps(taken)):
            if taken.start > start:
                left.append(HashRange(start, taken.start - 1))
            start = max(start, taken.end + 1)
        if start <= self.end:
            left.append(HashRange(start, self.end))
        return tuple(left)


EVERY_HASH_KEY = HashRange(0, HASH_KEY_MAX)


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a shard listing. Of a merge's two parents the listing's ParentShardId comes first."""

    shard_id: str
    hash_range: HashRange
    parent_shard_ids: tuple[str, ...] = ()  # none, one after a split, two after a merge; may name trimmed shards
    starting_sequence_number: str = "0"
    ending_sequence_number: str | None = None

    @property
    def is_closed(self) -> bool:
        """True once the shard takes no more records."""
        return self.ending_sequence_number is not None

    @property
    def age_order(self) -> tuple[int, str]:
        """Sorts older shards first."""
        return int(self.starting_sequence_number), self.shard_id


class ChildShard(msgspec.Struct, frozen=True, kw_only=True):
    """A child as the last page of a closed shard names it."""

    shard_id: str
    hash_range: HashRange
    parent_shard_ids: tuple[str, ...]
