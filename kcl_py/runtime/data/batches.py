"""From the pages of a shard to its processor's batches: aggregates unpacked, what was done before left out.

A page without aggregates becomes one batch and is not looked into.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from kcl_py.config import Config
from kcl_py.core import aggregation
from kcl_py.core.batch import RecordBatch
from kcl_py.core.checkpoint import TRIM_HORIZON, Checkpoint
from kcl_py.core.lease import Lease
from kcl_py.core.record import Record
from kcl_py.events import BatchDelivered, BatchDone, Event, ForeignRecordsDropped, MalformedAggregate
from kcl_py.interfaces import Page
from kcl_py.runtime.emitter import Emitter

BATCH_RECORDS_MAX = 10_000  # user records in one call; an aggregate may hold many more, and is never unpacked whole


class Batches:
    """Those of one epoch.

    Attributes:
        done: what lies at it or before is left out; at first the checkpoint.
    """

    def __init__(self, lease: Lease, config: Config, emit: Emitter) -> None:
        self._lease = lease
        self.done = lease.checkpoint
        self._told = dict.fromkeys((ForeignRecordsDropped, MalformedAggregate), TRIM_HORIZON)  # up to where
        self._stream = config.stream_name
        self._drops_foreign = config.foreign_user_records == "drop"
        self._emit = emit

    def of(self, page: Page) -> Iterator[RecordBatch]:
        """Unpack a page, batch by batch as they are asked for."""
        chunks = self._following(
            aggregation.unpack_all(
                page.records, self._lease.hash_range, self._report_malformed, at_most=BATCH_RECORDS_MAX
            )
        )
        if self._drops_foreign:
            chunks = self._without_foreign(chunks)
        chunk = next(chunks, None)
        while chunk is not None:
            following = next(chunks, None)
            yield RecordBatch(
                chunk,
                stream=self._stream,
                shard_id=self._lease.key,
                millis_behind_latest=page.millis_behind_latest,
                is_at_shard_end=page.next_iterator is None and following is None,
                size_bytes=page.size_bytes if chunk is page.records else None,  # a page as it was read is known
            )
            chunk = following

    def _following(self, chunks: Iterator[Sequence[Record]]) -> Iterator[Sequence[Record]]:
        """Leave out what was done before. Order holds: nothing behind the first record that was not."""
        start = self.done
        for chunk in chunks:
            if start.is_number and Checkpoint.at(chunk[0]) <= start:
                chunk = chunk[bisect_right(chunk, start, key=Checkpoint.at) :]
            if chunk:
                yield chunk

    def _without_foreign(self, chunks: Iterator[Sequence[Record]]) -> Iterator[Sequence[Record]]:
        for chunk in chunks:
            foreign = [record for record in chunk if record.outside_hash_range]
            own = [record for record in chunk if not record.outside_hash_range] if foreign else chunk
            if foreign and self._is_news(ForeignRecordsDropped, foreign[-1]):
                first, last = str(Checkpoint.at(foreign[0])), str(Checkpoint.at(foreign[-1]))
                self._emit(
                    ForeignRecordsDropped(shard_id=self._lease.key, first=first, last=last, records=len(foreign))
                )
            if own:
                yield own

    def _report_malformed(self, record: Record, reason: str) -> None:
        if self._is_news(MalformedAggregate, record):
            number = record.sequence_number
            self._emit(MalformedAggregate(shard_id=self._lease.key, sequence_number=number, reason=reason))

    def _is_news(self, kind: type[Event], record: Record) -> bool:
        """False if it was told already: a shard that stood still reads again."""
        last = Checkpoint.at(record)
        is_news = last > self._told[kind]
        if is_news:
            self._told[kind] = last
        return is_news


def delivered(batch: RecordBatch, attempt: int, fencing_token: int) -> BatchDelivered:
    """What is told when a batch is given to its processor."""
    return BatchDelivered(
        shard_id=batch.shard_id,
        first=str(batch.first),
        last=str(batch.last),
        records=len(batch),
        attempt=attempt,
        fencing_token=fencing_token,
    )


def done(batch: RecordBatch, seconds: float) -> BatchDone:
    """What is told when it has been processed."""
    return BatchDone(
        shard_id=batch.shard_id,
        last=str(batch.last),
        records=len(batch),
        size_bytes=batch.size_bytes,
        millis_behind_latest=batch.millis_behind_latest,
        seconds=seconds,
    )
