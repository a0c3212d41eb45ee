"""The numbers of the service: what a stream admits, how long things last."""

from typing import Self

import msgspec

MIB = 1024 * 1024
HOUR_MS = 3_600_000
_UNBOUNDED = 10**12


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits and durations of one model. The defaults are the service's own, except that changes take no time.

    Sources: the API reference of each operation (version 2013-12-02, with the 10 MiB requests of 2025) and the page
    "Quotas and limits" of the developer guide.

    Attributes:
        reads_per_second: GetRecords calls per shard, in any window of one second.
        read_bytes_per_second: what GetRecords may return per shard; a page may overdraw it and is paid back by silence.
        iterators_per_second: GetShardIterator calls per shard, in any window of one second.
        put_records_per_second: records that a shard takes.
        put_bytes_per_second: payload and key bytes that a shard takes.
        put_records_max: records of one PutRecords request.
        put_request_bytes_max: payload and key bytes of one PutRecords request.
        record_kib_max: payload and key of one record, unless the stream was created with another MaxRecordSizeInKiB.
        page_records_max: records that one GetRecords answer holds.
        page_bytes_max: payload and key bytes that one GetRecords answer holds; one record always fits.
        listing_page_default: shards in one ListShards answer when MaxResults is absent.
        iterator_lifetime_ms: how long a shard iterator can be used.
        listing_token_lifetime_ms: how long a NextToken of ListShards can be used.
        retention_hours_default: retention of a new stream.
        retention_hours_max: what IncreaseStreamRetentionPeriod goes up to.
        shards_max: open shards of the account.
        on_demand_shards: shards of a new ON_DEMAND stream.
        scalings_per_day: UpdateShardCount calls per stream in any 24 hours.
        creating_ms: how long a new stream is CREATING.
        updating_ms: how long a stream is UPDATING before a reshard takes effect; it is read and written meanwhile.
        deleting_ms: how long a stream is DELETING.
        consumers_max: enhanced fan-out consumers of a stream.
        registrations_max: consumers that are CREATING at the same time; taken to be the account's, as the rate is.
        consumer_creating_ms: how long a new consumer is CREATING.
        consumer_deleting_ms: how long a consumer is DELETING.
        subscription_lifetime_ms: how long a subscription lasts.
        takeover_ms: how long after a subscription another one of the same consumer to the same shard is refused.
        heartbeat_ms: how long a subscription says nothing when there is nothing to say (assumed; not published).
        subscription_bytes_per_second: what is pushed of a shard to a consumer.
        event_records_max: records that one event holds (assumed; not published).
        event_bytes_max: payload and key bytes that one event holds; one record always fits (assumed; not published).
    """

    reads_per_second: int = 5
    read_bytes_per_second: int = 2 * MIB
    iterators_per_second: int = 5
    put_records_per_second: int = 1_000
    put_bytes_per_second: int = MIB
    put_records_max: int = 500
    put_request_bytes_max: int = 10 * MIB
    record_kib_max: int = 1_024
    page_records_max: int = 10_000
    page_bytes_max: int = 10 * MIB
    listing_page_default: int = 1_000
    iterator_lifetime_ms: int = 300_000
    listing_token_lifetime_ms: int = 300_000
    retention_hours_default: int = 24
    retention_hours_max: int = 8_760
    shards_max: int = 20_000
    on_demand_shards: int = 4
    scalings_per_day: int = 10
    creating_ms: int = 0
    updating_ms: int = 0
    deleting_ms: int = 0
    consumers_max: int = 20
    registrations_max: int = 5
    consumer_creating_ms: int = 0
    consumer_deleting_ms: int = 0
    subscription_lifetime_ms: int = 300_000
    takeover_ms: int = 5_000
    heartbeat_ms: int = 5_000
    subscription_bytes_per_second: int = 2 * MIB
    event_records_max: int = 10_000
    event_bytes_max: int = MIB

    @classmethod
    def unthrottled(cls) -> Self:
        """The real limits, except that nothing is refused for coming too fast."""
        return cls(
            reads_per_second=_UNBOUNDED,
            read_bytes_per_second=_UNBOUNDED,
            iterators_per_second=_UNBOUNDED,
            put_records_per_second=_UNBOUNDED,
            put_bytes_per_second=_UNBOUNDED,
            scalings_per_day=_UNBOUNDED,
            subscription_bytes_per_second=_UNBOUNDED,
        )
