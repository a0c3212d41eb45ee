"""A record as the user sees it, shared by every way of reading."""

from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta, Struct, field

Moment = Annotated[float, Meta(ge=0.0, le=253_402_300_799.0)]
"""Seconds since the epoch, up to the last that a datetime holds. Decoding checks it; making a record does not."""


class Record(Struct, frozen=True, gc=False):
    """One user record. A KPL aggregate yields many, which share a sequence number and differ in `sub_sequence_number`.

    Decoded straight from what the service sends, so that no record is ever copied: the first four have the names of the
    API reference's Record on the wire. The others are set by de-aggregation, and the service has no such names.

    Attributes:
        data: the payload, as the producer put it.
        partition_key: the key that chose the shard; records of one key arrive in put order.
        sequence_number: decimal digits, increasing within a shard.
        sub_sequence_number: place inside a KPL aggregate from 0; 0 for a plain record.
        arrival_timestamp_seconds: when the service accepted the record, seconds since the epoch.
        explicit_hash_key: decimal 128-bit hash that a KPL producer chose instead of MD5(partition_key), else None.
        aggregated: True for a record taken out of a KPL aggregate.
        outside_hash_range: True for an aggregated record whose hash is not in the shard's range: the producer
            aggregated it before a reshard.
        malformed_aggregate: True for a record that begins with the KPL magic and does not parse; `data` is the raw
            payload.
    """

    data: bytes = field(name="Data")
    partition_key: str = field(name="PartitionKey")
    sequence_number: str = field(name="SequenceNumber")
    arrival_timestamp_seconds: Moment = field(name="ApproximateArrivalTimestamp")
    sub_sequence_number: int = 0
    explicit_hash_key: str | None = None
    aggregated: bool = False
    outside_hash_range: bool = False
    malformed_aggregate: bool = False

    @property
    def approximate_arrival_timestamp(self) -> datetime:
        """When the service accepted the record, UTC, millisecond precision."""
        return datetime.fromtimestamp(self.arrival_timestamp_seconds, UTC)

    def __repr__(self) -> str:
        """Name the record by its place only: payloads and keys never reach a log by accident."""
        return f"Record({self.sequence_number}/{self.sub_sequence_number}, {len(self.data)} B)"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """The same for rich, which would otherwise print every field."""
        return [("place", f"{self.sequence_number}/{self.sub_sequence_number}"), ("bytes", len(self.data))]
