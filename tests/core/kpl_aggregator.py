"""Packs user records as the KPL does, written from the message definition and knowing nothing of the reader.

message AggregatedRecord { repeated string partition_key_table = 1; repeated string explicit_hash_key_table = 2;
                           repeated Record records = 3; }
message Record { required uint64 partition_key_index = 1; optional uint64 explicit_hash_key_index = 2;
                 required bytes data = 3; repeated Tag tags = 4; }
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

MAGIC = bytes([0xF3, 0x89, 0x9A, 0xC2])


class UserRecord(NamedTuple):
    """What a producer hands to the KPL."""

    partition_key: str
    data: bytes
    explicit_hash_key: str | None = None


def varint(number: int) -> bytes:
    """Base 128, least significant group first, a high bit on all but the last."""
    groups = [number & 127]
    while number := number >> 7:
        groups.append(number & 127)
    return bytes(group | 128 for group in groups[:-1]) + bytes(groups[-1:])


def number_field(number: int, value: int) -> bytes:
    return varint(number * 8) + varint(value)


def bytes_field(number: int, value: bytes) -> bytes:
    return varint(number * 8 + 2) + varint(len(value)) + value


def record_message(
    key_index: int, hash_key_index: int | None, data: bytes, tags: Sequence[tuple[str, str]] = ()
) -> bytes:
    message = number_field(1, key_index)
    if hash_key_index is not None:
        message += number_field(2, hash_key_index)
    message += bytes_field(3, data)
    for key, value in tags:
        message += bytes_field(4, bytes_field(1, key.encode()) + bytes_field(2, value.encode()))
    return message


def sealed(message: bytes) -> bytes:
    """Put the magic before a message and its MD5 behind it."""
    return MAGIC + message + hashlib.md5(message).digest()


def packed(user_records: Sequence[UserRecord]) -> bytes:
    """One aggregate; equal keys share an entry of their table."""
    keys = list(dict.fromkeys(record.partition_key for record in user_records))
    hash_keys = list(dict.fromkeys(r.explicit_hash_key for r in user_records if r.explicit_hash_key is not None))
    key_places = {key: index for index, key in enumerate(keys)}
    hash_key_places: dict[str | None, int] = {key: index for index, key in enumerate(hash_keys)}
    fields = [bytes_field(1, key.encode()) for key in keys]
    fields += [bytes_field(2, key.encode()) for key in hash_keys]
    fields += [
        bytes_field(
            3,
            record_message(
                key_places[record.partition_key], hash_key_places.get(record.explicit_hash_key), record.data
            ),
        )
        for record in user_records
    ]
    return sealed(b"".join(fields))
