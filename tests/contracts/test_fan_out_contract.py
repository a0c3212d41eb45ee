"""The fan-out door on Kinesis: on our own server, and on the emulators of others that can be subscribed to."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from kcl_py.aws.fan_out import KinesisFanOut, connection_for_pages
from kcl_py.core.position import ReadFrom
from kcl_py.core.record import Record
from kcl_py.errors import ConsumerMissing, KclError, ServiceUnavailable, StreamNotFound, SubscriptionTaken
from kcl_py.interfaces import Page, Subscription
from tests.contracts.kinesis_services import Service
from tests.contracts.tested_stream import TestedStream, shard_id

SHARD = shard_id(0)
OLDEST, NEWEST = ReadFrom("TRIM_HORIZON"), ReadFrom("LATEST")


def on(*services: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("service", services, indirect=True)


on_each = on("server", "numbered ministack")


@pytest.fixture
def stream(service: Service) -> TestedStream:
    return service.stream()


@pytest.fixture
async def door(service: Service, stream: TestedStream, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KinesisFanOut]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    monkeypatch.setattr("kcl_py.aws.fan_out._REGISTRATION_POLL_SECONDS", 0.05)
    url = service.client.meta.endpoint_url
    door = KinesisFanOut(connection_for_pages(stream.name, endpoint_url=url, region="us-east-1"))
    yield door
    await door.close()


async def next_page(subscription: Subscription) -> Page:
    page = await subscription.read()
    assert page is not None
    return page


async def next_records(subscription: Subscription, count: int) -> list[Record]:
    """The next records, this many at least."""
    records: list[Record] = []
    while len(records) < count:
        records += (await next_page(subscription)).records
    return records


async def next_payloads(subscription: Subscription, count: int) -> list[str]:
    return [record.data.decode() for record in await next_records(subscription, count)]


async def end_of(subscription: Subscription) -> type[KclError] | None:
    """What a subscription ends with."""
    try:
        while await subscription.read() is not None:
            pass
    except KclError as error:
        return type(error)
    return None


@on_each
async def test_a_consumer_is_registered_once_listed_and_deregistered(door: KinesisFanOut) -> None:
    billing = await door.register("billing")
    assert (billing.name, billing.status) == ("billing", "ACTIVE")
    assert await door.register("billing") == billing
    audit = await door.register("audit")
    assert await door.consumers() == (audit, billing)
    await door.deregister("billing")
    assert (await door.register("billing")).status == "ACTIVE"
    with pytest.raises(ConsumerMissing):
        await door.deregister("shipping")


@on("server", "kinesis-local", "numbered ministack")
async def test_what_was_put_before_and_what_is_put_later_is_pushed_in_order(
    service: Service, stream: TestedStream, door: KinesisFanOut
) -> None:
    numbers = [stream.put(str(number), key=f"key {number}")["SequenceNumber"] for number in range(3)]
    subscription = await door.subscribe((await door.register("billing")).arn, SHARD, OLDEST)
    records = await next_records(subscription, 3)
    assert [record.data for record in records] == [b"0", b"1", b"2"]
    assert [record.sequence_number for record in records] == numbers
    assert [record.partition_key for record in records] == ["key 0", "key 1", "key 2"]
    assert abs(records[0].approximate_arrival_timestamp.timestamp() - service.now_seconds()) < 60
    for number in range(3, 6):
        stream.put(str(number))
        assert await next_payloads(subscription, 1) == [str(number)]


@on_each
async def test_who_goes_on_after_a_page_misses_nothing_and_sees_nothing_again(
    stream: TestedStream, door: KinesisFanOut
) -> None:
    stream.put("0")
    last = stream.put("1")["SequenceNumber"]
    first, second, third = [(await door.register(name)).arn for name in ("first", "second", "third")]
    subscription = await door.subscribe(first, SHARD, OLDEST)
    read = 0
    while read < 2:
        page = await next_page(subscription)
        read += len(page.records)
    await subscription.close()
    stream.put("2")
    after = ReadFrom("AFTER_SEQUENCE_NUMBER", sequence_number=page.next_iterator)
    assert await next_payloads(await door.subscribe(second, SHARD, after), 1) == ["2"]
    at = ReadFrom("AT_SEQUENCE_NUMBER", sequence_number=last)
    assert await next_payloads(await door.subscribe(third, SHARD, at), 2) == ["1", "2"]


@on_each
async def test_the_number_of_a_page_without_records_leads_on_as_well(stream: TestedStream, door: KinesisFanOut) -> None:
    stream.put("old")
    first, second = [(await door.register(name)).arn for name in ("first", "second")]
    subscription = await door.subscribe(first, SHARD, NEWEST)
    page = await next_page(subscription)
    assert page.records == []
    await subscription.close()
    stream.put("new")
    after = ReadFrom("AFTER_SEQUENCE_NUMBER", sequence_number=page.next_iterator)
    assert await next_payloads(await door.subscribe(second, SHARD, after), 1) == ["new"]


@on_each
async def test_a_page_of_a_megabyte_arrives_whole(stream: TestedStream, door: KinesisFanOut) -> None:
    large = [bytes([number]) * 300_000 for number in range(4)]
    for payload in large:
        stream.put(payload)
    subscription = await door.subscribe((await door.register("billing")).arn, SHARD, OLDEST)
    assert [record.data for record in await next_records(subscription, 4)] == large


@on_each
async def test_what_is_not_there_is_told_apart(stream: TestedStream, door: KinesisFanOut) -> None:
    consumer = await door.register("billing")
    with pytest.raises(StreamNotFound, match="no shard"):
        await door.subscribe(consumer.arn, shard_id(9), OLDEST)
    with pytest.raises(ConsumerMissing):
        await door.subscribe(f"{consumer.arn}1", SHARD, OLDEST)


@on_each
@pytest.mark.parametrize("is_stream_deleted", [False, True])
async def test_a_subscription_does_not_outlive_its_consumer_or_its_stream(
    service: Service, stream: TestedStream, door: KinesisFanOut, is_stream_deleted: bool
) -> None:
    subscription = await door.subscribe((await door.register("billing")).arn, SHARD, NEWEST)
    if is_stream_deleted:
        service.client.delete_stream(StreamName=stream.name, EnforceConsumerDeletion=True)
    else:
        await door.deregister("billing")
    assert await end_of(subscription) is (StreamNotFound if is_stream_deleted else ConsumerMissing)


@on_each
async def test_a_later_subscription_is_refused_for_five_seconds_and_then_takes_over(
    service: Service, stream: TestedStream, door: KinesisFanOut
) -> None:
    arn = (await door.register("billing")).arn
    with service.standing_clock():
        earlier = await door.subscribe(arn, SHARD, OLDEST)
        with pytest.raises(SubscriptionTaken):
            await door.subscribe(arn, SHARD, OLDEST)
    if service.clock is None:
        await asyncio.sleep(5)
    else:
        service.clock.advance(seconds=5)
    later = await door.subscribe(arn, SHARD, OLDEST)
    assert await end_of(earlier) is SubscriptionTaken
    stream.put("new")
    assert await next_payloads(later, 1) == ["new"]


@on("ministack")
async def test_a_number_with_zeros_in_front_is_refused(stream: TestedStream, door: KinesisFanOut) -> None:
    subscription = await door.subscribe((await door.register("billing")).arn, SHARD, OLDEST)
    with pytest.raises(ServiceUnavailable, match="a sequence number that is none"):
        await subscription.read()
