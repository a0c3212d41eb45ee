"""The fan-out door through the SDK itself: it must hand over a body that streams, untouched, and leave it to us."""

import asyncio

import pytest

from kcl_py.aws.fan_out import KinesisFanOut, connection_for_pages
from kcl_py.core.position import ReadFrom
from kcl_py.errors import ConsumerMissing, KclError, SubscriptionTaken
from kcl_py.interfaces import Page
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.kinesis_server import KinesisServer
from kcl_py.local.limits import Limits
from kcl_py.local.requests import CreateStream, PutRecord
from kcl_py.local.server_thread import ServerThread

STREAM, SHARD = "orders", "shardId-000000000000"
START = ReadFrom("TRIM_HORIZON")


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch):
    """Our own Kinesis, with ten records in one shard."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr("kcl_py.aws.fan_out._REGISTRATION_POLL_SECONDS", 0.05)
    server = KinesisServer(KinesisModel(limits=Limits.unthrottled()))
    with ServerThread(server) as running:
        running.ask(CreateStream(stream_name=STREAM, shard_count=1))
        for number in range(10):
            running.ask(PutRecord(stream_name=STREAM, data=b"%d" % number, partition_key="k"))
        yield running.url


@pytest.fixture
async def fan_out(url: str):
    door = KinesisFanOut(connection_for_pages(STREAM, endpoint_url=url, region="eu-west-1"))
    yield door
    await door.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}, "the SDK was left with something to clear away"


async def read_to_the_tip(fan_out: KinesisFanOut, arn: str, start: ReadFrom = START) -> list[Page]:
    subscription = await fan_out.subscribe(arn, SHARD, start)
    pages: list[Page] = []
    while not pages or pages[-1].millis_behind_latest:
        page = await subscription.read()
        assert page is not None
        pages.append(page)
    await subscription.close()
    return pages


async def test_what_was_put_is_pushed(fan_out: KinesisFanOut):
    consumer = await fan_out.register("billing")
    pages = await read_to_the_tip(fan_out, consumer.arn)
    assert [one.data for page in pages for one in page.records] == [b"%d" % number for number in range(10)]
    assert await fan_out.consumers() == (consumer,)


async def test_the_sdk_never_sees_an_event(fan_out: KinesisFanOut, monkeypatch: pytest.MonkeyPatch):
    async def parse(*_: object):
        raise AssertionError("an event was parsed")

    monkeypatch.setattr("aiobotocore.eventstream.AioEventStream._parse_event", parse)
    consumer = await fan_out.register("billing")
    assert await read_to_the_tip(fan_out, consumer.arn)


async def test_who_goes_on_after_a_page_misses_nothing_and_sees_nothing_again(fan_out: KinesisFanOut):
    consumer = await fan_out.register("billing")
    subscription = await fan_out.subscribe(consumer.arn, SHARD, START)
    first = await subscription.read()
    assert first is not None
    assert first.next_iterator is not None
    await subscription.close()
    assert len(first.records) == 10
    other = await fan_out.register("shipping")
    again = await read_to_the_tip(
        fan_out, other.arn, ReadFrom("AFTER_SEQUENCE_NUMBER", sequence_number=first.records[3].sequence_number)
    )
    assert [one.data for page in again for one in page.records] == [b"%d" % number for number in range(4, 10)]


@pytest.mark.parametrize("is_taken", [True, False])
async def test_a_refusal_keeps_its_type(fan_out: KinesisFanOut, is_taken: bool):
    consumer = await fan_out.register("billing")
    expected: type[KclError] = SubscriptionTaken
    if is_taken:
        await fan_out.subscribe(consumer.arn, SHARD, START)
    else:
        expected = ConsumerMissing
        await fan_out.deregister("billing")
        while await fan_out.consumers():
            await asyncio.sleep(0.05)
    with pytest.raises(expected):
        await fan_out.subscribe(consumer.arn, SHARD, START)
