"""The Stream door, against a Kinesis whose every answer is scripted."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from kcl_py.aws.connection import Connection
from kcl_py.aws.kinesis import KinesisStream
from kcl_py.core.position import ReadFrom
from kcl_py.core.shard import HashRange
from kcl_py.errors import (
    AccessDenied,
    ConfigError,
    CredentialsError,
    EncryptionKeyError,
    IteratorExpired,
    KclError,
    SequenceRefused,
    ServiceUnavailable,
    StreamError,
    StreamNotFound,
    Throttled,
)
from kcl_py.interfaces import ShardFilter
from tests.aws.scripted_kinesis import (
    ScriptedKinesis,
    drips,
    hangs_up,
    refuses,
    says,
    says_nothing,
    says_text,
    scripted_kinesis,
)

ARN = "arn:aws:kinesis:eu-west-1:000000000000:stream/orders"
SHARD = "shardId-000000000000"
ITERATOR = f"{SHARD} AAAA"
FULL = {"StartingHashKey": "0", "EndingHashKey": str(2**128 - 1)}
RESHARDING = ReadFrom("AT_SEQUENCE_NUMBER", sequence_number="21")


def number_of(shard_index: int, place: int) -> str:
    return str((2 << 184) + (place << 80) + (shard_index << 4) + 2)


def record(sequence_number: str = "21", **changes: object) -> dict[str, object]:
    plain: dict[str, object] = {
        "Data": "aGVsbG8=",
        "PartitionKey": "ä",
        "SequenceNumber": sequence_number,
        "ApproximateArrivalTimestamp": 1772355600.25,
    }
    return {key: value for key, value in (plain | changes).items() if value is not None}


def page(*records: object, **more: object) -> dict[str, object]:
    return {"Records": list(records), "NextShardIterator": "BBBB", "MillisBehindLatest": 0} | more


def shard(index: int, **changes: object) -> dict[str, object]:
    return {
        "ShardId": f"shardId-{index:012d}",
        "HashKeyRange": FULL,
        "SequenceNumberRange": {"StartingSequenceNumber": str(100 + index)},
    } | changes


def summary(status: str = "ACTIVE", **changes: object) -> dict[str, object]:
    plain = {
        "StreamName": "orders",
        "StreamARN": ARN,
        "StreamStatus": status,
        "RetentionPeriodHours": 24,
        "StreamCreationTimestamp": 1772355600.9,
        "EnhancedMonitoring": [],
        "OpenShardCount": 1,
    }
    return {"StreamDescriptionSummary": plain | changes}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedKinesis]:
    monkeypatch.setattr("kcl_py.aws.calls._PAUSE", lambda attempt: 0.0)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with scripted_kinesis() as scripted:
        yield scripted


@pytest.fixture
async def stream(service: ScriptedKinesis) -> AsyncIterator[KinesisStream]:
    door = connected(service)
    yield door
    await door.close()


def connected(service: ScriptedKinesis, stream: str = "orders", **options: Any) -> KinesisStream:
    settings: dict[str, Any] = {
        "endpoint_url": service.endpoint_url,
        "region": "eu-west-1",
        "patience_seconds": 0.0,
    } | options
    return KinesisStream(Connection(stream, **settings))


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


@pytest.mark.parametrize(
    ("position", "parameters"),
    [
        (ReadFrom("LATEST"), {"ShardIteratorType": "LATEST"}),
        (RESHARDING, {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": "21"}),
        (
            ReadFrom("AT_TIMESTAMP", timestamp_ms=1772355600250),
            {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": 1772355600},
        ),
    ],
)
async def test_a_read_is_opened_where_it_was_asked_for(
    service: ScriptedKinesis, stream: KinesisStream, position: ReadFrom, parameters: dict[str, object]
) -> None:
    service.will("GetShardIterator", says({"ShardIterator": "AAAA"}))

    assert await stream.open(SHARD, position) == ITERATOR
    assert service.sent("GetShardIterator") == [{"StreamName": "orders", "ShardId": SHARD, **parameters}]


async def test_a_page_holds_its_records_and_the_way_on(service: ScriptedKinesis, stream: KinesisStream) -> None:
    service.will("GetRecords", says(page(record("21"), record("22"), MillisBehindLatest=1500)))

    read = await stream.read(ITERATOR, 10_000)

    assert [found.sequence_number for found in read.records] == ["21", "22"]
    assert read.records[0].data == b"hello"
    assert read.records[0].arrival_timestamp_seconds == 1772355600.25
    assert read.millis_behind_latest == 1500
    assert read.size_bytes == 14
    assert read.next_iterator == f"{SHARD} BBBB"


async def test_the_iterator_of_a_page_reads_the_next_one(service: ScriptedKinesis, stream: KinesisStream) -> None:
    service.will("GetRecords", says(page()))

    first = await stream.read(ITERATOR, 1)
    assert first.next_iterator is not None
    await stream.read(first.next_iterator, 1)

    assert [sent["ShardIterator"] for sent in service.sent("GetRecords")] == ["AAAA", "BBBB"]


@pytest.mark.parametrize("end", [{"NextShardIterator": None}, {"NextShardIterator": ""}, "left out"])
async def test_no_next_iterator_is_the_last_page_however_it_is_written(
    service: ScriptedKinesis, stream: KinesisStream, end: dict[str, object] | str
) -> None:
    last = page(record())
    if isinstance(end, str):
        del last["NextShardIterator"]
    else:
        last |= end
    service.will("GetRecords", says(last))

    assert (await stream.read(ITERATOR, 1)).next_iterator is None


async def test_children_come_sorted(service: ScriptedKinesis, stream: KinesisStream) -> None:
    children = [{"ShardId": f"shardId-{index:012d}", "ParentShards": [SHARD], "HashKeyRange": FULL} for index in (3, 2)]
    service.will("GetRecords", says(page(NextShardIterator=None, ChildShards=children)))

    read = await stream.read(ITERATOR, 1)

    assert [child.shard_id for child in read.child_shards] == ["shardId-000000000002", "shardId-000000000003"]
    assert read.child_shards[0].parent_shard_ids == (SHARD,)


@pytest.mark.parametrize(
    "answer",
    [
        says({"NextShardIterator": "BBBB"}),
        says({"Records": 5}),
        says({"Records": [5]}),
        says({"Records": [{}]}),
        says({"Records": [record(SequenceNumber=None)]}),
        says({"Records": [record("twenty-one")]}),
        says({"Records": [record(Data=None)]}),
        says({"Records": [record(Data="not base64")]}),
        says({"Records": [record(PartitionKey=None)]}),
        says({"Records": [record(ApproximateArrivalTimestamp="never")]}),
        says({"Records": [], "MillisBehindLatest": "many"}),
        says({"Records": [], "ChildShards": [{}]}),
        says([]),
        says_text("<html>It works!</html>"),
        says_text('{"Records": ['),
        says_text(""),
        says_text("", status=503),
        says_text("<html>Bad gateway</html>", status=502),
        hangs_up,
    ],
)
async def test_an_answer_that_makes_no_sense_delivers_nothing(
    service: ScriptedKinesis, stream: KinesisStream, answer: Any
) -> None:
    service.will("GetRecords", answer)

    with pytest.raises(ServiceUnavailable) as refused:
        await stream.read(ITERATOR, 1)

    assert "kinesis:GetRecords on stream orders" in str(refused.value)
    assert len(service.requests) == 1


@pytest.mark.parametrize("records", [(number_of(0, 1), number_of(1, 2)), (number_of(1, 1), number_of(0, 2))])
async def test_a_page_of_another_shard_is_refused(
    service: ScriptedKinesis, stream: KinesisStream, records: tuple[str, str]
) -> None:
    service.will("GetRecords", says(page(*map(record, records))))

    with pytest.raises(ServiceUnavailable, match="records of shardId-000000000001 instead of shardId-000000000000"):
        await stream.read(ITERATOR, 1)


async def test_a_sequence_number_that_tells_its_shard_is_checked_against_the_right_one(
    service: ScriptedKinesis, stream: KinesisStream
) -> None:
    service.will("GetRecords", says(page(record(number_of(17, 1)))))

    assert len((await stream.read("shardId-000000000017 AAAA", 1)).records) == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (refuses("ExpiredIteratorException", "Iterator expired."), IteratorExpired),
        (refuses("InvalidArgumentException", "Invalid ShardIterator."), IteratorExpired),
        (refuses("ProvisionedThroughputExceededException"), Throttled),
        (refuses("ResourceNotFoundException"), StreamNotFound),
        (refuses("AccessDeniedException", "not authorized to perform: kinesis:GetRecords"), AccessDenied),
        (refuses("KMSDisabledException"), EncryptionKeyError),
        (refuses("KMSThrottlingException"), EncryptionKeyError),
        (refuses("ExpiredTokenException"), CredentialsError),
        (refuses("InternalFailure", status=500), ServiceUnavailable),
    ],
)
async def test_a_read_makes_one_attempt_and_names_what_happened(
    service: ScriptedKinesis, stream: KinesisStream, answer: Any, expected: type[KclError]
) -> None:
    service.will("GetRecords", answer)

    with pytest.raises(expected):
        await stream.read(ITERATOR, 1)

    assert len(service.requests) == 1


async def test_a_sequence_number_that_the_shard_does_not_know_is_refused(
    service: ScriptedKinesis, stream: KinesisStream
) -> None:
    message = "StartingSequenceNumber 21 used in GetShardIterator on shard shardId-000000000000 is invalid"
    service.will("GetShardIterator", refuses("InvalidArgumentException", message))

    with pytest.raises(SequenceRefused):
        await stream.open(SHARD, RESHARDING)


async def test_an_iterator_of_somewhere_else_is_not_sent(service: ScriptedKinesis, stream: KinesisStream) -> None:
    with pytest.raises(IteratorExpired):
        await stream.read("AAAA", 1)

    assert service.requests == []


@pytest.mark.parametrize("silence", [says_nothing, drips])
async def test_every_call_has_an_end(service: ScriptedKinesis, silence: Any) -> None:
    door = connected(service, deadline_seconds=0.1)
    service.will("GetRecords", silence)

    with pytest.raises(ServiceUnavailable):
        await door.read(ITERATOR, 1)
    await door.close()


async def test_nobody_listening_is_unavailable(monkeypatch: pytest.MonkeyPatch, service: ScriptedKinesis) -> None:
    door = connected(service, endpoint_url="http://127.0.0.1:1")

    with pytest.raises(ServiceUnavailable):
        await door.read(ITERATOR, 1)
    await door.close()


async def test_the_sdks_own_retries_stay_off_whatever_the_environment_says(
    service: ScriptedKinesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    monkeypatch.setenv("AWS_RETRY_MODE", "adaptive")
    service.will("GetRecords", refuses("InternalFailure", status=500))
    door = connected(service)

    with pytest.raises(ServiceUnavailable):
        await door.read(ITERATOR, 1)
    await door.close()

    assert len(service.requests) == 1


async def test_the_environments_endpoint_is_used_and_checked(
    service: ScriptedKinesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.will("ListShards", says({"Shards": [shard(0)]}))
    monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", service.endpoint_url)
    door = connected(service, endpoint_url=None)
    assert len(await door.list_shards()) == 1
    await door.close()

    monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", "http://kinesis.example")
    elsewhere = connected(service, endpoint_url=None)
    with pytest.raises(ConfigError, match="plain http"):
        await elsewhere.list_shards()
    await elsewhere.close()


async def test_no_region_is_a_matter_of_configuration(
    service: ScriptedKinesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    door = connected(service, region=None)

    with pytest.raises(ConfigError, match="AWS_REGION"):
        await door.list_shards()
    await door.close()


async def test_an_endpoint_that_is_no_url_is_a_matter_of_configuration(service: ScriptedKinesis) -> None:
    door = connected(service, endpoint_url="not a url")

    with pytest.raises(ConfigError, match="no Kinesis client"):
        await door.list_shards()
    await door.close()


async def test_closing_twice_is_fine_and_using_it_afterwards_is_not(
    service: ScriptedKinesis, stream: KinesisStream
) -> None:
    service.will("GetRecords", says(page()))
    await stream.read(ITERATOR, 1)

    await stream.close()
    await stream.close()

    with pytest.raises(StreamError, match="was closed"):
        await stream.read(ITERATOR, 1)


async def test_an_error_does_not_drag_the_sdks_words_into_a_traceback(
    service: ScriptedKinesis, stream: KinesisStream
) -> None:
    service.will("GetRecords", refuses("InvalidSignatureException", "x-amz-security-token:the-session-token"))

    with pytest.raises(CredentialsError) as refused:
        await stream.read(ITERATOR, 1)

    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
    assert "the-session-token" not in str(refused.value)
