"""The records of one shard, oldest first, addressed by a place that never changes."""

from bisect import bisect_left

import msgspec

_COMPACT_AT = 1_024


class StoredRecord(msgspec.Struct, frozen=True, gc=False, rename="pascal"):
    """A record as it was put, with the names that it has on the wire. The timestamp is in seconds since the epoch."""

    sequence_number: str
    approximate_arrival_timestamp: float
    data: bytes
    partition_key: str

    @property
    def size_bytes(self) -> int:
        """What limits count: payload and key."""
        return len(self.data) + len(self.partition_key.encode())


class RecordLog:
    """Grows at one end and is trimmed at the other, both at constant cost per record. Places count from 0."""

    def __init__(self) -> None:
        self._records: list[StoredRecord] = []
        self._dropped = 0  # records that are no longer in the list
        self._dead = 0  # records at the head of the list that are trimmed already

    @property
    def first(self) -> int:
        """The place of the oldest record still there."""
        return self._dropped + self._dead

    @property
    def end(self) -> int:
        """The place that the next record gets."""
        return self._dropped + len(self._records)

    @property
    def held(self) -> int:
        """How many records are in memory; trimmed ones go in bulk."""
        return len(self._records)

    def append(self, record: StoredRecord) -> None:
        """Add the newest record."""
        self._records.append(record)

    def trim(self, horizon_ms: int) -> None:
        """Forget what arrived before `horizon_ms`."""
        horizon_seconds = horizon_ms / 1_000
        records = self._records
        while self._dead < len(records) and records[self._dead].approximate_arrival_timestamp < horizon_seconds:
            self._dead += 1
        if self._dead >= _COMPACT_AT and self._dead * 2 >= len(records):
            del records[: self._dead]
            self._dropped += self._dead
            self._dead = 0

    def place_of_time(self, timestamp_ms: int) -> int:
        """The place of the first record that arrived at or after this time."""
        seconds = timestamp_ms / 1_000
        return self._dropped + bisect_left(
            self._records, seconds, lo=self._dead, key=lambda record: record.approximate_arrival_timestamp
        )

    def place_of_number(self, sequence_number: int) -> int:
        """The place of the first record whose number is this one or greater."""
        return self._dropped + bisect_left(
            self._records, sequence_number, lo=self._dead, key=lambda record: int(record.sequence_number)
        )

    def arrived_ms(self, place: int) -> int:
        """When the record at `place` arrived."""
        return round(self._records[place - self._dropped].approximate_arrival_timestamp * 1_000)

    def page(self, place: int, records_max: int, bytes_max: int) -> tuple[list[StoredRecord], int]:
        """The records from `place` on, as many as fit and one at least, and their bytes."""
        begin = max(place, self.first) - self._dropped
        size = 0
        end = begin
        for record in self._records[begin : begin + records_max]:
            size += record.size_bytes
            if size > bytes_max and end > begin:
                size -= record.size_bytes
                break
            end += 1
        return self._records[begin:end], size
