"""All shards of one stream: who takes which hash key, and how splits and merges change that."""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator

from kcl_py.core.shard import HashRange
from kcl_py.local.hash_key import equal_ranges
from kcl_py.local.limits import Limits
from kcl_py.local.shard_model import ShardModel


class ShardMap:
    """The open shards always partition the whole hash space; closed ones stay until they are trimmed."""

    def __init__(self, shard_count: int, opened_ms: int, limits: Limits) -> None:
        self._limits = limits
        self._by_id: dict[str, ShardModel] = {}  # in order of age, which is the order of ids
        self._made = 0
        self._closed: deque[ShardModel] = deque()  # in order of closing
        self._open = [self._make(hash_range, (), opened_ms) for hash_range in equal_ranges(shard_count)]
        self._starts = [shard.hash_range.start for shard in self._open]

    def __iter__(self) -> Iterator[ShardModel]:
        return iter(self._by_id.values())

    @property
    def open_shards(self) -> list[ShardModel]:
        """Ordered by hash range."""
        return self._open

    def get(self, shard_id: str) -> ShardModel | None:
        """The shard of this id, None if there is none."""
        return self._by_id.get(shard_id)

    def of_hash(self, hash_key: int) -> ShardModel:
        """The open shard that takes this hash key."""
        return self._open[bisect_right(self._starts, hash_key) - 1]

    def split(self, shard: ShardModel, at: int, now_ms: int) -> tuple[ShardModel, ShardModel]:
        """Close `shard`; two children take its range, the second one from `at` on."""
        moment_ms = shard.earliest_close_ms(now_ms)
        lower = self._make(HashRange(shard.hash_range.start, at - 1), (shard,), moment_ms)
        upper = self._make(HashRange(at, shard.hash_range.end), (shard,), moment_ms)
        self._close((shard,), (lower, upper), moment_ms)
        return lower, upper

    def merge(self, lower: ShardModel, upper: ShardModel, now_ms: int) -> ShardModel:
        """Close both; one child takes both ranges."""
        moment_ms = max(lower.earliest_close_ms(now_ms), upper.earliest_close_ms(now_ms))
        child = self._make(HashRange(lower.hash_range.start, upper.hash_range.end), (lower, upper), moment_ms)
        self._close((lower, upper), (child,), moment_ms)
        return child

    def scale(self, shard_count: int, now_ms: int) -> None:
        """Make the open shards `shard_count` equal ranges by splits and merges; some shards live only in between."""
        targets = equal_ranges(shard_count)
        for target in targets[1:]:
            shard = self.of_hash(target.start)
            if shard.hash_range.start != target.start:
                self.split(shard, target.start, now_ms)
        for target in targets:
            shard = self.of_hash(target.start)
            while shard.hash_range.end != target.end:
                shard = self.merge(shard, self.of_hash(shard.hash_range.end + 1), now_ms)

    def trim(self, horizon_ms: int) -> None:
        """Forget closed shards of which nothing can be read any more."""
        while self._closed and (self._closed[0].closed_ms or 0) <= horizon_ms:
            del self._by_id[self._closed.popleft().shard_id]

    def _make(self, hash_range: HashRange, parents: tuple[ShardModel, ...], opened_ms: int) -> ShardModel:
        shard = ShardModel(
            index=self._made, hash_range=hash_range, parents=parents, opened_ms=opened_ms, limits=self._limits
        )
        self._made += 1
        self._by_id[shard.shard_id] = shard
        return shard

    def _close(self, parents: tuple[ShardModel, ...], children: tuple[ShardModel, ...], closed_ms: int) -> None:
        for parent in parents:
            parent.close(children, closed_ms)
            self._closed.append(parent)
        place = bisect_right(self._starts, parents[0].hash_range.start) - 1
        self._open[place : place + len(parents)] = children
        self._starts[place : place + len(parents)] = [child.hash_range.start for child in children]
