"""Describing a stream and listing its shards, against scripted answers."""

import pytest

from kcl_py.aws.kinesis import KinesisStream
from kcl_py.core.shard import HashRange
from kcl_py.errors import (
    KclError,
    ServiceUnavailable,
    StreamNotFound,
    Throttled,
)
from kcl_py.interfaces import ShardFilter
from tests.aws.kinesis_answers import ARN, ITERATOR, SHARD, page, shard, summary
from tests.aws.scripted_kinesis import (
    ScriptedKinesis,
    connected,
    refuses,
    says,
)


async def test_a_stream_is_described_by_the_services_own_clock(service: ScriptedKinesis, stream: KinesisStream) -> None:
    service.will("DescribeStreamSummary", says(summary(), headers={"Date": "Sun, 01 Mar 2026 09:00:00 GMT"}))

    description = await stream.describe()

    assert description.service_time_ms == 1772355600000
    assert description.incarnation == f"{ARN}@1772355600"
    assert description.retention_hours == 24


async def test_a_stream_that_is_being_deleted_does_not_exist(service: ScriptedKinesis, stream: KinesisStream) -> None:
    service.will("DescribeStreamSummary", says(summary("DELETING")))

    with pytest.raises(StreamNotFound, match="being deleted"):
        await stream.describe()


async def test_a_stream_that_is_being_created_is_waited_for(
    service: ScriptedKinesis, stream: KinesisStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kcl_py.aws.kinesis._CREATION_POLL_SECONDS", 0.0)
    service.will("DescribeStreamSummary", says(summary("CREATING")), says(summary("CREATING")), says(summary()))

    await stream.describe()

    assert len(service.sent("DescribeStreamSummary")) == 3


async def test_a_stream_that_stays_in_creation_is_given_up(
    service: ScriptedKinesis, stream: KinesisStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kcl_py.aws.kinesis._CREATION_WAIT_SECONDS", 0.0)
    service.will("DescribeStreamSummary", says(summary("CREATING")))

    with pytest.raises(ServiceUnavailable, match="still being created"):
        await stream.describe()


async def test_an_arn_addresses_the_stream_and_chooses_the_region(service: ScriptedKinesis) -> None:
    service.will("DescribeStreamSummary", says(summary()))
    service.will("GetRecords", says(page()))
    door = connected(service, ARN, region=None)

    await door.describe()
    await door.read(ITERATOR, 10)
    await door.close()

    assert service.sent("DescribeStreamSummary") == [{"StreamARN": ARN}]
    assert service.sent("GetRecords") == [{"ShardIterator": "AAAA", "Limit": 10, "StreamARN": ARN}]
    assert "/eu-west-1/kinesis/" in service.headers[0]["Authorization"]


async def test_later_pages_of_a_listing_are_asked_for_by_their_token_alone(
    service: ScriptedKinesis, stream: KinesisStream
) -> None:
    service.will("ListShards", says({"Shards": [shard(1)], "NextToken": "more"}), says({"Shards": [shard(0)]}))

    shards = await stream.list_shards(ShardFilter("AT_TIMESTAMP", timestamp_ms=1772355600250))

    assert [found.shard_id for found in shards] == ["shardId-000000000000", "shardId-000000000001"]
    assert service.sent("ListShards") == [
        {
            "StreamName": "orders",
            "MaxResults": 1000,
            "ShardFilter": {"Type": "AT_TIMESTAMP", "Timestamp": 1772355600},
        },
        {"NextToken": "more"},
    ]


async def test_a_shard_is_listed_once_with_both_parents_in_their_order(
    service: ScriptedKinesis, stream: KinesisStream
) -> None:
    closed = {"StartingSequenceNumber": "100", "EndingSequenceNumber": "199"}
    merged = shard(2, ParentShardId="shardId-000000000001", AdjacentParentShardId="shardId-000000000000")
    service.will(
        "ListShards",
        says({"Shards": [shard(0), merged], "NextToken": "more"}),
        says({"Shards": [shard(0, SequenceNumberRange=closed)]}),
    )

    first, second = await stream.list_shards()

    assert first.is_closed
    assert second.parent_shard_ids == ("shardId-000000000001", "shardId-000000000000")
    assert second.hash_range == HashRange(0, 2**128 - 1)


async def test_a_page_that_fails_is_tried_again_and_told(service: ScriptedKinesis) -> None:
    told: list[tuple[str, KclError]] = []
    door = connected(
        service, patience_seconds=30.0, on_retry=lambda operation, error, _: told.append((operation, error))
    )
    service.will(
        "ListShards",
        refuses("LimitExceededException"),
        refuses("ResourceInUseException"),
        refuses("InternalFailure", status=500),
        says({"Shards": [shard(0)]}),
    )

    assert len(await door.list_shards()) == 1
    await door.close()

    assert [operation for operation, _ in told] == ["kinesis:ListShards"] * 3
    assert isinstance(told[0][1], Throttled)


async def test_a_listing_is_complete_or_an_error(service: ScriptedKinesis, stream: KinesisStream) -> None:
    service.will(
        "ListShards", says({"Shards": [shard(0)], "NextToken": "more"}), refuses("InternalFailure", status=500)
    )

    with pytest.raises(ServiceUnavailable):
        await stream.list_shards()


async def test_a_listing_without_end_is_given_up(
    service: ScriptedKinesis, stream: KinesisStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kcl_py.aws.kinesis._PAGES_MAX", 3)
    service.will("ListShards", says({"Shards": [shard(0)], "NextToken": "more"}))

    with pytest.raises(ServiceUnavailable, match="does not end"):
        await stream.list_shards()


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"Shards": []},
        {"Shards": [{}]},
        {"Shards": [shard(0, HashKeyRange=None)]},
        {"Shards": [shard(0, SequenceNumberRange={"StartingSequenceNumber": "first"})]},
        {"Shards": [shard(0, ShardId=None)]},
    ],
)
async def test_a_listing_that_makes_no_sense_is_not_used(
    service: ScriptedKinesis, stream: KinesisStream, answer: dict[str, object]
) -> None:
    service.will("ListShards", says(answer))

    with pytest.raises(ServiceUnavailable):
        await stream.list_shards()


async def test_a_filter_may_let_nothing_through(service: ScriptedKinesis, stream: KinesisStream) -> None:
    service.will("ListShards", says({"Shards": []}))

    assert await stream.list_shards(ShardFilter("AFTER_SHARD_ID", shard_id=SHARD)) == ()
