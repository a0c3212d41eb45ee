"""An aggregate gives exactly the user records that were packed, or itself, flagged: never a part, never nothing."""

import hashlib
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kcl_py.core import aggregate
from kcl_py.core.aggregate import MADE_AT_ONCE_MAX, MAGIC
from kcl_py.core.aggregation import unpack, unpack_all
from kcl_py.core.record import Record
from kcl_py.core.shard import EVERY_HASH_KEY, HASH_KEY_MAX, HashRange
from tests.core.kpl_aggregator import UserRecord, bytes_field, number_field, packed, record_message, sealed, varint

LOWER_HALF = HashRange(0, HASH_KEY_MAX // 2)


def stored(data: bytes) -> Record:
    """A record as read from a shard."""
    return Record(data=data, partition_key="a", sequence_number="4959", arrival_timestamp_seconds=1_700_000_000.5)


def unpacked(data: bytes, hash_range: HashRange | None = None) -> tuple[list[Record], list[str]]:
    """The records that come out, and the reasons that are reported."""
    reasons: list[str] = []
    records = list(unpack(stored(data), hash_range, lambda record, reason: reasons.append(reason)))
    return records, reasons


def as_put(records: list[Record]) -> list[UserRecord]:
    return [UserRecord(record.partition_key, record.data, record.explicit_hash_key) for record in records]


def assert_raw(data: bytes, reason: str = "") -> None:
    """`data` comes out as it went in, flagged, and the reason is told once."""
    records, reasons = unpacked(data, LOWER_HALF)
    assert [record.data for record in records] == [data]
    assert (records[0].malformed_aggregate, records[0].aggregated, records[0].sub_sequence_number) == (True, False, 0)
    assert (records[0].partition_key, records[0].outside_hash_range) == ("a", False)
    assert len(reasons) == 1
    assert reason in reasons[0]


keys = st.one_of(st.sampled_from(["k", "κλειδί", "", "x" * 127, "x" * 128]), st.text(max_size=300))
hash_keys = st.none() | st.integers(0, HASH_KEY_MAX).map(str) | st.sampled_from(["0", "00", str(HASH_KEY_MAX)])
payloads = st.one_of(st.binary(max_size=300), st.sampled_from([0, 1, 126, 127, 128, 16_383, 16_384]).map(bytes))
user_records = st.builds(UserRecord, keys, payloads, hash_keys)


@given(st.lists(user_records, min_size=1, max_size=12))
@settings(max_examples=150)
def test_what_was_packed_comes_out_in_order_and_whole(put: list[UserRecord]) -> None:
    records, reasons = unpacked(packed(put))
    assert as_put(records) == put
    assert [record.sub_sequence_number for record in records] == list(range(len(put)))
    assert all(record.aggregated and not record.malformed_aggregate for record in records)
    assert {record.sequence_number for record in records} == {"4959"}
    assert {record.arrival_timestamp_seconds for record in records} == {1_700_000_000.5}
    assert reasons == []


@given(
    st.lists(user_records, min_size=1, max_size=5),
    st.tuples(st.integers(0, HASH_KEY_MAX), st.integers(0, HASH_KEY_MAX)),
)
@settings(max_examples=100)
def test_a_user_record_is_flagged_exactly_if_its_hash_is_outside(put: list[UserRecord], ends: tuple[int, int]) -> None:
    hash_range = HashRange(min(ends), max(ends))
    records, _ = unpacked(packed(put), hash_range)
    for user_record, record in zip(put, records, strict=True):
        digest = hashlib.md5(user_record.partition_key.encode()).hexdigest()
        effective = int(digest, 16) if user_record.explicit_hash_key is None else int(user_record.explicit_hash_key)
        assert record.outside_hash_range == (not hash_range.start <= effective <= hash_range.end)


@pytest.mark.parametrize("hash_key", [0, 5, 9, 10, 11, HASH_KEY_MAX])
def test_both_ends_of_the_shards_range_are_inside(hash_key: int) -> None:
    records, _ = unpacked(packed([UserRecord("k", b"x", str(hash_key))]), HashRange(5, 10))
    assert [record.outside_hash_range for record in records] == [hash_key not in (5, 9, 10)]


@pytest.mark.parametrize("hash_range", [None, EVERY_HASH_KEY])
def test_nothing_is_outside_the_whole_ring_or_an_unknown_range(hash_range: HashRange | None) -> None:
    put = [UserRecord(str(index), b"x", None if index % 2 else str(index * 10**36)) for index in range(100)]
    records, _ = unpacked(packed(put), hash_range)
    assert not any(record.outside_hash_range for record in records)


@pytest.mark.parametrize("data", [b"", b"plain", MAGIC[:3], b"\x00" + MAGIC, MAGIC[:3] + b"\xc3" + bytes(40)])
def test_a_plain_record_comes_back_as_the_same_object(data: bytes) -> None:
    record = stored(data)
    assert list(unpack(record, LOWER_HALF)) == [record]
    assert next(iter(unpack(record, LOWER_HALF))) is record


def test_a_page_keeps_its_order_and_each_record_its_own_sub_sequence() -> None:
    plain = stored(b"plain")
    two = stored(packed([UserRecord("k", b"1"), UserRecord("k", b"2")]))
    broken = stored(MAGIC)
    told = []
    page = unpack_all([plain, two, broken, two], None, lambda record, reason: told.append((record, reason)))
    found = [(record.data, record.sub_sequence_number) for records in page for record in records]
    assert found == [(b"plain", 0), (b"1", 0), (b"2", 1), (MAGIC, 0), (b"1", 0), (b"2", 1)]
    assert [(record.data, reason) for record, reason in told] == [(MAGIC, "too short")]


def test_an_aggregate_in_an_aggregate_stays_packed() -> None:
    inner = packed([UserRecord("k", b"deep")])
    records, reasons = unpacked(packed([UserRecord("k", inner)]))
    assert as_put(records) == [UserRecord("k", inner)]
    assert reasons == []
    assert list(unpack_all(records, None)) == [records]


def test_a_page_without_an_aggregate_is_handed_on_uncopied() -> None:
    page = [stored(b"plain"), stored(b"\xff" * 8), stored(MAGIC[:3])]
    (given_on,) = unpack_all(page, LOWER_HALF)
    assert given_on is page


def test_an_empty_page_gives_nothing() -> None:
    assert list(unpack_all([], None)) == []


@given(st.lists(st.lists(user_records, max_size=9), max_size=6), st.integers(1, 8))
@settings(max_examples=60)
def test_a_page_is_cut_into_sequences_of_one_length_of_which_only_the_last_is_shorter(
    page: list[list[UserRecord]], at_most: int
) -> None:
    records = [stored(packed(put) if put else b"plain") for put in page]
    cut = list(unpack_all(records, LOWER_HALF, at_most=at_most))
    assert [record for some in cut for record in some] == [
        one for record in records for one in unpack(record, LOWER_HALF)
    ]
    assert all(len(some) == at_most for some in cut[:-1])
    assert all(cut)
    assert all(len(some) <= at_most for some in cut)


@given(
    st.lists(st.builds(UserRecord, keys, payloads, st.none()), min_size=1, max_size=30), hash_keys, st.integers(0, 30)
)
@settings(max_examples=60)
def test_one_unusual_record_among_many_changes_nothing_in_the_others(
    put: list[UserRecord], hash_key: str | None, place: int
) -> None:
    put = [*put[:place], UserRecord("odd", b"odd", hash_key), *put[place:]]
    records, reasons = unpacked(packed(put), LOWER_HALF)
    assert reasons == []
    assert as_put(records) == put
    assert [record.sub_sequence_number for record in records] == list(range(len(put)))


def test_keys_between_the_user_records_are_read_as_well() -> None:
    second = bytes_field(1, b"l") + bytes_field(3, record_message(1, None, b"2"))
    records, reasons = unpacked(sealed(KEY + ONE + second), HashRange(0, 0))
    assert reasons == []
    assert as_put(records) == [UserRecord("k", b"data"), UserRecord("l", b"2")]
    assert [record.outside_hash_range for record in records] == [True, True]


def test_nobody_need_listen_to_the_reasons() -> None:
    assert [record.malformed_aggregate for record in unpack(stored(MAGIC), None)] == [True]


KEY = bytes_field(1, b"k")
ONE = bytes_field(3, record_message(0, None, b"data"))
MALFORMED = {
    "nothing but the magic": (MAGIC, "too short"),
    "no room for the MD5": (MAGIC + bytes(15), "too short"),
    "an empty message": (sealed(b""), "too short"),
    "another MD5": (MAGIC + KEY + ONE + bytes(16), "MD5 mismatch"),
    "garbage after the MD5": (sealed(KEY + ONE) + b"\x00", "MD5 mismatch"),
    "the last byte cut off": (sealed(KEY + ONE)[:-1], "MD5 mismatch"),
    "no user records": (sealed(KEY), "no user records"),
    "a key index beyond the table": (sealed(KEY + bytes_field(3, record_message(1, None, b""))), "outside its table"),
    "a hash key index beyond the table": (sealed(KEY + bytes_field(3, record_message(0, 0, b""))), "outside its table"),
    "an enormous index": (sealed(KEY + bytes_field(3, record_message(2**64 - 1, None, b""))), "outside its table"),
    "a good record before a bad one": (sealed(KEY + ONE + bytes_field(3, record_message(7, None, b""))), "outside"),
    "a record without a key": (sealed(KEY + bytes_field(3, bytes_field(3, b"x"))), "lacks its partition key"),
    "a record without data": (sealed(KEY + bytes_field(3, number_field(1, 0))), "lacks its partition key or its data"),
    "an empty record": (sealed(KEY + bytes_field(3, b"")), "lacks its partition key or its data"),
    "a record that runs past the message": (sealed(KEY + b"\x1a\x7f\x08\x00"), "runs past"),
    "a record that runs into the MD5": (sealed(KEY + ONE + b"\x1a\x08\x08\x00\x1a\x04"), "runs past"),
    "a key that runs into the MD5": (sealed(KEY + ONE + KEY + b"\x0a\x05"), "runs past"),
    "a record with tags in the place of data": (
        sealed(KEY + bytes_field(3, number_field(1, 0) + bytes_field(4, b"tag"))),
        "lacks its partition key or its data",
    ),
    "data that runs past its record": (sealed(KEY + bytes_field(3, b"\x08\x00\x1a\x09data") + ONE), "runs past"),
    "a length of four gigabytes": (sealed(KEY + b"\x1a" + varint(2**32) + b"xx"), "runs past"),
    "a varint that does not end": (sealed(KEY + ONE + b"\x1a" + b"\x80" * 12), "varint"),
    "a varint cut off": (sealed(KEY + ONE + b"\x80"), "varint"),
    "trailing garbage in the message": (sealed(KEY + ONE + b"\x00"), ""),
    "a field number of zero": (sealed(KEY + ONE + b"\x02\x00"), "has no number"),
    "a group": (sealed(KEY + ONE + b"\x23\x24"), "wire type"),
    "wire type 7": (sealed(KEY + ONE + b"\x27"), "wire type"),
    "records as numbers": (sealed(KEY + ONE + number_field(3, 5)), "wrong wire type"),
    "a key index as bytes": (sealed(KEY + bytes_field(3, bytes_field(1, b"\0") + bytes_field(3, b""))), "wrong wire"),
    "a key that is not UTF-8": (sealed(bytes_field(1, b"\xff") + ONE), "not UTF-8"),
    "a long key that is not UTF-8": (sealed(bytes_field(1, b"\xff" * 200) + ONE), "not UTF-8"),
    "a hash key of 129 bits": (sealed(KEY + bytes_field(2, str(2**128).encode()) + ONE), "explicit hash key"),
    "a hash key of 5,000 digits": (sealed(KEY + bytes_field(2, b"1" * 5_000) + ONE), "explicit hash key"),
    "a negative hash key": (sealed(KEY + bytes_field(2, b"-1") + ONE), "explicit hash key"),
    "an empty hash key": (sealed(KEY + bytes_field(2, b"") + ONE), "explicit hash key"),
    "a hash key in other digits": (sealed(KEY + bytes_field(2, "٣".encode()) + ONE), "explicit hash key"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_does_not_parse_is_delivered_raw_with_the_reason(name: str) -> None:
    assert_raw(*MALFORMED[name])


def test_a_reason_carries_nothing_of_the_record() -> None:
    data = sealed(bytes_field(1, b"secret") + bytes_field(2, b"secret") + bytes_field(3, b"secret"))
    _, reasons = unpacked(data)
    assert "secret" not in reasons[0]


ALLOWED = {
    "fields in another order": bytes_field(3, bytes_field(3, b"data") + number_field(1, 0)) + KEY,
    "tags": KEY + bytes_field(3, record_message(0, None, b"data", [("tag", "value")])),
    "unknown fields": KEY
    + number_field(9, 2**60)
    + bytes_field(10, b"new")
    + varint(11 * 8 + 5)
    + bytes(4)
    + bytes_field(3, record_message(0, None, b"data") + varint(12 * 8 + 1) + bytes(8)),
    "a field given twice, of which the last counts": KEY
    + bytes_field(3, number_field(1, 5) + bytes_field(3, b"old") + record_message(0, None, b"data")),
    "a number in more bytes than it needs": KEY + bytes_field(3, b"\x08\x80\x00" + b"\x1a\x84\x00data"),
    "a number in three bytes": KEY + bytes_field(3, b"\x08\x80\x80\x00" + b"\x1a\x84\x80\x00data"),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_every_form_that_protobuf_allows_is_read(name: str) -> None:
    records, reasons = unpacked(sealed(ALLOWED[name]))
    assert reasons == []
    assert as_put(records) == [UserRecord("k", b"data")]


@pytest.mark.parametrize("index", [0, 127, 128, 16_383, 16_384, 20_000])
def test_an_index_of_any_length_is_read(index: int) -> None:
    tables = b"".join(bytes_field(1, b"k%d" % n) for n in range(index + 1))
    tables += b"".join(bytes_field(2, b"%d" % n) for n in range(index + 1))
    records, reasons = unpacked(sealed(tables + bytes_field(3, record_message(index, index, b"data"))))
    assert reasons == []
    assert as_put(records) == [UserRecord(f"k{index}", b"data", str(index))]


@pytest.mark.parametrize(("field", "entry"), [(1, b""), (2, b"0")])
def test_an_index_of_three_bytes_is_not_mistaken_for_one_of_two(field: int, entry: bytes) -> None:
    index = 0x1A << 14  # its third byte looks like the tag of the data, and what follows like its length
    table = bytes_field(field, entry) * index + bytes_field(field, b"7")
    record = record_message(index if field == 1 else 0, index if field == 2 else None, bytes(25))
    records, _ = unpacked(sealed((KEY if field == 2 else b"") + table + bytes_field(3, record)))
    assert as_put(records) == [UserRecord("7" if field == 1 else "k", bytes(25), "7" if field == 2 else None)]


@given(st.binary(max_size=60))
@settings(max_examples=300)
@example(b"\x0a\x01k\x1a\x04\x08\x00\x1a\x00")
def test_any_bytes_after_the_magic_yield_at_least_one_record_and_lose_none(message: bytes) -> None:
    for data in (MAGIC + message, sealed(message)):
        records, reasons = unpacked(data, LOWER_HALF)
        assert records
        if reasons:
            assert_raw(data)
        else:
            assert [record.sub_sequence_number for record in records] == list(range(len(records)))
            assert all(record.aggregated and record.data in message for record in records)


@given(st.lists(user_records, min_size=1, max_size=4), st.data())
@settings(max_examples=200)
def test_a_damaged_aggregate_is_raw_and_a_damaged_message_with_a_new_md5_is_whole_or_raw(
    put: list[UserRecord], data: st.DataObject
) -> None:
    whole = packed(put)
    place = data.draw(st.integers(len(MAGIC), len(whole) - 1))
    damaged = whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
    assert_raw(damaged)
    resealed = sealed(damaged[len(MAGIC) : -16])
    records, reasons = unpacked(resealed)
    assert len(records) == 1 if reasons else all(record.aggregated for record in records)


def test_a_malformed_aggregate_gives_out_no_user_record_first() -> None:
    data = sealed(KEY + ONE * 1_000 + bytes_field(3, record_message(9, None, b"")))
    first = next(iter(unpack(stored(data), None)))
    assert first.malformed_aggregate
    assert first.data == data


def test_a_full_megabyte_of_the_smallest_user_records_is_unpacked() -> None:
    record = stored(sealed(KEY + b"\x1a\x04\x08\x00\x1a\x00" * 174_700))
    assert len(record.data) < 1024 * 1024
    assert sum(1 for _ in unpack(record, LOWER_HALF)) == 174_700


def test_of_very_many_user_records_only_so_many_are_made_at_once() -> None:
    def peak_bytes(times: int) -> int:
        count = times * MADE_AT_ONCE_MAX
        record = stored(sealed(KEY + b"\x1a\x04\x08\x00\x1a\x00" * count))
        tracemalloc.start()
        try:
            assert sum(1 for _ in unpack(record, LOWER_HALF)) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    made_bytes = peak_bytes(1)
    assert peak_bytes(17) < 2 * made_bytes + 17 * MADE_AT_ONCE_MAX * 32, "places in the aggregate, not records"


def test_more_user_records_than_an_honest_producer_packs_stay_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregate, "USER_RECORDS_MAX", 10)
    assert not unpacked(sealed(KEY + ONE * 10))[1]
    assert_raw(sealed(KEY + ONE * 11), "more than 10 user records")
    assert_raw(sealed(KEY * 11 + ONE), "more than 10 user records or keys")


def test_a_long_key_that_is_repeated_without_measure_stays_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregate, "EXPANDED_BYTES_MAX", 10_000)
    short, long = bytes_field(1, b"k"), bytes_field(1, b"k" * 1_000)
    assert not unpacked(sealed(short + ONE * 100))[1]
    assert not unpacked(sealed(long + ONE * 8))[1]
    assert_raw(sealed(long + ONE * 100), "more than 10000 bytes")


def test_the_caps_are_beyond_what_a_record_of_a_megabyte_can_hold() -> None:
    smallest = bytes_field(3, record_message(0, None, b""))
    longest_key_bytes = 256
    assert 1024 * 1024 // len(smallest) < aggregate.USER_RECORDS_MAX
    assert 1024 * 1024 // len(smallest) * longest_key_bytes < aggregate.EXPANDED_BYTES_MAX
