"""A batch: the records of one call into a processor."""

from collections.abc import Iterator, Sequence
from typing import overload

from kcl_py.core.checkpoint import Checkpoint
from kcl_py.core.record import Record


class RecordBatch(Sequence[Record]):
    """Records of one shard in order, never empty.

    Attributes:
        stream: the stream's name.
        shard_id: the shard they come from.
        millis_behind_latest: how far the page was behind the tip when it was read, milliseconds; None if the service
            did not say.
        is_at_shard_end: True if no record follows in this shard.
        first: the place of the first record.
        last: the place of the last record.
    """

    __slots__ = (
        "_records",
        "_size_bytes",
        "first",
        "is_at_shard_end",
        "last",
        "millis_behind_latest",
        "shard_id",
        "stream",
    )

    def __init__(
        self,
        records: Sequence[Record],
        *,
        stream: str,
        shard_id: str,
        millis_behind_latest: int | None = None,
        is_at_shard_end: bool = False,
        size_bytes: int | None = None,
    ) -> None:
        self._records = records
        self._size_bytes = size_bytes  # None until somebody asks
        self.first = Checkpoint.at(records[0])
        self.last = Checkpoint.at(records[-1])
        self.stream = stream
        self.shard_id = shard_id
        self.millis_behind_latest = millis_behind_latest
        self.is_at_shard_end = is_at_shard_end

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | Sequence[Record]:
        return self._records[index]

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    def __repr__(self) -> str:
        return f"RecordBatch({self.stream}/{self.shard_id}, {len(self)} records from {self.first})"

    @property
    def size_bytes(self) -> int:
        """All payloads and partition keys together, bytes, which is what the service's limits count."""
        if self._size_bytes is None:
            keys = "".join([record.partition_key for record in self._records])
            self._size_bytes = sum(map(len, [record.data for record in self._records])) + len(keys.encode())
        return self._size_bytes

    def after(self, position: Checkpoint) -> "RecordBatch | None":
        """What follows `position`, or None if nothing does: a failed batch is delivered again from there."""
        if position < self.first:
            return self
        rest = [record for record in self._records if Checkpoint.at(record) > position]
        if not rest:
            return None
        return RecordBatch(
            rest,
            stream=self.stream,
            shard_id=self.shard_id,
            millis_behind_latest=self.millis_behind_latest,
            is_at_shard_end=self.is_at_shard_end,
        )
