"""Aggregates that an enemy packed, through a whole worker: all user records or the raw one, never a part."""

import asyncio
import hashlib
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcl_py.core import aggregate
from kcl_py.core.aggregation import unpack
from kcl_py.core.batch import RecordBatch
from kcl_py.core.record import Record
from kcl_py.core.shard import HashRange
from kcl_py.events import MalformedAggregate
from kcl_py.processor import Checkpointer
from tests.core.kpl_aggregator import MAGIC, UserRecord, bytes_field, packed, record_message, sealed, varint
from tests.runtime.bench import SHARD_0, BenchWorker, Recording, Site
from tests.virtual_time import run

PLAIN = packed([UserRecord("k", b"a"), UserRecord("l", b"b", "7"), UserRecord("k", b"c")])
KEY = bytes_field(1, b"k")
USER_RECORD = bytes_field(3, record_message(0, None, b"a"))
HOSTILE = {
    "no MD5": PLAIN[:-16],
    "a wrong MD5": PLAIN[:-16] + bytes(16),
    "the magic alone": MAGIC,
    "the magic and an MD5 of nothing": MAGIC + hashlib.md5(b"").digest(),
    "no user records": sealed(KEY),
    "an index beyond its table": sealed(KEY + bytes_field(3, record_message(1, None, b"a"))),
    "an index beyond all numbers": sealed(KEY + bytes_field(3, record_message(2**64 - 1, None, b"a"))),
    "a hash key index beyond its table": sealed(KEY + bytes_field(3, record_message(0, 0, b"a"))),
    "a size beyond the message": sealed(KEY + varint(3 * 8 + 2) + varint(2**62) + b"a"),
    "a varint without an end": sealed(KEY + b"\x1a" + b"\xff" * 40),
    "a group": sealed(KEY + USER_RECORD + b"\x1b\x1c"),
    "a hash key of 5000 digits": sealed(KEY + bytes_field(2, b"9" * 5000) + USER_RECORD),
    "a hash key of 129 bits": sealed(KEY + bytes_field(2, str(2**128).encode()) + USER_RECORD),
    "a key that is no text": sealed(bytes_field(1, b"\xff\xfe") + USER_RECORD),
}


def processed(*payloads: bytes) -> tuple[list[Record], list[MalformedAggregate]]:
    """What a worker's processor is given of these records, which all are checkpointed in the end."""
    got: list[Record] = []

    class Keeping(Recording):
        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            got.extend(records)

    async def story() -> list[MalformedAggregate]:
        site = Site()
        for payload in payloads:
            site.put_data(payload)
        worker = BenchWorker(site, Keeping)
        await asyncio.sleep(8)
        await worker.drain()
        assert worker.failure is None
        last, row = got[-1], await site.row(SHARD_0)
        assert (row.checkpoint.sequence_number, row.checkpoint.sub_sequence_number) == (
            last.sequence_number,
            last.sub_sequence_number,
        )
        return worker.seen(MalformedAggregate)

    events = run(story())
    return got, events


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_aggregate_is_delivered_raw_flagged_and_told_of(name: str) -> None:
    got, events = processed(b"before", HOSTILE[name], b"after")
    assert [record.data for record in got] == [b"before", HOSTILE[name], b"after"]
    assert [record.malformed_aggregate for record in got] == [False, True, False]
    assert [event.sequence_number for event in events] == [got[1].sequence_number]


def test_an_aggregate_in_an_aggregate_is_one_user_record() -> None:
    nested = PLAIN
    for _ in range(50):
        nested = packed([UserRecord("k", nested)])
    got, events = processed(nested, b"after")
    assert [record.data[:4] for record in got] == [MAGIC, b"afte"]
    assert events == []


@given(st.lists(st.tuples(st.integers(0, len(PLAIN) - 1), st.integers(1, 255)), min_size=1, max_size=3), st.booleans(),
       st.integers(0, len(PLAIN)))  # fmt: skip
@settings(deadline=None, max_examples=30)
def test_a_damaged_aggregate_costs_no_record_beside_it(
    flips: list[tuple[int, int]], is_sealed_again: bool, length: int
) -> None:
    damaged = bytearray(PLAIN)
    for place, bits in flips:
        damaged[place] ^= bits
    data = bytes(damaged[:length]) or b"x"
    if is_sealed_again:
        data = sealed(data[4:-16])
    got, events = processed(b"before", data, b"after")
    assert (got[0].data, got[-1].data) == (b"before", b"after")
    middle = got[1:-1]
    is_raw = [record.data for record in middle] == [data]
    assert is_raw or all(record.aggregated and not record.malformed_aggregate for record in middle)
    assert middle
    assert len(events) == sum(record.malformed_aggregate for record in middle)


def stored(data: bytes) -> Record:
    return Record(data=data, partition_key="k", sequence_number="21", arrival_timestamp_seconds=0.0)


def test_175_000_user_records_are_unpacked_within_a_few_megabytes() -> None:
    """From a record of one megabyte: all that is kept is where they lie in it."""
    count = 175_000
    data = sealed(bytes_field(1, b"k") + bytes_field(3, record_message(0, None, b"")) * count)
    assert len(data) < 2**20 + 2**18
    tracemalloc.start()
    records = unpack(stored(data), HashRange(0, 9))
    held = [next(records) for _ in range(10)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 2**20
    assert [record.sub_sequence_number for record in (*held, *records)] == list(range(count))


def test_a_bomb_of_one_long_key_stays_packed_and_small() -> None:
    """A megabyte that would become many gigabytes of keys."""
    data = sealed(bytes_field(1, b"k" * 2**19) + bytes_field(3, record_message(0, None, b"")) * 60_000)
    assert aggregate.EXPANDED_BYTES_MAX < 60_000 * 2**19
    tracemalloc.start()
    (raw,) = unpack(stored(data), None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert raw.malformed_aggregate
    assert raw.data is data
    assert peak < 16 * 2**20
