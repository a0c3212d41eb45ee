"""The user records that an aggregate begins with, made many at a time, as long as they have the usual shape.

That is a key index, no hash key, and data, with varints of at most two bytes: what most producers write. Nothing is
believed that was not looked at; a user record of another shape ends the run, and is for somebody else to read.
"""

import struct
from collections.abc import Iterable, Sequence
from itertools import count, repeat
from struct import Struct

from kcl_py.core.record import Record

RECORD_TAG, KEY_INDEX_TAG, DATA_TAG = 0x1A, 0x08, 0x1A  # field 3 of AggregatedRecord; fields 1 and 3 of its Record
SHORT = 0x4000
"""Below it a varint has at most two bytes."""

_ALIKE_MIN = 8  # fewer are read sooner one by one
_ALIKE_MAX = 512  # so that a look ahead costs little where they turn out not to be alike
_LOW, _HIGH = bytes(0x80 | n & 0x7F for n in range(SHORT)), bytes(n >> 7 for n in range(SHORT))  # of two-byte varints
_FIRST_OF_TWO, _LAST = bytes(range(0x80, 0x100)), bytes(range(0x80))  # bytes of a varint
_begin = Struct("9B").unpack_from  # of a user record: three tags, and three varints of at most two bytes
_PAYLOAD_BYTES = 256  # from here on, what is done for each byte counts for more
# by the size of a payload: it, and what the next user record begins with
_payload_and_begin = [Struct(f"{size}s9B").unpack_from for size in range(_PAYLOAD_BYTES)]


class RecordRun:
    """The user records at the beginning of an aggregate.

    Args:
        record: the aggregate.
        keys: those that stand before its user records.
    """

    def __init__(self, record: Record, keys: Sequence[str]) -> None:
        self._record = record
        self._keys = keys
        self.made: list[Record] = []

    def read(self, at: int, end: int, at_most: int) -> int:
        """Read in `data[at:end]`, behind which 16 more bytes must follow; return where the run ends."""
        made = self.made
        while (here := self._read_each(at, end, min(1, at_most - len(made)))) > at:
            alike = self._read_alike(at, here, end, at_most - len(made))
            if alike == here:
                return self._read_each(here, end, at_most - len(made))
            at = alike
        return at

    def _read_each(self, at: int, end: int, at_most: int) -> int:
        """Read one by one, and with each payload what the next user record begins with."""
        blob, keys, add, index = self._record.data, self._keys, self.made.append, len(self.made)
        number, arrival, keys_known = self._record.sequence_number, self._record.arrival_timestamp_seconds, len(keys)
        tag, size, key_tag, key, data_tag, data_size, a, b, c = _begin(blob, at)
        for sub_sequence_number in range(index, index + at_most):
            start, stop = at + 6, at + 2 + size
            if not size <= 0x7F >= key:
                if size > 0x7F:
                    start, stop = start + 1, stop + (key_tag << 7) - 0x7F
                    key_tag, key, data_tag, data_size, a, b = key, data_tag, data_size, a, b, c
                if key > 0x7F:
                    start, key = start + 1, key + (data_tag << 7) - 0x80
                    data_tag, data_size, a = data_size, a, b
                if data_size > 0x7F:
                    start, data_size = start + 1, data_size + (a << 7) - 0x80
                if stop - at >= SHORT or key >= SHORT:  # there is a third byte, which was not read
                    break
            is_usual = tag == data_tag == RECORD_TAG and key_tag == KEY_INDEX_TAG and start + data_size == stop
            if not is_usual or stop > end or key >= keys_known:
                break
            partition_key = keys[key]
            if data_size < _PAYLOAD_BYTES:
                begin = _payload_and_begin[data_size]
                payload, tag, size, key_tag, key, data_tag, data_size, a, b, c = begin(blob, start)
            else:
                payload = blob[start:stop]
                tag, size, key_tag, key, data_tag, data_size, a, b, c = _begin(blob, stop)
            add(Record(payload, partition_key, number, arrival, sub_sequence_number, None, True))
            at = stop
        return at

    def _read_alike(self, at: int, start: int, end: int, at_most: int) -> int:
        """Read what follows the user record in `data[at:start]` and is of its length and shape.

        Every byte that such user records begin with is a column, which is looked at as a whole, as are the payloads.

        Returns:
            Where they end: `start` if they are too few to be worth it.
        """
        blob, length, payload_size = self._record.data, start - at, len(self.made[-1].data)
        key_at = 4 if blob[at + 1] > 0x7F else 3
        some = min((end - start) // length, at_most, _ALIKE_MAX)
        key_bytes: list[bytes] = []
        for place in range(length - payload_size):
            if some < _ALIKE_MIN:
                return start
            allowed = blob[at + place : at + place + 1]
            column = blob[start + place : start + some * length : length]
            if place == key_at or (place == key_at + 1 and blob[at + key_at] > 0x7F):
                key_bytes.append(column)
                allowed = _FIRST_OF_TWO if allowed > b"\x7f" else _LAST
            some -= len(column.lstrip(allowed))
        columns = [column[:some] for column in key_bytes]
        if some < _ALIKE_MIN:
            return start
        partition_keys = self._keys_at(columns)
        if partition_keys is None:
            return start
        self._add(f"{length - payload_size}x{payload_size}s", blob[start : start + some * length], partition_keys)
        return start + some * length

    def _keys_at(self, columns: Sequence[bytes]) -> Iterable[str] | None:
        """The keys to which varints point that stand in such columns; None if one of them points at none."""
        low, *high = columns
        first = low[0] + (high[0][0] << 7) - 0x80 if high else low[0]
        run = slice(first, first + len(low))
        if (low, *high) == (_LOW[run], _HIGH[run]) if high else low == _LAST[run]:  # each has a key of its own
            return self._keys[run] if run.stop <= len(self._keys) else None
        indexes = [a + (b << 7) - 0x80 for a, b in zip(low, *high, strict=True)] if high else low
        return map(self._keys.__getitem__, indexes) if max(indexes) < len(self._keys) else None

    def _add(self, form: str, blob: bytes, partition_keys: Iterable[str]) -> None:
        number, arrival = self._record.sequence_number, self._record.arrival_timestamp_seconds
        payloads = [payload for (payload,) in struct.iter_unpack(form, blob)]
        places = count(len(self.made))
        # by position, and without a loop of our own: this is done for every user record that there is
        self.made += map(
            Record, payloads, partition_keys, repeat(number), repeat(arrival), places, repeat(None), repeat(True)
        )
