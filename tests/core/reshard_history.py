"""A stream's shards as they were at every moment: split and merged at will, listed as of any time, trimmed by age."""

from itertools import pairwise
from typing import NamedTuple

from kcl_py.core.listing import Listing
from kcl_py.core.shard import HASH_KEY_MAX, HashRange, Shard

UNITS = 64  # the ring is cut at whole units, so that splits and merges always fit


class Place(NamedTuple):
    """A record: one is put into every open shard each second."""

    shard_id: str
    second: int


class Life(NamedTuple):
    """One shard, in units of the ring and seconds."""

    shard_id: str
    start: int
    end: int  # exclusive
    parents: tuple[str, ...]
    opened: int
    closed: int | None

    @property
    def hash_range(self) -> HashRange:
        unit = 2**128 // UNITS
        return HashRange(self.start * unit, HASH_KEY_MAX if self.end == UNITS else self.end * unit - 1)

    def is_open(self, at: int) -> bool:
        return self.opened <= at and (self.closed is None or at < self.closed)


class ReshardHistory:
    """Every shard that a stream ever had."""

    def __init__(self, shards: int) -> None:
        self.lives: dict[str, Life] = {}
        bounds = [UNITS * index // shards for index in range(shards + 1)]
        for start, end in pairwise(bounds):
            self._open(start, end, (), 0)

    def _open(self, start: int, end: int, parents: tuple[str, ...], at: int) -> None:
        shard_id = f"shardId-{len(self.lives):03d}"
        self.lives[shard_id] = Life(shard_id, start, end, parents, at, None)

    def open_at(self, at: int) -> list[Life]:
        """The shards that are open, along the ring."""
        return sorted((life for life in self.lives.values() if life.is_open(at)), key=lambda life: life.start)

    def reshard(self, choice: int, at: int) -> None:
        """Split or merge: `choice` picks what, among all that is possible."""
        alive = self.open_at(at)
        splits = [life for life in alive if life.end - life.start > 1 and life.opened < at]
        merges = [pair for pair in pairwise(alive) if max(life.opened for life in pair) < at]
        if not splits and not merges:
            return
        if choice % (len(splits) + len(merges)) < len(splits):
            life = splits[choice % (len(splits) + len(merges))]
            self.lives[life.shard_id] = life._replace(closed=at)
            middle = (life.start + life.end) // 2
            self._open(life.start, middle, (life.shard_id,), at)
            self._open(middle, life.end, (life.shard_id,), at)
            return
        left, right = merges[choice % (len(splits) + len(merges)) - len(splits)]
        for life in (left, right):
            self.lives[life.shard_id] = life._replace(closed=at)
        self._open(left.start, right.end, (left.shard_id, right.shard_id), at)

    def listed(self, at: int, retention: int) -> list[Shard]:
        """What ListShards gives at a moment, complete."""
        return [
            Shard(
                shard_id=life.shard_id,
                hash_range=life.hash_range,
                parent_shard_ids=life.parents,
                starting_sequence_number=str(life.opened),
                ending_sequence_number=str(life.closed) if life.closed is not None and life.closed <= at else None,
            )
            for life in self.lives.values()
            if life.opened <= at and (life.closed is None or life.closed > at - retention)
        ]

    def listing(self, at: int, retention: int = 10**9) -> Listing:
        return Listing.of(self.listed(at, retention))

    def records_until(self, at: int) -> set[Place]:
        """Everything that was put before this second."""
        return {
            Place(life.shard_id, second)
            for life in self.lives.values()
            for second in range(life.opened, at if life.closed is None else min(life.closed, at))
        }

    def ancestors(self, shard_id: str) -> set[str]:
        """Every shard that this one descends from."""
        found: set[str] = set()
        ahead = [shard_id]
        while ahead:
            parents = set(self.lives[ahead.pop()].parents) - found
            found |= parents
            ahead += parents
        return found
