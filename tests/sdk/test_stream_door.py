"""The Kinesis door through the SDK itself: every fault in every operation, on the wire's bytes and in virtual time."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from kcl_py.aws.producer import Entry, Producer
from kcl_py.core.position import ReadFrom
from kcl_py.errors import KclError, ServiceError, ServiceUnavailable, Throttled
from kcl_py.interfaces import Stream
from kcl_py.local import answers, requests
from kcl_py.local.doors import loop_clock_ms
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.operations import perform
from tests.sdk.kinesis_in_process import KinesisInProcess
from tests.sdk.wire import ERROR_OF_KIND, KINDS, SLOW_SECONDS, UNAPPLIED, Fault, Kind
from tests.virtual_time import run

STREAM, SHARD = "orders", "shardId-000000000000"
START = ReadFrom("TRIM_HORIZON")
DEADLINE_SECONDS, READ_TIMEOUT_SECONDS, PATIENCE_SECONDS = 30.0, 15.0, 60.0
RETRIED = (ServiceUnavailable, Throttled)
SECONDS_MIN: dict[Kind, float] = {
    "slow": SLOW_SECONDS,
    "read timeout": READ_TIMEOUT_SECONDS,
    "request lost": READ_TIMEOUT_SECONDS,
    "dripping": DEADLINE_SECONDS,
}
PATIENT: dict[str, Callable[[Stream], Awaitable[object]]] = {
    "DescribeStreamSummary": lambda door: door.describe(),
    "ListShards": lambda door: door.list_shards(),
}


class Site:
    """A stream of two shards with ten records, and doors onto it."""

    def __init__(self) -> None:
        self.model = KinesisModel()
        self.kinesis = KinesisInProcess(self.model)
        self.ask(requests.CreateStream(stream_name=STREAM, shard_count=2))
        for number in range(10):
            self.ask(requests.PutRecord(stream_name=STREAM, data=b"%d" % number, partition_key="k"))

    @property
    def wire(self):
        return self.kinesis.wire

    def ask(self, request: requests.Request) -> object:
        return perform(self.model, request, loop_clock_ms())

    def stored(self) -> list[bytes]:
        """Every record of the stream, from the model itself."""
        found = []
        for number in range(2):
            shard_id = f"shardId-{number:012d}"
            opened = self.ask(
                requests.GetShardIterator(stream_name=STREAM, shard_id=shard_id, shard_iterator_type="TRIM_HORIZON")
            )
            assert isinstance(opened, answers.GetShardIteratorAnswer)
            page = self.ask(requests.GetRecords(shard_iterator=opened.shard_iterator))
            assert isinstance(page, answers.GetRecordsAnswer)
            found += [record.data for record in page.records]
        return found


def elapsed_since(start: float) -> float:
    return asyncio.get_running_loop().time() - start


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("operation", PATIENT)
def test_a_patient_call_outlives_a_fault_and_says_what_it_was(operation: str, kind: Kind):
    async def story():
        site = Site()
        told: list[tuple[str, type[KclError]]] = []
        door = site.kinesis.door(STREAM, on_retry=lambda name, error, _: told.append((name, type(error))))
        undisturbed = await PATIENT[operation](door)
        site.wire.faults.append(Fault(kind=kind, operations=frozenset({operation})))
        began = asyncio.get_running_loop().time()
        expected = ERROR_OF_KIND[kind]
        if expected is None:
            assert await PATIENT[operation](door) == undisturbed
            assert told == []
        elif expected in RETRIED:
            answer = await PATIENT[operation](door)
            assert told == [(f"kinesis:{operation}", expected)]
            if operation == "ListShards":  # the other one carries the service's clock
                assert answer == undisturbed
        else:
            with pytest.raises(expected, match=operation):
                await PATIENT[operation](door)
            assert told == []
        assert SECONDS_MIN.get(kind, 0) <= elapsed_since(began) < SECONDS_MIN.get(kind, 0) + 0.3
        await door.close()

    run(story())


@pytest.mark.parametrize("operation", PATIENT)
def test_a_patient_call_gives_up_in_the_end_with_the_last_error(operation: str):
    async def story():
        site = Site()
        site.wire.faults.append(Fault(kind="throttled", times=None))
        door = site.kinesis.door(STREAM)
        began = asyncio.get_running_loop().time()
        with pytest.raises(Throttled):
            await PATIENT[operation](door)
        assert PATIENCE_SECONDS <= elapsed_since(began) < PATIENCE_SECONDS + 6
        assert 12 < len(site.wire.sent) < 40, "pauses grow"
        await door.close()

    run(story())


async def refused(call: Callable[[], Awaitable[object]], expected: type[ServiceError] | None, site: Site) -> object:
    """Make a call of one attempt; its answer, if it was not refused as expected."""
    before = len(site.wire.sent)
    answer = None
    if expected is None:
        answer = await call()
    else:
        with pytest.raises(expected) as caught:
            await call()
        assert caught.value.__cause__ is None, "what the SDK raised may quote what was signed"
        assert type(caught.value) is expected
    assert len(site.wire.sent) == before + 1, "the SDK tried again by itself"
    return answer


@pytest.mark.parametrize("reads_directly", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_read_once_and_may_be_read_again(kind: Kind, reads_directly: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    monkeypatch.setenv("AWS_RETRY_MODE", "adaptive")

    async def story():
        site = Site()
        door = site.kinesis.door(STREAM, reads_directly=reads_directly)
        shards = await door.list_shards()
        (shard_id,) = [shard.shard_id for shard in shards if (await read_all(door, shard.shard_id)).records]
        iterator = await door.open(shard_id, START)
        undisturbed = await door.read(iterator, 100)
        assert [record.data for record in undisturbed.records] == site.stored()
        direct = door._connection._direct
        assert reads_directly is (direct is not None and direct.are_possible)
        await asyncio.sleep(1)
        site.wire.faults.append(Fault(kind=kind, operations=frozenset({"GetRecords"})))
        began = asyncio.get_running_loop().time()
        page = await refused(lambda: door.read(iterator, 100), ERROR_OF_KIND[kind], site)
        assert SECONDS_MIN.get(kind, 0) <= elapsed_since(began) < SECONDS_MIN.get(kind, 0) + 0.1
        await asyncio.sleep(1)
        again = await door.read(iterator, 100)
        assert again.records == undisturbed.records
        assert page is None or page.records == undisturbed.records  # type: ignore[attr-defined]
        await door.close()

    run(story())


@pytest.mark.parametrize("kind", KINDS)
def test_an_iterator_is_asked_for_once_and_may_be_asked_for_again(kind: Kind):
    async def story():
        site = Site()
        door = site.kinesis.door(STREAM)
        site.wire.faults.append(Fault(kind=kind, operations=frozenset({"GetShardIterator"})))
        await refused(lambda: door.open(SHARD, START), ERROR_OF_KIND[kind], site)
        assert await door.read(await door.open(SHARD, START), 1)
        await door.close()

    run(story())


async def read_all(door: Stream, shard_id: str):
    return await door.read(await door.open(shard_id, START), 100)


@pytest.mark.parametrize("kind", KINDS)
def test_records_are_put_at_least_once_and_twice_only_if_an_answer_was_lost(kind: Kind):
    async def story():
        site = Site()
        producer = Producer(site.kinesis.connection(STREAM))
        site.wire.faults.append(Fault(kind=kind, operations=frozenset({"PutRecords"})))
        put = [b"new %d" % number for number in range(5)]
        expected = ERROR_OF_KIND[kind]
        entries = [Entry(data=data, partition_key="k") for data in put]
        if expected is None or expected in RETRIED:
            await producer.put(entries)
            assert producer.accepted == len(put)
        else:
            with pytest.raises(expected):
                await producer.put(entries)
            assert producer.accepted == 0
            put = []
        is_doubled = expected is ServiceUnavailable and kind not in UNAPPLIED
        assert site.stored()[10:] == put * (2 if is_doubled else 1)
        await producer.close()

    run(story())


def test_an_hour_of_trouble_takes_no_time_and_no_thread():
    async def story():
        site = Site()
        door = site.kinesis.door(STREAM)
        site.wire.faults.append(Fault(kind="dripping", times=None))
        for _ in range(50):
            with pytest.raises(ServiceUnavailable):
                await door.list_shards()
        assert asyncio.get_running_loop().time() > 3_600
        await door.close()

    before = set(threading.enumerate())
    run(story())
    assert set(threading.enumerate()) == before
