"""A KPL aggregate, checked through: every user record in it can be made, or it is none."""

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Set
from itertools import islice

import msgspec

from kcl_py.core import protobuf
from kcl_py.core.key_table import KEY_TAG, KeyHashes, short_keys
from kcl_py.core.protobuf import Malformed
from kcl_py.core.record import Record
from kcl_py.core.record_run import DATA_TAG, KEY_INDEX_TAG, RECORD_TAG, SHORT, RecordRun
from kcl_py.core.shard import HASH_KEY_MAX, HashRange

MAGIC = b"\xf3\x89\x9a\xc2"
USER_RECORDS_MAX = 1_000_000
"""More would mean under 4 bytes of payload each in the largest record that the service takes (10 MiB)."""
EXPANDED_BYTES_MAX = 256 * 1024 * 1024
"""Of payloads and partition keys, as often as each is delivered; 175,000 records with the longest key take 45 MB."""
MADE_AT_ONCE_MAX = 10_000
"""User records that exist together before somebody asks for more."""

_MD5_BYTES = 16
_HASH_KEY_TAG, _HASH_KEY_INDEX_TAG = 0x12, 0x10  # field 2 of AggregatedRecord, and of its Record
_KEY_HASHES = KeyHashes()  # of all shards, so that what is remembered has one bound


class Aggregate:
    """An aggregate that was checked through: its first user records, and where each of the others lies in it.

    The first ones are made while the message is read, which is the quickest way, as long as they have the usual shape;
    they are given out when all the others have been read too. User record i of the others is `blob[starts[i]:stops[i]]`
    with the keys `keys[key_indexes[i]]`
    and `hash_keys[hash_key_indexes[i]]`; entry 0 of `hash_keys` is None, for a record without one.
    """

    def __init__(self, record: Record, hash_range: HashRange | None) -> None:
        """Check a record.

        Args:
            record: as read from the shard.
            hash_range: the shard's; user records outside it are flagged. None: unknown, nothing is flagged.

        Raises:
            Malformed: it is no aggregate.
        """
        self.blob = blob = record.data
        self.keys: list[str] = []
        self.hash_keys: list[str | None] = [None]
        self.key_indexes, self.hash_key_indexes, self.starts, self.stops = (array("I") for _ in range(4))
        self._record = record
        self._hash_range = hash_range
        self._made: list[Record] = []
        end = len(blob) - _MD5_BYTES
        if end <= len(MAGIC):
            raise Malformed("too short")
        if hashlib.md5(memoryview(blob)[len(MAGIC) : end], usedforsecurity=False).digest() != blob[end:]:
            raise Malformed("MD5 mismatch")
        self.keys, at = short_keys(blob, len(MAGIC), end)
        first = RecordRun(record, self.keys)
        at = first.read(at, end, MADE_AT_ONCE_MAX)
        self._made = first.made
        self._read_message(at, end)
        self._check()

    def user_records(self) -> Iterator[list[Record]]:
        """Give them in order, in lists of at most `MADE_AT_ONCE_MAX`. To be called once."""
        made, self._made = self._made, []
        is_hashed = made or 0 in self.hash_key_indexes
        outside = _KEY_HASHES.outside(self.keys, self._hash_range) if is_hashed else frozenset()
        first = len(made)
        if made:
            _flag(made, outside)
            yield made
            made = []  # whoever asked for them may have let them go
        if self.key_indexes:
            places = self._others(first, outside)
            while some := list(islice(places, MADE_AT_ONCE_MAX)):
                yield some

    def _others(self, index: int, outside: Set[str]) -> Iterator[Record]:
        keys, hash_keys, blob = self.keys, self.hash_keys, self.blob
        is_key_outside = [key in outside for key in keys]
        is_hash_key_outside = [key is not None and self._is_outside(int(key)) for key in hash_keys]
        sequence_number, arrival = self._record.sequence_number, self._record.arrival_timestamp_seconds
        places = zip(self.key_indexes, self.hash_key_indexes, self.starts, self.stops, strict=True)
        for sub_sequence_number, (key, hash_key, start, stop) in enumerate(places, index):
            yield Record(
                data=blob[start:stop],
                partition_key=keys[key],
                sequence_number=sequence_number,
                arrival_timestamp_seconds=arrival,
                sub_sequence_number=sub_sequence_number,
                explicit_hash_key=hash_keys[hash_key],
                aggregated=True,
                outside_hash_range=is_hash_key_outside[hash_key] if hash_key else is_key_outside[key],
            )

    def _is_outside(self, hash_key: int) -> bool:
        return self._hash_range is not None and hash_key not in self._hash_range

    def _read_message(self, at: int, end: int) -> None:
        """Read every field of AggregatedRecord in `blob[at:end]`.

        Runs of the shapes that producers write are read in place, all else field by field. Reading in place never
        leaves the blob, because it looks ahead at 12 bytes at most and the MD5 still follows `end`.
        """
        while at < end:
            keys, at = short_keys(self.blob, at, end)
            self.keys += keys
            at = self._read_short_records(at, end)
            if at < end:
                at = self._read_field(at, end)

    def _read_short_records(self, at: int, end: int) -> int:
        """Read records whose fields stand in order, with varints of one or two bytes; return where that ends."""
        blob = self.blob
        add_key, add_hash_key = self.key_indexes.append, self.hash_key_indexes.append
        add_start, add_stop = self.starts.append, self.stops.append
        while at < end and blob[at] == RECORD_TAG:
            size, here = blob[at + 1], at + 2
            if size > 0x7F:
                size += (blob[here] << 7) - 0x80
                here += 1
            stop = here + size
            key, hash_key, is_usual = blob[here + 1], 0, blob[here] == KEY_INDEX_TAG
            here += 2
            if key > 0x7F:
                key += (blob[here] << 7) - 0x80
                here += 1
            if blob[here] == _HASH_KEY_INDEX_TAG:
                hash_key = blob[here + 1] + 1
                here += 2
                if hash_key > 0x80:
                    hash_key += (blob[here] << 7) - 0x80
                    here += 1
            is_usual = is_usual and blob[here] == DATA_TAG
            size, start = blob[here + 1], here + 2
            if size > 0x7F:
                size += (blob[start] << 7) - 0x80
                start += 1
            is_short = stop - at < SHORT and key < SHORT and hash_key <= SHORT  # else a third byte was not read
            if not (is_usual and is_short and start + size == stop <= end):
                return at
            add_key(key)
            add_hash_key(hash_key)
            add_start(start)
            add_stop(stop)
            at = stop
        return at

    def _read_field(self, at: int, end: int) -> int:
        """Read one field of AggregatedRecord in any form that protobuf allows; return where the next one begins."""
        tag, body, stop, _ = protobuf.field(self.blob, at, end)
        if tag == KEY_TAG:
            self.keys.append(_text(self.blob[body:stop]))
        elif tag == _HASH_KEY_TAG:
            self.hash_keys.append(_hash_key(self.blob[body:stop]))
        elif tag == RECORD_TAG:
            self._read_record(body, stop)
        elif tag >> 3 in (1, 2, 3):
            raise Malformed("a field has the wrong wire type")
        return stop

    def _read_record(self, at: int, end: int) -> None:
        """Read one Record in any form that protobuf allows: fields in any order, the last of several counts."""
        key = data = None
        hash_key = 0
        while at < end:
            tag, body, at, value = protobuf.field(self.blob, at, end)
            if tag == KEY_INDEX_TAG:
                key = value
            elif tag == _HASH_KEY_INDEX_TAG:
                hash_key = value + 1
            elif tag == DATA_TAG:
                data = body, at
            elif tag >> 3 in (1, 2, 3):
                raise Malformed("a field of a user record has the wrong wire type")
        if key is None or data is None:
            raise Malformed("a user record lacks its partition key or its data")
        if max(key, hash_key) > USER_RECORDS_MAX:
            raise Malformed("an index points outside its table")
        self.key_indexes.append(key)
        self.hash_key_indexes.append(hash_key)
        self.starts.append(data[0])
        self.stops.append(data[1])

    def _check(self) -> None:
        """Check what only the whole message can tell."""
        count = len(self._made) + len(self.key_indexes)
        if not count:
            raise Malformed("no user records")
        if max(count, len(self.keys), len(self.hash_keys)) > USER_RECORDS_MAX:
            raise Malformed(f"more than {USER_RECORDS_MAX} user records or keys")
        is_key_known = max(self.key_indexes, default=-1) < len(self.keys)
        if not is_key_known or max(self.hash_key_indexes, default=-1) >= len(self.hash_keys):
            raise Malformed("an index points outside its table")
        if len(self.blob) * count > EXPANDED_BYTES_MAX and self._expanded_bytes() > EXPANDED_BYTES_MAX:
            raise Malformed(f"more than {EXPANDED_BYTES_MAX} bytes of payloads and partition keys")

    def _expanded_bytes(self) -> int:
        key_bytes = [len(key.encode()) for key in self.keys]
        made = sum(len(record.partition_key.encode()) for record in self._made)
        return len(self.blob) + made + sum(key_bytes[key] for key in self.key_indexes)


def _flag(records: Iterable[Record], outside: Set[str]) -> None:
    """Flag those with such a key, which nobody has seen yet: so frozen ones may be changed."""
    if outside:
        for record in records:
            if record.partition_key in outside:
                msgspec.structs.force_setattr(record, "outside_hash_range", True)


def _text(encoded: bytes) -> str:
    try:
        return encoded.decode()
    except UnicodeDecodeError:
        raise Malformed("a key is not UTF-8") from None


def _hash_key(encoded: bytes) -> str:
    if encoded.isdigit() and len(encoded) <= len(str(HASH_KEY_MAX)) and int(encoded) <= HASH_KEY_MAX:
        return encoded.decode()
    raise Malformed("an explicit hash key is not a decimal number of 128 bits")
