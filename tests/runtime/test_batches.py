"""A page that becomes more than one batch."""

from kcl_py.config import Config
from kcl_py.core.batch import RecordBatch
from kcl_py.core.checkpoint import TRIM_HORIZON
from kcl_py.core.lease import Lease
from kcl_py.core.record import Record
from kcl_py.interfaces import Page
from kcl_py.runtime.data.batches import BATCH_RECORDS_MAX, Batches
from kcl_py.runtime.emitter import Emitter

CONFIG = Config(stream="orders", application="app")
LEASE = Lease(key="shardId-000000000000", checkpoint=TRIM_HORIZON)
RECORDS = [
    Record(data=b"12345", partition_key="kéy", sequence_number=str(number), arrival_timestamp_seconds=0.0)
    for number in range(1, 2 * BATCH_RECORDS_MAX + 2)
]
RECORD_BYTES = 5 + 4


def batches(next_iterator: str | None) -> list[RecordBatch]:
    page = Page(records=RECORDS, next_iterator=next_iterator, size_bytes=RECORD_BYTES * len(RECORDS))
    return list(Batches(LEASE, CONFIG, Emitter([])).of(page))


def test_only_the_last_batch_of_the_last_page_is_at_the_shards_end():
    assert [batch.is_at_shard_end for batch in batches(None)] == [False, False, True]
    assert [batch.is_at_shard_end for batch in batches("iterator")] == [False, False, False]


def test_each_batch_weighs_what_is_in_it():
    assert [batch.size_bytes for batch in batches("iterator")] == [
        RECORD_BYTES * count for count in (BATCH_RECORDS_MAX, BATCH_RECORDS_MAX, 1)
    ]
