"""The in-process door of enhanced fan-out: how a subscription goes on and ends, in virtual time."""

import asyncio

import pytest

from kcl_py.core.position import ReadFrom
from kcl_py.errors import ConsumerMissing, SequenceRefused, StreamNotFound, SubscriptionTaken, Throttled
from kcl_py.interfaces import FanOut, Page, Subscription
from kcl_py.local import requests
from kcl_py.local.limits import MIB, Limits
from tests import virtual_time
from tests.local.fan_out_bench import (
    LATEST,
    NAME,
    TRIM_HORIZON,
    ZERO,
    FanOutBench,
    in_virtual_time,
    now,
    page_of,
    payloads,
)


@in_virtual_time
async def test_a_consumer_is_registered_once_awaited_listed_and_deregistered() -> None:
    bench = FanOutBench(Limits(consumer_creating_ms=3_000, consumer_deleting_ms=2_000))
    door: FanOut = bench.door
    assert await door.consumers() == ()
    began = now()
    consumer = await door.register("billing")
    assert 3 <= now() - began <= 4
    assert [consumer.name, consumer.status] == ["billing", "ACTIVE"]
    assert consumer.arn == f"{bench.model.arn_of(NAME)}/consumer/billing:{consumer.created_at_seconds}"
    assert await door.register("billing") == consumer
    await door.register("audit")
    assert [one.name for one in await door.consumers()] == ["audit", "billing"]
    await door.deregister("billing")
    assert [(one.name, one.status) for one in await door.consumers()] == [("audit", "ACTIVE"), ("billing", "DELETING")]
    again = await door.register("billing")
    assert again.arn != consumer.arn
    with pytest.raises(ConsumerMissing):
        await door.deregister("nobody")


@in_virtual_time
async def test_what_is_there_comes_at_once_and_what_is_put_as_soon_as_it_is_put() -> None:
    bench = FanOutBench()
    bench.put(b"1", b"2")
    subscription = await bench.subscribe()
    page = await page_of(subscription)
    assert payloads(page) == [b"1", b"2"]
    assert page.next_iterator == page.records[-1].sequence_number
    assert [page.millis_behind_latest, page.size_bytes] == [0, 4]
    waiting = asyncio.create_task(page_of(subscription))
    await asyncio.sleep(1.5)
    began = now()
    bench.put(b"3")
    assert payloads(await waiting) == [b"3"]
    assert now() - began < 0.001


@in_virtual_time
async def test_an_idle_shard_is_told_of_every_five_seconds_with_a_number_that_goes_on_there() -> None:
    bench = FanOutBench()
    bench.put(b"old")
    subscription = await bench.subscribe(LATEST)
    began = now()
    pages = [await page_of(subscription) for _ in range(3)]
    assert round(now() - began, 1) == 15
    assert [page.records for page in pages] == [[], [], []]
    numbers = [int(page.next_iterator or "") for page in pages]
    assert numbers == sorted(set(numbers))
    bench.put(b"new")
    for page in pages:
        stream = bench.stream
        after = ReadFrom("AFTER_SEQUENCE_NUMBER", sequence_number=page.next_iterator)
        assert payloads(await stream.read(await stream.open(ZERO, after), 10)) == [b"new"]


@in_virtual_time
async def test_a_subscription_is_over_after_five_minutes_and_the_next_one_goes_on() -> None:
    bench = FanOutBench()
    subscription = await bench.subscribe()
    began = now()
    last: Page | None = None
    while (page := await subscription.read()) is not None:
        last = page
    assert round(now() - began) == 300
    bench.put(b"between")
    assert await subscription.read() is None
    assert last is not None
    following = await bench.subscribe(ReadFrom("AFTER_SEQUENCE_NUMBER", sequence_number=last.next_iterator))
    assert payloads(await page_of(following)) == [b"between"]


@pytest.mark.parametrize("has_records", [True, False])
def test_the_end_of_a_closed_shard_names_the_children_and_no_number(has_records: bool) -> None:
    async def main() -> None:
        bench = FanOutBench()
        subscription = await bench.subscribe()
        if has_records:
            bench.put(b"last")
        waiting = asyncio.create_task(page_of(subscription))
        await asyncio.sleep(0)
        began = now()
        bench.split()
        page = await waiting
        assert now() - began < 0.001
        if has_records:
            assert payloads(page) == [b"last"]
        if page.next_iterator is not None:
            page = await page_of(subscription)
        assert page.next_iterator is None
        assert [child.parent_shard_ids for child in page.child_shards] == [(ZERO,)] * 2
        assert await subscription.read() is None
        await asyncio.sleep(5)
        page = await page_of(await bench.subscribe(LATEST))
        assert [page.records, page.next_iterator, len(page.child_shards)] == [[], None, 2]

    virtual_time.run(main())


@in_virtual_time
async def test_a_reshard_that_takes_its_time_ends_the_subscription_without_a_record_put() -> None:
    bench = FanOutBench(Limits(updating_ms=30_000))
    subscription = await bench.subscribe()
    bench.split()
    began = now()
    while (page := await page_of(subscription)).next_iterator is not None:
        pass
    assert len(page.child_shards) == 2
    assert 30 <= now() - began <= 36


@in_virtual_time
async def test_the_next_subscription_is_refused_for_five_seconds_and_then_takes_over() -> None:
    bench = FanOutBench()
    first = await bench.subscribe()
    waiting = asyncio.create_task(first.read())
    await asyncio.sleep(4.9)
    with pytest.raises(SubscriptionTaken):
        await bench.subscribe()
    other = await bench.subscribe(name="audit")
    await asyncio.sleep(0.1)
    await waiting
    waiting = asyncio.create_task(first.read())
    await asyncio.sleep(0)
    second = await bench.subscribe()
    with pytest.raises(SubscriptionTaken):
        await waiting
    with pytest.raises(SubscriptionTaken):
        await first.read()
    bench.put(b"x")
    assert payloads(await page_of(second)) == payloads(await page_of(other)) == [b"x"]


@in_virtual_time
async def test_closing_a_subscription_ends_it_and_does_not_shorten_the_five_seconds() -> None:
    bench = FanOutBench()
    first = await bench.subscribe()
    waiting = asyncio.create_task(first.read())
    await asyncio.sleep(1)
    await first.close()
    await first.close()
    assert await waiting is None
    with pytest.raises(SubscriptionTaken):
        await bench.subscribe()
    await asyncio.sleep(4)
    bench.put(b"x")
    assert payloads(await page_of(await bench.subscribe())) == [b"x"]


@in_virtual_time
async def test_two_megabytes_a_second_of_a_shard_to_a_consumer() -> None:
    bench = FanOutBench(Limits(put_bytes_per_second=100 * MIB))
    bench.put(*[b"x" * (MIB - 1)] * 12)
    subscription = await bench.subscribe()
    other = await bench.subscribe(name="audit")
    began = now()
    for _ in range(12):
        await page_of(subscription)
    assert 4.9 < now() - began < 5.1
    assert len((await page_of(other)).records) == 1
    await subscription.close()
    bench.put(b"y" * (MIB - 1))
    took = now()
    await page_of(await bench.subscribe(ReadFrom("AT_TIMESTAMP", timestamp_ms=0)))
    assert now() - took > 0.4, "the next subscription has what the last one left"


@in_virtual_time
async def test_what_nobody_reads_is_not_made() -> None:
    bench = FanOutBench(Limits.unthrottled())
    subscription = await bench.subscribe()
    for _ in range(4):
        bench.put(*[b"x" * 1_000] * 100)
        await asyncio.sleep(20)
    page = await page_of(subscription)
    assert len(page.records) == 400
    assert (page.millis_behind_latest, page.records[-1].arrival_timestamp_seconds) == (
        0,
        page.records[0].arrival_timestamp_seconds + 60,
    )


async def awaited(subscription: Subscription) -> "asyncio.Task[Page | None]":
    waiting = asyncio.create_task(subscription.read())
    await asyncio.sleep(1)
    return waiting


@in_virtual_time
async def test_a_consumer_that_goes_and_a_stream_that_goes_end_the_subscription_at_once() -> None:
    bench = FanOutBench(Limits(consumer_deleting_ms=1_000, deleting_ms=1_000))
    consumer = await bench.door.register("billing")
    waiting = await awaited(await bench.subscribe())
    await bench.door.deregister("billing")
    began = now()
    with pytest.raises(ConsumerMissing):
        await waiting
    with pytest.raises(SubscriptionTaken):
        await bench.door.subscribe(consumer.arn, ZERO, LATEST)
    assert now() == pytest.approx(began)
    await asyncio.sleep(1)
    with pytest.raises(ConsumerMissing):
        await bench.door.subscribe(consumer.arn, ZERO, LATEST)
    waiting = await awaited(await bench.subscribe())
    bench.delete()
    with pytest.raises(StreamNotFound):
        await waiting
    await asyncio.sleep(1)
    with pytest.raises(StreamNotFound):
        await bench.door.register("billing")
    with pytest.raises(StreamNotFound):
        await bench.door.subscribe(consumer.arn, ZERO, LATEST)


@in_virtual_time
async def test_a_consumer_that_is_registered_again_at_once_has_another_arn() -> None:
    bench = FanOutBench()
    consumer = await bench.door.register("billing")
    await bench.door.deregister("billing")
    assert (await bench.door.register("billing")).arn != consumer.arn
    with pytest.raises(ConsumerMissing):
        await bench.door.subscribe(consumer.arn, ZERO, LATEST)


@in_virtual_time
async def test_a_consumer_of_a_stream_that_is_made_again_is_another_one() -> None:
    bench = FanOutBench()
    consumer = await bench.door.register("billing")
    bench.delete()
    bench.ask(requests.CreateStream(stream_name=NAME, shard_count=1))
    with pytest.raises(ConsumerMissing):
        await bench.door.subscribe(consumer.arn, ZERO, LATEST)


@in_virtual_time
async def test_a_subscription_begins_at_each_of_the_five_positions() -> None:
    bench = FanOutBench(Limits(takeover_ms=0))
    numbers, times = [], []
    for number in range(3):
        bench.put(str(number).encode())
        page = await page_of(await bench.subscribe())
        numbers.append(page.records[-1].sequence_number)
        times.append(round(page.records[-1].arrival_timestamp_seconds * 1_000))
        await asyncio.sleep(1)
    for position, expected in (
        (TRIM_HORIZON, [b"0", b"1", b"2"]),
        (ReadFrom("AT_SEQUENCE_NUMBER", sequence_number=numbers[1]), [b"1", b"2"]),
        (ReadFrom("AFTER_SEQUENCE_NUMBER", sequence_number=numbers[1]), [b"2"]),
        (ReadFrom("AT_TIMESTAMP", timestamp_ms=times[2]), [b"2"]),
        (LATEST, []),
    ):
        assert payloads(await page_of(await bench.subscribe(position))) == expected
    with pytest.raises(SequenceRefused):
        await bench.subscribe(ReadFrom("AT_SEQUENCE_NUMBER", sequence_number="1234"))
    with pytest.raises(StreamNotFound):
        await bench.subscribe(shard_id="shardId-000000000009")


@in_virtual_time
async def test_a_number_whose_record_is_trimmed_means_the_oldest_record_that_is_left() -> None:
    bench = FanOutBench()
    bench.put(b"old")
    page = await page_of(await bench.subscribe())
    await asyncio.sleep(25 * 3_600)
    bench.put(b"young")
    after = ReadFrom("AT_SEQUENCE_NUMBER", sequence_number=page.next_iterator)
    assert payloads(await page_of(await bench.subscribe(after))) == [b"young"]


@in_virtual_time
async def test_a_stream_has_twenty_consumers_and_the_account_five_registrations_under_way() -> None:
    bench = FanOutBench(Limits(consumer_creating_ms=2_000))
    for batch in range(4):
        tasks = [asyncio.create_task(bench.door.register(f"c{batch}{number}")) for number in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(Throttled):
            await bench.door.register("sixth")
        await asyncio.gather(*tasks)
    with pytest.raises(Throttled):
        await bench.door.register("c99")
    assert len(await bench.door.consumers()) == 20


@in_virtual_time
async def test_a_consumer_of_a_stream_that_is_being_created_waits_for_it() -> None:
    bench = FanOutBench(Limits(creating_ms=2_500))
    assert (await bench.door.register("billing")).status == "ACTIVE"


@in_virtual_time
async def test_hundreds_of_subscriptions_share_a_loop_and_each_sees_its_shard_in_order() -> None:
    bench = FanOutBench(Limits.unthrottled(), shards=300)
    consumer = await bench.door.register("billing")
    shards = await bench.stream.list_shards()
    seen: dict[str, list[bytes]] = {}

    async def read(shard_id: str) -> None:
        subscription = await bench.door.subscribe(consumer.arn, shard_id, TRIM_HORIZON)
        while (page := await subscription.read()) is not None:
            seen.setdefault(shard_id, []).extend(payloads(page))

    readers = [asyncio.create_task(read(shard.shard_id)) for shard in shards]
    for number in range(1_000):
        await asyncio.sleep(0.1)
        key = str(number % 97)
        bench.ask(requests.PutRecord(stream_name=NAME, data=str(number).encode(), partition_key=key))
    await asyncio.gather(*readers)
    assert sum(len(data) for data in seen.values()) == 1_000
    assert all(data == sorted(data, key=int) for data in seen.values())
