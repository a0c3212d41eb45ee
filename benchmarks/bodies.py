"""The canned answers of the load source (`native/source.c`), and what is in them."""

import base64
import hashlib
import os
import struct
import zlib
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import msgspec

from tests.core.kpl_aggregator import UserRecord, packed

_HEAD = "500000"  # a sequence number of layout version 2, whose last 36 digits tell the shard
_STREAM_BEGIN = "490500"
_PADDING = 180
_SHARDS_MAX = 1_024
_LISTINGS = (1, 4, 8, 16, 256)
_HASH_KEYS = 2**128


class Body(msgspec.Struct, frozen=True):
    """One page: so many records of such a size, or so many aggregates of user records of that size."""

    name: str
    records: int
    size_bytes: int  # of one payload; of one user record's in an aggregate
    aggregated: int = 1  # user records in one record
    sharing_key: int = 1  # of them, how many have one partition key

    @property
    def user_records(self) -> int:
        """What one page brings to a processor."""
        return self.records * self.aggregated

    def page(self) -> dict[str, object]:
        """An answer of GetRecords, its numbers to be written over."""
        return {
            "Records": [self._record(index) for index in range(self.records)],
            "NextShardIterator": "A" * (len(self.name) + len(".0000.000000000.") + _PADDING),
            "MillisBehindLatest": 1_000,
        }

    def event(self) -> dict[str, object]:
        """The same as an event of SubscribeToShard."""
        return {
            "Records": [self._record(index) for index in range(self.records)],
            "ContinuationSequenceNumber": _number(max(self.records - 1, 0)),
            "MillisBehindLatest": 1_000,
        }

    def _record(self, index: int) -> dict[str, object]:
        return {
            "SequenceNumber": _number(index),
            "ApproximateArrivalTimestamp": 1_767_225_600.0 + index / 1_000 + 0.123,
            "Data": base64.b64encode(self.payload()).decode(),
            "PartitionKey": f"customer-{index:06d}",
            "EncryptionType": "NONE",
        }

    def payload(self) -> bytes:
        """Random bytes, or an aggregate of some."""
        if self.aggregated == 1:
            return os.urandom(self.size_bytes)
        # a producer puts into one aggregate what belongs into one shard: here the first of four, or the only one
        keys = list(islice(_keys_of_the_first(), -(-self.aggregated // self.sharing_key)))
        return packed(
            [
                UserRecord(keys[index // self.sharing_key], os.urandom(self.size_bytes))
                for index in range(self.aggregated)
            ]
        )


def of(records: int, size_bytes: int) -> Body:
    """A body of plain records, named after them."""
    size = f"{size_bytes // 1_000}KB" if size_bytes >= 1_000 else f"{size_bytes}B"
    return Body(f"{records}x{size}", records, size_bytes)


EMPTY = Body("empty", 0, 0)
AGGREGATED = Body("aggregated", 25, 100, aggregated=400)
_SHAPES = ((10_000, 100), (1_000, 100), (10_000, 1_000), (1_000, 1_000), (100, 1_000), (10, 1_000), (1, 1_000))
BODIES = {
    body.name: body
    for body in (*(of(*shape) for shape in _SHAPES), of(100, 100_000), of(10, 100_000), EMPTY, AGGREGATED)
}


def write(folder: Path) -> None:
    """Write everything that the load source serves."""
    folder.mkdir(parents=True, exist_ok=True)
    for body in BODIES.values():
        (folder / f"{body.name}.json").write_bytes(msgspec.json.encode(body.page()))
        (folder / f"{body.name}.event").write_bytes(frame("SubscribeToShardEvent", msgspec.json.encode(body.event())))
    (folder / "initial").write_bytes(frame("initial-response", b"{}"))
    (folder / "shards").write_text("".join(f"{_of_shard(index)}\n" for index in range(_SHARDS_MAX)))
    for shards in _LISTINGS:
        (folder / f"listing-{shards}").write_bytes(
            msgspec.json.encode({"Shards": [_shard(i, shards) for i in range(shards)]})
        )


def frame(kind: str, payload: bytes) -> bytes:
    """One message of `application/vnd.amazon.eventstream`."""
    names = {":message-type": "event", ":event-type": kind, ":content-type": "application/x-amz-json-1.1"}
    headers = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for name, value in names.items()
    )
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack("!I", zlib.crc32(message))


def _keys_of_the_first() -> Iterator[str]:
    """Partition keys that belong into the first of four shards, the same ones every time."""
    keys = (f"customer-{index:06d}" for index in count())
    return (key for key in keys if hashlib.md5(key.encode(), usedforsecurity=False).digest()[0] < 64)


def _number(index: int, head: str = _HEAD, shard: int = 0) -> str:
    return f"{head}{0:09d}{index:05d}{_of_shard(shard)}"


def _of_shard(index: int) -> str:
    # ten to the 36th is a multiple of two to the 36th: these digits alone decide the number's lowest 36 bits
    return f"{(index << 4) + 2:036d}"


def _shard(index: int, shards: int) -> dict[str, object]:
    return {
        "ShardId": f"shardId-{index:012d}",
        "HashKeyRange": {
            "StartingHashKey": str(_HASH_KEYS * index // shards),
            "EndingHashKey": str(_HASH_KEYS * (index + 1) // shards - 1),
        },
        "SequenceNumberRange": {"StartingSequenceNumber": _number(0, _STREAM_BEGIN, index)},
    }
