"""From the pages of a shard to its processor's batches: aggregates unpacked, what the checkpoint covers left out."""

from collections.abc import Iterator
from itertools import islice

from kcl_py.core import aggregation
from kcl_py.core.batch import RecordBatch
from kcl_py.core.checkpoint import Checkpoint
from kcl_py.core.lease import Lease
from kcl_py.core.record import Record
from kcl_py.events import MalformedAggregate
from kcl_py.interfaces import Page
from kcl_py.runtime.emitter import Emitter

BATCH_RECORDS_MAX = 10_000  # user records in one call; an aggregate may hold many more, and is never unpacked whole


class Batches:
    """Those of one epoch."""

    def __init__(self, lease: Lease, stream: str, emit: Emitter) -> None:
        self._lease = lease
        self._stream = stream
        self._emit = emit

    def of(self, page: Page) -> Iterator[RecordBatch]:
        """Unpack a page, batch by batch as they are asked for."""
        records = self._after_checkpoint(
            aggregation.unpack_all(page.records, self._lease.hash_range, report=self._report_malformed)
        )
        chunk = list(islice(records, BATCH_RECORDS_MAX))
        while chunk:
            following = list(islice(records, BATCH_RECORDS_MAX))
            yield RecordBatch(
                chunk,
                stream=self._stream,
                shard_id=self._lease.key,
                millis_behind_latest=page.millis_behind_latest,
                is_at_shard_end=page.next_iterator is None and not following,
            )
            chunk = following

    def _after_checkpoint(self, records: Iterator[Record]) -> Iterator[Record]:
        start = self._lease.checkpoint
        if not start.is_number:
            yield from records
            return
        for record in records:
            if Checkpoint.at(record) > start:
                yield record
                yield from records  # order holds: nothing behind the first one is covered

    def _report_malformed(self, record: Record, reason: str) -> None:
        self._emit(MalformedAggregate(shard_id=self._lease.key, sequence_number=record.sequence_number, reason=reason))
