"""The Stream door and the producer, against our own Kinesis over HTTP."""

from collections.abc import AsyncIterator, Iterator

import pytest

from kcl_py.aws.connection import Connection
from kcl_py.aws.kinesis import KinesisStream
from kcl_py.aws.producer import BYTES_MAX, Entry, Producer, batches
from kcl_py.core.position import ReadFrom
from kcl_py.core.shard import HASH_KEY_MAX, HashRange
from kcl_py.errors import IteratorExpired, SequenceRefused, StreamNotFound, Throttled
from kcl_py.interfaces import ShardFilter
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.kinesis_server import KinesisServer
from kcl_py.local.limits import Limits
from kcl_py.local.operations import perform
from kcl_py.local.requests import CreateStream, MergeShards, Request, SplitShard
from kcl_py.local.server_thread import ServerThread
from tests.aws.scripted_kinesis import ScriptedKinesis, refuses, says, scripted_kinesis

START_MS = 1_772_355_600_000
FIRST, SECOND, THIRD = (f"shardId-{index:012d}" for index in range(3))


class Clock:
    """The time of our Kinesis: stands still unless told."""

    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


class Ours:
    """Our Kinesis with one stream, `orders`, of two shards."""

    def __init__(self, server: KinesisServer, clock: Clock) -> None:
        self.server = server
        self.clock = clock

    def perform(self, request: Request) -> None:
        self.clock.now_ms += 1_000
        perform(self.server.model, request, self.clock.now_ms)

    def connection(self, stream: str = "orders", patience_seconds: float = 0.0) -> Connection:
        return Connection(stream, region="eu-west-1", endpoint_url=self.server.url, patience_seconds=patience_seconds)


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kcl_py.aws.calls._PAUSE", lambda attempt: 0.0)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.fixture
def ours() -> Iterator[Ours]:
    clock = Clock()
    server = KinesisServer(KinesisModel(limits=Limits(put_records_per_second=600)), clock_ms=clock)
    with ServerThread(server):
        kinesis = Ours(server, clock)
        kinesis.perform(CreateStream(stream_name="orders", shard_count=2))
        clock.now_ms += 1_000
        yield kinesis


@pytest.fixture
async def stream(ours: Ours) -> AsyncIterator[KinesisStream]:
    door = KinesisStream(ours.connection())
    yield door
    await door.close()


@pytest.fixture
async def producer(ours: Ours) -> AsyncIterator[Producer]:
    door = Producer(ours.connection())
    yield door
    await door.close()


def entry(text: str, hash_key: int = 0) -> Entry:
    return Entry(data=text.encode(), partition_key="key", explicit_hash_key=str(hash_key))


async def test_what_is_put_is_read_in_order_from_the_shard_of_its_hash_key(
    stream: KinesisStream, producer: Producer
) -> None:
    await producer.put([entry("a"), entry("b", HASH_KEY_MAX), entry("c")])

    page = await stream.read(await stream.open(FIRST, ReadFrom("TRIM_HORIZON")), 10_000)

    assert [record.data for record in page.records] == [b"a", b"c"]
    assert producer.accepted == 3
    assert page.records[0].partition_key == "key"
    assert page.millis_behind_latest == 0


async def test_a_read_goes_on_after_a_record(stream: KinesisStream, producer: Producer) -> None:
    await producer.put([entry("a"), entry("b")])
    page = await stream.read(await stream.open(FIRST, ReadFrom("TRIM_HORIZON")), 1)
    after = ReadFrom("AFTER_SEQUENCE_NUMBER", sequence_number=page.records[0].sequence_number)

    rest = await stream.read(await stream.open(FIRST, after), 10)

    assert [record.data for record in rest.records] == [b"b"]


async def test_the_description_is_that_of_the_service(ours: Ours, stream: KinesisStream) -> None:
    description = await stream.describe()

    assert description.name == "orders"
    assert description.arn.endswith(":stream/orders")
    assert description.created_at_seconds == START_MS // 1000 + 1
    assert description.service_time_ms == ours.clock.now_ms
    assert description.retention_hours == 24


async def test_a_closed_shard_ends_with_its_children(ours: Ours, stream: KinesisStream) -> None:
    ours.perform(SplitShard(stream_name="orders", shard_to_split=FIRST, new_starting_hash_key="100"))
    ours.clock.now_ms += 1_000

    page = await stream.read(await stream.open(FIRST, ReadFrom("TRIM_HORIZON")), 10)

    assert page.next_iterator is None
    assert [child.shard_id for child in page.child_shards] == [THIRD, "shardId-000000000003"]
    assert page.child_shards[0].hash_range == HashRange(0, 99)
    assert page.child_shards[0].parent_shard_ids == (FIRST,)


async def test_a_listing_shows_both_parents_of_a_merge(ours: Ours, stream: KinesisStream) -> None:
    ours.perform(MergeShards(stream_name="orders", shard_to_merge=FIRST, adjacent_shard_to_merge=SECOND))
    ours.clock.now_ms += 1_000

    shards = await stream.list_shards()

    assert [shard.is_closed for shard in shards] == [True, True, False]
    assert shards[2].parent_shard_ids == (FIRST, SECOND)
    assert [shard.shard_id for shard in await stream.list_shards(ShardFilter("AT_LATEST"))] == [THIRD]


async def test_a_listing_of_many_pages_is_one_listing(ours: Ours) -> None:
    ours.perform(CreateStream(stream_name="wide", shard_count=2_500))
    ours.clock.now_ms += 1_000
    door = KinesisStream(ours.connection("wide"))

    shards = await door.list_shards()
    await door.close()

    assert sorted(shard.shard_id for shard in shards) == [f"shardId-{index:012d}" for index in range(2_500)]
    assert list(shards) == sorted(shards, key=lambda shard: shard.age_order)


async def test_an_iterator_expires_after_five_minutes(ours: Ours, stream: KinesisStream) -> None:
    iterator = await stream.open(FIRST, ReadFrom("LATEST"))
    ours.clock.now_ms += 301_000

    with pytest.raises(IteratorExpired):
        await stream.read(iterator, 1)


async def test_an_iterator_that_the_service_does_not_know_counts_as_expired(stream: KinesisStream) -> None:
    with pytest.raises(IteratorExpired):
        await stream.read(f"{FIRST} AAAA", 1)


async def test_a_sixth_read_in_a_second_is_throttled(stream: KinesisStream) -> None:
    iterator = await stream.open(FIRST, ReadFrom("TRIM_HORIZON"))
    for _ in range(5):
        await stream.read(iterator, 1)

    with pytest.raises(Throttled):
        await stream.read(iterator, 1)


async def test_a_sequence_number_of_another_shard_is_refused(stream: KinesisStream) -> None:
    shards = await stream.list_shards()

    with pytest.raises(SequenceRefused):
        await stream.open(FIRST, ReadFrom("AT_SEQUENCE_NUMBER", sequence_number=shards[1].starting_sequence_number))


async def test_a_stream_or_shard_that_is_not_there_is_not_found(ours: Ours, stream: KinesisStream) -> None:
    with pytest.raises(StreamNotFound):
        await stream.open(THIRD, ReadFrom("LATEST"))

    door = KinesisStream(ours.connection("nothing"))
    with pytest.raises(StreamNotFound, match="stream nothing"):
        await door.describe()
    await door.close()


async def test_records_above_the_limit_are_counted_out(ours: Ours, producer: Producer) -> None:
    with pytest.raises(Throttled, match="did not take 400 of 500 records"):
        await producer.put([entry("x")] * 1_000)

    assert producer.accepted == 600


async def test_what_was_not_taken_is_put_again_alone() -> None:
    taken = {"SequenceNumber": "21", "ShardId": FIRST}
    refused = {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slow down"}
    with scripted_kinesis() as service:
        producer = Producer(scripted_connection(service))
        service.will(
            "PutRecords",
            says({"FailedRecordCount": 1, "Records": [taken, refused, taken]}),
            refuses("InternalFailure", status=500),
            says({"FailedRecordCount": 0, "Records": [taken]}),
        )
        await producer.put([entry("a"), entry("b"), entry("c")])
        await producer.close()

    assert producer.accepted == 3
    assert [len(request["Records"]) for request in service.sent("PutRecords")] == [3, 1, 1]
    assert service.sent("PutRecords")[2]["Records"][0]["Data"] == "Yg=="


def scripted_connection(service: ScriptedKinesis) -> Connection:
    return Connection("orders", region="eu-west-1", endpoint_url=service.endpoint_url, patience_seconds=30)


def test_requests_stay_within_the_services_limits() -> None:
    assert [len(batch) for batch in batches([entry("x")] * 1_001)] == [500, 500, 1]
    large = Entry(data=bytes(BYTES_MAX // 2), partition_key="key")
    assert [len(batch) for batch in batches([large] * 3)] == [1, 1, 1]
    assert list(batches([])) == []
