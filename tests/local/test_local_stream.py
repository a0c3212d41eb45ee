"""The in-process door: what it answers, and which of our errors it raises."""

import asyncio

import pytest

from kcl_py.core.position import ReadFrom
from kcl_py.core.shard import HASH_KEY_MAX, HashRange
from kcl_py.errors import IteratorExpired, SequenceRefused, ServiceError, StreamNotFound, Throttled
from kcl_py.interfaces import ShardFilter, Stream
from kcl_py.local.doors import EPOCH_MS, LocalStream, loop_clock_ms
from kcl_py.local.limits import Limits
from tests.local.model_driver import NAME, ModelDriver
from tests.local.ticking_clock import START_MS

ZERO = "shardId-000000000000"
TRIM_HORIZON = ReadFrom("TRIM_HORIZON")


def door(driver: ModelDriver) -> Stream:
    return LocalStream(driver.model, NAME, clock_ms=driver.clock)


async def test_the_description_names_the_incarnation() -> None:
    driver = ModelDriver()
    first = await door(driver).describe()
    assert first.arn == driver.model.arn_of(NAME)
    assert [first.created_at_seconds, first.retention_hours] == [START_MS // 1_000, 24]
    assert first.service_time_ms == START_MS
    driver.model.stream(NAME, None, START_MS).delete(START_MS)
    driver.create()
    assert (await door(driver).describe()).incarnation != first.incarnation


async def test_shards_are_listed_oldest_first_with_both_parents() -> None:
    driver = ModelDriver(shard_count=2)
    driver.merge(ZERO, "shardId-000000000001")
    shards = await door(driver).list_shards()
    assert [shard.shard_id[-1] for shard in shards] == ["0", "1", "2"]
    assert [shard.is_closed for shard in shards] == [True, True, False]
    assert shards[2].parent_shard_ids == (ZERO, "shardId-000000000001")
    assert shards[2].hash_range == HashRange(0, HASH_KEY_MAX)
    latest = await door(driver).list_shards(ShardFilter("AT_LATEST"))
    assert [shard.shard_id for shard in latest] == [shards[2].shard_id]
    after = await door(driver).list_shards(ShardFilter("AFTER_SHARD_ID", shard_id=ZERO))
    assert len(after) == 2


async def test_a_listing_gathers_all_its_pages() -> None:
    driver = ModelDriver(shard_count=2_500)
    assert len(await door(driver).list_shards()) == 2_500


async def test_a_page_carries_the_records_as_they_were_put_and_their_size() -> None:
    driver = ModelDriver()
    put = driver.put(b"payload", key="ключ")
    stream = door(driver)
    page = await stream.read(await stream.open(ZERO, TRIM_HORIZON), 10)
    [record] = page.records
    assert [record.data, record.partition_key] == [b"payload", "ключ"]
    assert record.sequence_number == put.sequence_number
    assert record.arrival_timestamp_seconds == START_MS / 1_000
    assert page.size_bytes == 7 + 8
    assert page.millis_behind_latest == 0
    assert page.next_iterator is not None


async def test_the_last_page_of_a_closed_shard_names_its_children() -> None:
    driver = ModelDriver()
    driver.split(ZERO, 2**127)
    stream = door(driver)
    page = await stream.read(await stream.open(ZERO, TRIM_HORIZON), 10)
    assert page.next_iterator is None
    assert [child.parent_shard_ids for child in page.child_shards] == [(ZERO,)] * 2
    assert [child.hash_range for child in page.child_shards] == [
        HashRange(0, 2**127 - 1),
        HashRange(2**127, HASH_KEY_MAX),
    ]


async def test_a_read_begins_at_a_number_after_it_or_at_a_time() -> None:
    driver = ModelDriver()
    numbers = []
    for n in range(3):
        numbers.append(driver.put(str(n).encode()).sequence_number)
        driver.clock.advance(seconds=0.001)
    stream = door(driver)

    async def read(position: ReadFrom) -> list[bytes]:
        return [record.data for record in (await stream.read(await stream.open(ZERO, position), 10)).records]

    assert await read(ReadFrom("AT_SEQUENCE_NUMBER", sequence_number=numbers[1])) == [b"1", b"2"]
    assert await read(ReadFrom("AFTER_SEQUENCE_NUMBER", sequence_number=numbers[1])) == [b"2"]
    assert await read(ReadFrom("AT_TIMESTAMP", timestamp_ms=START_MS + 1)) == [b"1", b"2"]
    assert await read(ReadFrom("LATEST")) == []


async def test_the_errors_are_those_of_the_door() -> None:
    driver = ModelDriver(limits=Limits())
    stream = door(driver)
    iterator = await stream.open(ZERO, TRIM_HORIZON)
    with pytest.raises(StreamNotFound):
        await LocalStream(driver.model, "nobody", clock_ms=driver.clock).describe()
    with pytest.raises(StreamNotFound):
        await stream.open("shardId-000000000009", TRIM_HORIZON)
    with pytest.raises(SequenceRefused):
        await stream.open(ZERO, ReadFrom("AT_SEQUENCE_NUMBER", sequence_number="1234"))
    with pytest.raises(IteratorExpired):
        await stream.read("invented", 10)
    with pytest.raises(ServiceError, match="ValidationException"):
        await stream.read(iterator, 0)
    for _ in range(5):
        await stream.read(iterator, 10)
    with pytest.raises(Throttled):
        await stream.read(iterator, 10)
    driver.clock.advance(seconds=301)
    with pytest.raises(IteratorExpired):
        await stream.read(iterator, 10)
    driver.model.stream(NAME, None, driver.clock()).delete(driver.clock())
    with pytest.raises(StreamNotFound):
        await stream.open(ZERO, TRIM_HORIZON)


async def test_without_a_clock_the_running_loops_time_counts_from_2026() -> None:
    since_ms = loop_clock_ms() - EPOCH_MS
    assert abs(since_ms - asyncio.get_running_loop().time() * 1_000) < 1_000
