"""Taking user records out of a KPL aggregate: all that its producer packed, or the raw record, never a part of either.

An aggregate is `F3 89 9A C2`, a protobuf message, and the message's MD5 (protocol reference, section 6.4). The whole
message is checked before the first user record is given out; after that nothing can fail, and user records are made one
at a time. What begins like an aggregate and does not parse is delivered as it came, flagged, with the reason. Every
record yields at least one. An aggregate inside an aggregate stays packed.
"""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator

import msgspec

from kcl_py.core.record import Record
from kcl_py.core.shard import HASH_KEY_MAX, HashRange

MAGIC = b"\xf3\x89\x9a\xc2"
USER_RECORDS_MAX = 1_000_000
"""More would mean under 4 bytes of payload each in the largest record that the service takes (10 MiB)."""
EXPANDED_BYTES_MAX = 256 * 1024 * 1024
"""Of payloads and partition keys, as often as each is delivered; 175,000 records with the longest key take 45 MB."""

_MD5_BYTES = 16
_KEY_TAG, _HASH_KEY_TAG, _RECORD_TAG = 0x0A, 0x12, 0x1A  # fields 1, 2 and 3 of AggregatedRecord, length-delimited
_KEY_INDEX_TAG, _HASH_KEY_INDEX_TAG, _DATA_TAG = 0x08, 0x10, 0x1A  # fields 1, 2 and 3 of its Record
_SHORT = 0x4000  # below it a varint has at most two bytes, which the quick path reads in place
_VARINT_BYTES_MAX = 10

Report = Callable[[Record, str], None]
"""Called with a record that is delivered raw, and why; the text carries no payload and no key."""


class _Malformed(Exception):
    """Why an aggregate does not parse."""


def unpack(record: Record, hash_range: HashRange | None, report: Report | None = None) -> Iterator[Record]:
    """Give the user records of `record`, lazily, or `record` itself if it is no aggregate.

    Args:
        record: as read from the shard.
        hash_range: the shard's; user records outside it are flagged. None: unknown, nothing is flagged.
        report: told about a record that claims to be an aggregate and is not.
    """
    return unpack_all((record,), hash_range, report)


def unpack_all(
    records: Iterable[Record], hash_range: HashRange | None, report: Report | None = None
) -> Iterator[Record]:
    """Give the user records of a page, in order and lazily; the arguments are those of `unpack`."""
    for record in records:
        if not record.data.startswith(MAGIC) or record.aggregated:
            yield record
            continue
        try:
            aggregate = _Aggregate(record.data)
        except _Malformed as malformed:
            raw = msgspec.structs.replace(record, malformed_aggregate=True)
            if report is not None:
                report(raw, str(malformed))
            yield raw
        else:
            yield from aggregate.user_records(record, hash_range)


class _Aggregate:
    """An aggregate that was checked through: where each user record's bytes lie in it, and the tables of keys.

    User record i is `blob[starts[i]:stops[i]]` with the keys `keys[key_indexes[i]]` and
    `hash_keys[hash_key_indexes[i]]`; entry 0 of `hash_keys` is None, for a record without one.
    """

    def __init__(self, blob: bytes) -> None:
        self.blob = blob
        self.keys: list[str] = []
        self.hash_keys: list[str | None] = [None]
        self.key_indexes, self.hash_key_indexes, self.starts, self.stops = (array("I") for _ in range(4))
        end = len(blob) - _MD5_BYTES
        if end <= len(MAGIC):
            raise _Malformed("too short")
        if hashlib.md5(blob[len(MAGIC) : end], usedforsecurity=False).digest() != blob[end:]:
            raise _Malformed("MD5 mismatch")
        self._read_message(len(MAGIC), end)
        self._check()

    def user_records(self, record: Record, hash_range: HashRange | None) -> Iterator[Record]:
        keys, hash_keys, blob = self.keys, self.hash_keys, self.blob
        is_key_outside = self._outside_by_key(hash_range)
        is_hash_key_outside = [key is not None and _is_outside(int(key), hash_range) for key in hash_keys]
        sequence_number, arrival = record.sequence_number, record.arrival_timestamp_seconds
        places = zip(self.key_indexes, self.hash_key_indexes, self.starts, self.stops, strict=True)
        for index, (key, hash_key, start, stop) in enumerate(places):
            yield Record(
                data=blob[start:stop],
                partition_key=keys[key],
                sequence_number=sequence_number,
                arrival_timestamp_seconds=arrival,
                sub_sequence_number=index,
                explicit_hash_key=hash_keys[hash_key],
                aggregated=True,
                outside_hash_range=is_hash_key_outside[hash_key] if hash_key else is_key_outside[key],
            )

    def _outside_by_key(self, hash_range: HashRange | None) -> list[bool]:
        if hash_range is None or hash_range == HashRange(0, HASH_KEY_MAX) or 0 not in self.hash_key_indexes:
            return [False] * len(self.keys)
        first, last = hash_range.start.to_bytes(16, "big"), hash_range.end.to_bytes(16, "big")
        md5 = hashlib.md5
        return [not first <= md5(key.encode(), usedforsecurity=False).digest() <= last for key in self.keys]

    def _read_message(self, at: int, end: int) -> None:
        """Read every field of AggregatedRecord in `blob[at:end]`.

        Runs of the shapes that producers write are read in place, all else field by field. Reading in place never
        leaves the blob, because it looks ahead at 12 bytes at most and the MD5 still follows `end`.
        """
        while at < end:
            at = self._read_short_records(self._read_short_keys(at, end), end)
            if at < end:
                at = self._read_field(at, end)

    def _read_short_keys(self, at: int, end: int) -> int:
        """Read partition keys of under 128 bytes for as long as they follow one another; return where that ends."""
        blob, append = self.blob, self.keys.append
        try:
            while blob[at] == _KEY_TAG and (size := blob[at + 1]) < 0x80 and (stop := at + 2 + size) <= end:
                append(blob[at + 2 : stop].decode())
                at = stop
        except UnicodeDecodeError:
            raise _Malformed("a key is not UTF-8") from None
        return at

    def _read_short_records(self, at: int, end: int) -> int:
        """Read records whose fields stand in order, with varints of one or two bytes; return where that ends."""
        blob = self.blob
        add_key, add_hash_key = self.key_indexes.append, self.hash_key_indexes.append
        add_start, add_stop = self.starts.append, self.stops.append
        while at < end and blob[at] == _RECORD_TAG:
            size, here = blob[at + 1], at + 2
            if size > 0x7F:
                size += (blob[here] << 7) - 0x80
                here += 1
            stop = here + size
            key, hash_key, is_usual = blob[here + 1], 0, blob[here] == _KEY_INDEX_TAG
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
            is_usual = is_usual and blob[here] == _DATA_TAG
            size, start = blob[here + 1], here + 2
            if size > 0x7F:
                size += (blob[start] << 7) - 0x80
                start += 1
            is_short = stop - at < _SHORT and key < _SHORT and hash_key <= _SHORT  # else a third byte was not read
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
        tag, body, stop, _ = _field(self.blob, at, end)
        if tag == _KEY_TAG:
            self.keys.append(_text(self.blob[body:stop]))
        elif tag == _HASH_KEY_TAG:
            self.hash_keys.append(_hash_key(self.blob[body:stop]))
        elif tag == _RECORD_TAG:
            self._read_record(body, stop)
        elif tag >> 3 in (1, 2, 3):
            raise _Malformed("a field has the wrong wire type")
        return stop

    def _read_record(self, at: int, end: int) -> None:
        """Read one Record in any form that protobuf allows: fields in any order, the last of several counts."""
        key = data = None
        hash_key = 0
        while at < end:
            tag, body, at, value = _field(self.blob, at, end)
            if tag == _KEY_INDEX_TAG:
                key = value
            elif tag == _HASH_KEY_INDEX_TAG:
                hash_key = value + 1
            elif tag == _DATA_TAG:
                data = body, at
            elif tag >> 3 in (1, 2, 3):
                raise _Malformed("a field of a user record has the wrong wire type")
        if key is None or data is None:
            raise _Malformed("a user record lacks its partition key or its data")
        if max(key, hash_key) > USER_RECORDS_MAX:
            raise _Malformed("an index points outside its table")
        self.key_indexes.append(key)
        self.hash_key_indexes.append(hash_key)
        self.starts.append(data[0])
        self.stops.append(data[1])

    def _check(self) -> None:
        """Check what only the whole message can tell."""
        count = len(self.key_indexes)
        if not count:
            raise _Malformed("no user records")
        if max(count, len(self.keys), len(self.hash_keys)) > USER_RECORDS_MAX:
            raise _Malformed(f"more than {USER_RECORDS_MAX} user records or keys")
        if max(self.key_indexes) >= len(self.keys) or max(self.hash_key_indexes) >= len(self.hash_keys):
            raise _Malformed("an index points outside its table")
        key_bytes = [len(key.encode()) for key in self.keys] if len(self.blob) * count > EXPANDED_BYTES_MAX else []
        if key_bytes and len(self.blob) + sum(key_bytes[key] for key in self.key_indexes) > EXPANDED_BYTES_MAX:
            raise _Malformed(f"more than {EXPANDED_BYTES_MAX} bytes of payloads and partition keys")


def _is_outside(hash_key: int, hash_range: HashRange | None) -> bool:
    return hash_range is not None and hash_key not in hash_range


def _text(encoded: bytes) -> str:
    try:
        return encoded.decode()
    except UnicodeDecodeError:
        raise _Malformed("a key is not UTF-8") from None


def _hash_key(encoded: bytes) -> str:
    if encoded.isdigit() and len(encoded) <= len(str(HASH_KEY_MAX)) and int(encoded) <= HASH_KEY_MAX:
        return encoded.decode()
    raise _Malformed("an explicit hash key is not a decimal number of 128 bits")


def _field(blob: bytes, at: int, end: int) -> tuple[int, int, int, int]:
    """Read the field at `at`: its tag, where its body begins and ends, and its value if it is a varint, else 0."""
    tag, body = _varint(blob, at, end)
    stop, value = body, 0
    match tag & 7:
        case 0:
            value, stop = _varint(blob, body, end)
        case 1:
            stop = body + 8
        case 2:
            size, body = _varint(blob, body, end)
            stop = body + size
        case 5:
            stop = body + 4
        case _:
            raise _Malformed("a field has an unknown wire type")
    if tag >> 3 == 0 or stop > end:
        raise _Malformed("a field has no number, or runs past its message")
    return tag, body, stop, value


def _varint(blob: bytes, at: int, end: int) -> tuple[int, int]:
    """Read a varint: its value and where it ends."""
    value = shift = 0
    for place in range(at, min(end, at + _VARINT_BYTES_MAX)):
        byte = blob[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + 1
        shift += 7
    raise _Malformed("a varint does not end")
