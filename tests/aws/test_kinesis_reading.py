"""Opening and reading a shard, against scripted answers."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from kcl_py.aws.kinesis import KinesisStream
from kcl_py.core.position import ReadFrom
from kcl_py.errors import (
    AccessDenied,
    CredentialsError,
    EncryptionKeyError,
    IteratorExpired,
    KclError,
    SequenceRefused,
    ServiceUnavailable,
    StreamNotFound,
    Throttled,
)
from tests.aws.kinesis_answers import FULL, ITERATOR, SHARD, number_of, page, record
from tests.aws.scripted_kinesis import (
    ScriptedKinesis,
    connected,
    hangs_up,
    refuses,
    says,
    says_text,
)

RESHARDING = ReadFrom("AT_SEQUENCE_NUMBER", sequence_number="21")


@pytest.fixture(params=["through the SDK's client", "directly"])
async def stream(request: pytest.FixtureRequest, service: ScriptedKinesis) -> AsyncIterator[KinesisStream]:
    """A door that reads in either way: both answer alike, and fail alike."""
    door = connected(service, reads_directly=request.param == "directly")
    if request.param == "directly":
        service.will("GetRecords", says(page()))
        await door.read(ITERATOR, 1)  # the pattern of the following ones
        assert (direct := door._connection._direct) is not None
        assert direct.are_possible
        service.requests.clear()
    yield door
    await door.close()


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
