"""One shard: a hash range, its records, its place in the lineage, and what it admits per second."""

import msgspec

from kcl_py.core.shard import HashRange
from kcl_py.local.limits import Limits
from kcl_py.local.record_log import RecordLog, StoredRecord
from kcl_py.local.sequence_number import PLACE_MAX, SequenceNumber, number_of_record, numbers_of_shard
from kcl_py.local.throughput import Allowance, CallRate


def shard_id_of(index: int) -> str:
    """The id of the shard that was the `index`-th to be made in its stream, from 0."""
    return f"shardId-{index:012d}"


class Reading(msgspec.Struct, frozen=True):
    """A page of one shard and where it leads."""

    records: list[StoredRecord]
    size_bytes: int
    next_place: int
    is_shard_end: bool
    millis_behind_latest: int


class ShardModel:
    """One shard. It is open in [opened_ms, closed_ms)."""

    def __init__(
        self, *, index: int, hash_range: HashRange, parents: tuple["ShardModel", ...], opened_ms: int, limits: Limits
    ) -> None:
        self.index = index
        self.shard_id = shard_id_of(index)
        self.hash_range = hash_range
        self.parent_ids = tuple(parent.shard_id for parent in parents)
        self.children: tuple[ShardModel, ...] = ()
        self.opened_ms = opened_ms
        self.closed_ms: int | None = None
        # Above the parents' second, so that every number of a child is above every number of its parents.
        self.created_seconds: int = max([opened_ms // 1_000, *(parent.created_seconds + 1 for parent in parents)])
        self.log = RecordLog()
        self.read_calls = CallRate(limits.reads_per_second)
        self.read_bytes = Allowance(limits.read_bytes_per_second)
        self.iterator_calls = CallRate(limits.iterators_per_second)
        self.put_records = Allowance(limits.put_records_per_second)
        self.put_bytes = Allowance(limits.put_bytes_per_second)
        self._numbers = numbers_of_shard(self.created_seconds, index)
        self._arrived_ms = opened_ms

    @property
    def starting_sequence_number(self) -> str:
        """Below the number of every record."""
        return str(SequenceNumber(self.created_seconds, self.index, 0, self.created_seconds))

    @property
    def ending_sequence_number(self) -> str | None:
        """Above the number of every record; None while the shard is open."""
        if self.closed_ms is None:
            return None
        return str(SequenceNumber(self.created_seconds, self.index, PLACE_MAX, self.closed_ms // 1_000))

    @property
    def is_open(self) -> bool:
        """Does it still take records?"""
        return self.closed_ms is None

    def is_open_at(self, moment_ms: int) -> bool:
        """Was, or is, the shard open at this time?"""
        return self.opened_ms <= moment_ms and (self.closed_ms is None or moment_ms < self.closed_ms)

    def admits(self, size_bytes: int, now_ms: int) -> bool:
        """True when a record of this size is within the put limits now."""
        return self.put_records.covers(1, now_ms) and self.put_bytes.covers(size_bytes, now_ms)

    def append(self, data: bytes, partition_key: str, now_ms: int) -> StoredRecord:
        """Store a record. Arrival times never go back within a shard, whatever the clock does."""
        self._arrived_ms = max(self._arrived_ms, now_ms)
        number = number_of_record(self._numbers, self.log.end + 1, self._arrived_ms // 1_000)
        record = StoredRecord(number, self._arrived_ms / 1_000, data, partition_key)
        self.log.append(record)
        self.put_records.draw(1)
        self.put_bytes.draw(record.size_bytes)
        return record

    def continuation_number(self, page: Reading, now_ms: int) -> str:
        """A number after which a read goes on behind `page`: its last record's, and if it has none one for its place.

        The latter lies above every record before the place, as SubscribeToShardEvent promises progress without data.
        """
        if page.records:
            return page.records[-1].sequence_number
        return number_of_record(self._numbers, page.next_place, max(self._arrived_ms, now_ms) // 1_000)

    def earliest_close_ms(self, now_ms: int) -> int:
        """The first moment not before `now_ms` at which every record has arrived and the shard has been open."""
        return max(now_ms, self._arrived_ms + 1)

    def close(self, children: tuple["ShardModel", ...], closed_ms: int) -> None:
        """End the shard: `children` take its range from `closed_ms` on."""
        self.children = children
        self.closed_ms = closed_ms

    def read(self, place: int, records_max: int, bytes_max: int, now_ms: int) -> Reading:
        """Read from `place` on; a place that was trimmed means the oldest record still there."""
        place = max(place, self.log.first)
        records, size_bytes = self.log.page(place, records_max, bytes_max)
        next_place = place + len(records)
        is_at_tip = next_place >= self.log.end
        behind_ms = 0 if is_at_tip else max(1, now_ms - self.log.arrived_ms(next_place))
        return Reading(records, size_bytes, next_place, is_at_tip and not self.is_open, behind_ms)
