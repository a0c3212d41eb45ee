"""Puts records into a stream, for `kcl-py put` and the demo."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from kcl_py.aws.calls import MalformedAnswer
from kcl_py.aws.connection import Connection
from kcl_py.errors import Throttled

RECORDS_MAX = 500
BYTES_MAX = 5 * 1024 * 1024
"""Of one PutRecords request: the service's first limit, which every endpoint takes."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A record to put."""

    data: bytes
    partition_key: str  # 1 to 256 characters
    explicit_hash_key: str | None = None  # decimal, 0 to 2**128 - 1; chooses the shard instead of the key's MD5

    def __repr__(self) -> str:
        """Tell its size only: payloads and keys never reach a log by accident."""
        return f"Entry({len(self.data)} B)"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """The same for rich, which would otherwise print every field."""
        return [("bytes", len(self.data))]

    @property
    def size_bytes(self) -> int:
        """What counts against the limits."""
        return len(self.data) + len(self.partition_key.encode())


class Producer:
    """Puts records by PutRecords, and puts again what the service did not take."""

    def __init__(self, connection: Connection) -> None:
        """Put through `connection`, which is closed with this."""
        self._connection = connection
        self.accepted = 0  # records that the service says it took

    async def put(self, entries: Sequence[Entry]) -> None:
        """Put every entry at least once; a request whose answer is lost is sent again.

        Entries that are throttled are put after those that were not, so order is kept only where nothing is refused.

        Raises:
            KclError: some entries were not taken; `accepted` counts those that were.
        """
        for batch in batches(entries):
            await self._put_batch(batch)

    async def close(self) -> None:
        """Let go of the connections. May be called again."""
        await self._connection.close()

    async def _put_batch(self, batch: Sequence[Entry]) -> None:
        # one request's parameters for all attempts: what was taken is dropped from them before the next one
        parameters: dict[str, Any] = self._connection.address | {"Records": [_parameter(entry) for entry in batch]}

        def read(answer: Mapping[str, Any]) -> None:
            sent, results = parameters["Records"], answer["Records"]
            if len(results) != len(sent):
                raise MalformedAnswer("as many results as records were expected")
            refused = [entry for entry, result in zip(sent, results, strict=True) if result.get("ErrorCode")]
            self.accepted += len(sent) - len(refused)
            parameters["Records"] = refused
            if refused:
                codes = sorted({str(result["ErrorCode"]) for result in results if result.get("ErrorCode")})
                raise Throttled(
                    f"kinesis:PutRecords on stream {self._connection.stream_name} did not take {len(refused)} of "
                    f"{len(sent)} records ({', '.join(codes)})"
                )

        await self._connection.patiently("PutRecords", parameters, read)


def batches(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Cut into requests, each within the service's limits unless a single entry is above them."""
    batch: list[Entry] = []
    size_bytes = 0
    for entry in entries:
        if batch and (len(batch) == RECORDS_MAX or size_bytes + entry.size_bytes > BYTES_MAX):
            yield batch
            batch, size_bytes = [], 0
        batch.append(entry)
        size_bytes += entry.size_bytes
    if batch:
        yield batch


def _parameter(entry: Entry) -> dict[str, Any]:
    parameter: dict[str, Any] = {"Data": entry.data, "PartitionKey": entry.partition_key}
    if entry.explicit_hash_key is not None:
        parameter["ExplicitHashKey"] = entry.explicit_hash_key
    return parameter
