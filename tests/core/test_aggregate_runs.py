"""What is read many at a time is as if read one by one: runs of keys and of user records; hashes are remembered."""

import hashlib
import importlib.util
import sys
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kcl_py.core import key_table
from kcl_py.core.aggregation import unpack
from kcl_py.core.key_table import KeyHashes
from kcl_py.core.record import Record
from kcl_py.core.shard import EVERY_HASH_KEY, HASH_KEY_MAX, HashRange
from tests.core.kpl_aggregator import UserRecord, bytes_field, packed, record_message, sealed

LOWER_HALF = HashRange(0, HASH_KEY_MAX // 2)
UPPER_HALF = HashRange(HASH_KEY_MAX // 2 + 1, HASH_KEY_MAX)
MANY = 700  # more than are looked at in one step


def unpacked(data: bytes, hash_range: HashRange | None = None) -> list[Record]:
    """What comes out of a record with such a payload."""
    record = Record(data=data, partition_key="a", sequence_number="4959", arrival_timestamp_seconds=1.0)
    return list(unpack(record, hash_range))


def as_put(records: list[Record]) -> list[UserRecord]:
    return [UserRecord(record.partition_key, record.data, record.explicit_hash_key) for record in records]


def is_outside(key: str, hash_range: HashRange) -> bool:
    return int(hashlib.md5(key.encode()).hexdigest(), 16) not in hash_range


@pytest.mark.parametrize("size", [0, 1, 100, 119, 122, 123, 124, 127, 128, 255, 256, 300, 16_370, 16_390])
@pytest.mark.parametrize("keys", [1, 100, MANY])
def test_user_records_of_one_length_come_out_in_order(size: int, keys: int) -> None:
    put = [
        UserRecord(f"k{index % keys:06d}", bytes([index % 251]) * size)
        for index in range(min(MANY, 10**7 // (size + 1)))
    ]
    records = unpacked(packed(put), LOWER_HALF)
    assert as_put(records) == put
    assert [record.sub_sequence_number for record in records] == list(range(len(put)))
    assert [record.outside_hash_range for record in records] == [is_outside(r.partition_key, LOWER_HALF) for r in put]


lengths = st.lists(st.tuples(st.integers(0, 260), st.integers(1, 40)), min_size=1, max_size=6)


@given(lengths, st.integers(1, 300))
@settings(max_examples=60)
def test_runs_of_several_lengths_come_out_as_they_were_put(runs: list[tuple[int, int]], keys: int) -> None:
    sizes = [size for size, times in runs for _ in range(times)]
    put = [UserRecord(f"k{index % keys}", bytes([index % 256]) * size) for index, size in enumerate(sizes)]
    assert as_put(unpacked(packed(put))) == put


@given(st.integers(0, 39), st.integers(0, 7), st.integers(1, 255), st.sampled_from([0, 200]))
@settings(max_examples=300)
@example(20, 3, 0x80, 0)  # a key's index gets a second byte, and the payload one less
def test_a_run_with_a_damaged_beginning_is_whole_or_raw_and_never_another_one(
    place: int, offset: int, bits: int, first_key: int
) -> None:
    table = b"".join(bytes_field(1, b"k%d" % index) for index in range(first_key + 1))
    user_records = [bytes_field(3, record_message(first_key, None, bytes([index]) * 40)) for index in range(40)]
    whole = b"".join(user_records)
    length = len(user_records[0])
    damaged = bytearray(whole)
    damaged[place * length + offset] ^= bits
    alike, slow = unpacked(sealed(table + bytes(damaged))), unpacked(sealed(table + NO_RUN + bytes(damaged)))
    if alike[0].malformed_aggregate:
        assert slow[0].malformed_aggregate
    else:
        assert as_put(slow[1:]) == as_put(alike)


# a user record with its fields in another order: what follows it is read one by one, field by field
NO_RUN = bytes_field(3, bytes_field(3, b"first") + b"\x08\x00")


@pytest.mark.parametrize("index", [100, 127, 128, 5_000])
def test_an_index_beyond_the_table_within_a_run_leaves_the_record_raw(index: int) -> None:
    table = b"".join(bytes_field(1, b"k%d" % key) for key in range(100))
    run = [bytes_field(3, record_message(99, None, b"data"))] * 50
    odd = bytes_field(3, record_message(index, None, b"data"))
    for message in ([*run, odd, *run], [odd] * 50):
        (raw,) = unpacked(sealed(table + b"".join(message)))
        assert raw.malformed_aggregate


def test_a_key_that_only_comes_after_its_user_records_is_found() -> None:
    run = bytes_field(3, record_message(1, None, b"data")) * 50
    records = unpacked(sealed(bytes_field(1, b"k") + run + bytes_field(1, b"l")))
    assert as_put(records) == [UserRecord("l", b"data")] * 50


@pytest.mark.parametrize(
    "form",
    ["{:06d}", "", "k", "{:04d}\n\x08", "\n\x06{:04d}", "\n\x04{:02x}", "κ{:04d}", "{:0126d}", "{:0128d}", "x{}"],
)
def test_keys_are_told_apart_though_what_parts_them_is_within_them_as_well(form: str) -> None:
    keys = [form.format(index) for index in range(MANY)]
    message = b"".join(bytes_field(1, key.encode()) for key in keys)
    message += b"".join(bytes_field(3, record_message(index, None, b"data")) for index in range(MANY))
    assert [record.partition_key for record in unpacked(sealed(message))] == keys


@given(st.lists(st.text(alphabet="ab\n\x00\x01\x02\x03\x04κ", max_size=4), min_size=1, max_size=40))
@settings(max_examples=200)
def test_any_keys_side_by_side_come_out_as_they_were_put(keys: list[str]) -> None:
    message = b"".join(bytes_field(1, key.encode()) for key in keys)
    message += b"".join(bytes_field(3, record_message(index, None, b"")) for index in range(len(keys)))
    assert [record.partition_key for record in unpacked(sealed(message))] == keys


def test_keys_that_are_text_only_together_are_none() -> None:
    halves = bytes_field(1, b"k\xce") + bytes_field(1, b"\xbak")
    (raw,) = unpacked(sealed(halves + bytes_field(3, record_message(0, None, b"data"))))
    assert raw.malformed_aggregate


@given(st.lists(st.lists(st.text(max_size=5), max_size=6), max_size=12), st.integers(0, HASH_KEY_MAX))
@settings(max_examples=100)
def test_a_remembered_hash_says_what_a_new_one_would(pages: list[list[str]], end: int) -> None:
    hashes = KeyHashes()
    for keys in pages:
        for hash_range in (HashRange(0, end), LOWER_HALF):
            assert hashes.outside(keys, hash_range) == {key for key in keys if is_outside(key, hash_range)}


def test_in_the_whole_ring_or_an_unknown_range_nothing_is_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_table, "md5", None)
    assert not KeyHashes().outside(["k"], EVERY_HASH_KEY)
    assert not KeyHashes().outside(["k"], None)


def test_a_key_that_is_inside_is_hashed_once_as_long_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[bytes] = []

    def md5(key: bytes, *, usedforsecurity: bool) -> object:
        hashed.append(key)
        return hashlib.md5(key, usedforsecurity=usedforsecurity)

    monkeypatch.setattr(key_table, "md5", md5)
    hashes = KeyHashes()
    lower, upper = (next(key for key in "klmnop" if is_outside(key, half)) for half in (UPPER_HALF, LOWER_HALF))
    for _ in range(3):
        assert hashes.outside([lower, upper], LOWER_HALF) == {upper}
    assert Counter(hashed) == {lower.encode(): 1, upper.encode(): 3}


@pytest.mark.parametrize("count", [9, 100, 127, 128, 129, 130, 300, 1_000])
@pytest.mark.parametrize("skipped", [0, 1, 60, 126, 127, 128, 300])
def test_keys_of_their_own_are_found_wherever_their_indexes_begin_and_none_behind_the_table(
    count: int, skipped: int
) -> None:
    keys = [f"k{index:04d}" for index in range(skipped + count)]
    table = b"".join(bytes_field(1, key.encode()) for key in keys)
    used = b"".join(bytes_field(3, record_message(index, None, b"%04d" % index)) for index in range(skipped, len(keys)))
    records = unpacked(sealed(table + used))
    assert [record.partition_key for record in records] == keys[skipped:]
    assert [record.data for record in records] == [b"%04d" % index for index in range(skipped, len(keys))]
    (raw,) = unpacked(sealed(table[: -len(bytes_field(1, keys[-1].encode()))] + used))
    assert raw.malformed_aggregate


@pytest.mark.parametrize(("keys_max", "characters_max"), [(10, 1_000), (1_000, 30)])
def test_no_more_is_remembered_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch, keys_max: int, characters_max: int
) -> None:
    monkeypatch.setattr(key_table, "KEYS_REMEMBERED_MAX", keys_max)
    monkeypatch.setattr(key_table, "CHARACTERS_REMEMBERED_MAX", characters_max)
    hashes = KeyHashes()
    for count in (1, 4, 9, 10, 11, 40, 3):
        for start in range(0, 50, 7):
            keys = [f"k{index:02d}" for index in range(start, start + count)]
            assert hashes.outside(keys, LOWER_HALF) == {key for key in keys if is_outside(key, LOWER_HALF)}
            assert hashes.remembered <= keys_max
            assert hashes.remembered * 3 <= characters_max
    assert hashes.remembered


def test_a_python_without_its_own_md5_uses_hashlibs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "_md5", None)
    spec = importlib.util.find_spec("kcl_py.core.key_table")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.md5 is hashlib.md5
    assert module.KeyHashes().outside(["k", "l"], LOWER_HALF) == KeyHashes().outside(["k", "l"], LOWER_HALF)
