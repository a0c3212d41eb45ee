"""The pages of a subscription: what was pushed, in order, until it ends; and a connection that is let go of."""

import asyncio
import gc
from typing import Any

import pytest
from aiohttp import web

from kcl_py.aws.fan_out import KinesisFanOut
from kcl_py.aws.kinesis import KinesisStream
from kcl_py.core.position import ReadFrom
from kcl_py.core.shard import ChildShard, HashRange
from kcl_py.errors import ServiceUnavailable
from kcl_py.interfaces import Page, Subscription
from tests.aws.event_frames import INITIAL, child, event, frame, hang_up, message, pushed, streams
from tests.aws.fan_out_answers import CONSUMER_ARN, START, opened
from tests.aws.kinesis_answers import ITERATOR, SHARD, number_of, page, record
from tests.aws.scripted_kinesis import ScriptedKinesis, connected, says


async def subscribed(service: ScriptedKinesis, fan_out: KinesisFanOut, *pieces: bytes, **ends: Any) -> Subscription:
    service.will("SubscribeToShard", streams(*pieces, **ends))
    return await fan_out.subscribe(CONSUMER_ARN, SHARD, START)


async def all_of(subscription: Subscription) -> list[Page]:
    pages = []
    while (one := await subscription.read()) is not None:
        pages.append(one)
    return pages


@pytest.mark.parametrize(
    ("position", "sent"),
    [
        (START, {"Type": "TRIM_HORIZON"}),
        (ReadFrom("LATEST"), {"Type": "LATEST"}),
        (
            ReadFrom("AFTER_SEQUENCE_NUMBER", sequence_number="7"),
            {"Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": "7"},
        ),
        (ReadFrom("AT_SEQUENCE_NUMBER", sequence_number="7"), {"Type": "AT_SEQUENCE_NUMBER", "SequenceNumber": "7"}),
        (
            ReadFrom("AT_TIMESTAMP", timestamp_ms=1_772_355_600_900),
            {"Type": "AT_TIMESTAMP", "Timestamp": 1_772_355_600},
        ),
    ],
)
async def test_it_begins_where_it_is_told_to(
    service: ScriptedKinesis, fan_out: KinesisFanOut, position: ReadFrom, sent: dict[str, object]
) -> None:
    service.will("SubscribeToShard", streams(INITIAL))
    subscription = await fan_out.subscribe(CONSUMER_ARN, SHARD, position)
    assert service.sent("SubscribeToShard") == [
        {"ConsumerARN": CONSUMER_ARN, "ShardId": SHARD, "StartingPosition": sent}
    ]
    assert await all_of(subscription) == []


async def test_pages_come_in_order_and_end_with_the_subscription(
    service: ScriptedKinesis, fan_out: KinesisFanOut
) -> None:
    first = pushed(record("21"), record("22"), continuation="25", MillisBehindLatest=1500)
    subscription = await subscribed(
        service, fan_out, INITIAL, event(first), event(pushed(continuation="26")), event(pushed(record("31")))
    )
    pages = await all_of(subscription)
    assert [[one.sequence_number for one in found.records] for found in pages] == [["21", "22"], [], ["31"]]
    assert [found.next_iterator for found in pages] == ["25", "26", "30"]
    assert pages[0].millis_behind_latest == 1500
    assert await subscription.read() is None, "who asks again is told again"


async def test_a_pushed_page_is_what_a_polled_one_is(service: ScriptedKinesis, fan_out: KinesisFanOut) -> None:
    records = [record(number_of(0, 1)), record(number_of(0, 2), Data="", EncryptionType="KMS", Unknown={"a": [1]})]
    service.will("GetRecords", says(page(*records)))
    stream = connected(service)
    polled = await stream.read(ITERATOR, 10)
    await stream.close()
    (one,) = await all_of(await subscribed(service, fan_out, INITIAL, event(pushed(*records))))
    assert one.records == polled.records
    assert one.size_bytes == polled.size_bytes == 5 + 2 * len("ä".encode())


async def test_the_last_page_of_a_closed_shard_names_its_children(
    service: ScriptedKinesis, fan_out: KinesisFanOut
) -> None:
    last = pushed(record(), continuation=None, ChildShards=[child(2), child(1)])
    (one,) = await all_of(await subscribed(service, fan_out, INITIAL, event(last)))
    assert one.next_iterator is None
    assert one.child_shards == tuple(
        ChildShard(shard_id=f"shardId-00000000000{n}", hash_range=HashRange(0, 9), parent_shard_ids=(SHARD,))
        for n in (1, 2)
    )


@pytest.mark.parametrize("piece_bytes", [1, 7, 12, 13, 64, 10_000])
async def test_frames_may_come_in_any_pieces(
    service: ScriptedKinesis, fan_out: KinesisFanOut, piece_bytes: int
) -> None:
    body = INITIAL + b"".join(event(pushed(record(str(number)))) for number in range(21, 25))
    pieces = [body[at : at + piece_bytes] for at in range(0, len(body), piece_bytes)]
    pages = await all_of(await subscribed(service, fan_out, *pieces))
    assert [found.records[0].sequence_number for found in pages] == ["21", "22", "23", "24"]


async def test_the_largest_event_gets_through(service: ScriptedKinesis, fan_out: KinesisFanOut) -> None:
    large = "A" * (14 * 1024 * 1024)  # a record of 10.5 MB, in base64
    (one,) = await all_of(await subscribed(service, fan_out, INITIAL, event(pushed(record(Data=large)))))
    assert len(one.records[0].data) == len(large) * 3 // 4


async def test_what_is_not_known_yet_is_passed_over(service: ScriptedKinesis, fan_out: KinesisFanOut) -> None:
    pages = await all_of(
        await subscribed(
            service,
            fan_out,
            INITIAL,
            event({"Anything": 1}, "SomethingElse"),
            frame({":message-type": "event", ":event-type": "binary"}, b"\x00\xff"),
            message({":message-type": "whisper"}, {}),
            INITIAL,
            event(pushed(record("21"), Surprise={"deep": [[]]})),
        )
    )
    assert [found.records[0].sequence_number for found in pages] == ["21"]


async def test_an_endpoint_that_says_nothing_before_its_first_event_is_taken_as_it_is(
    service: ScriptedKinesis, fan_out: KinesisFanOut
) -> None:
    pages = await all_of(await subscribed(service, fan_out, event(pushed(record("21"))), event(pushed(record("22")))))
    assert [found.records[0].sequence_number for found in pages] == ["21", "22"]


async def test_to_subscribe_waits_for_the_services_word(service: ScriptedKinesis) -> None:
    may_speak = asyncio.Event()
    loop = asyncio.get_running_loop()
    answering = asyncio.Event()

    async def hesitates(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        loop.call_soon_threadsafe(answering.set)
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(may_speak.wait(), loop))
        await response.write(INITIAL)
        return response

    service.will("SubscribeToShard", hesitates)
    door = opened(service)
    subscribing = asyncio.create_task(door.subscribe(CONSUMER_ARN, SHARD, START))
    await answering.wait()
    assert not subscribing.done()
    may_speak.set()
    await subscribing
    await door.close()


async def test_a_read_that_is_cancelled_loses_nothing(service: ScriptedKinesis) -> None:
    loop = asyncio.get_running_loop()
    whole = event(pushed(record("21")))
    go_on = [asyncio.Event() for _ in whole[::40]]

    async def slowly(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(INITIAL)
        for number, gate in enumerate(go_on):
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(gate.wait(), loop))
            await response.write(whole[number * 40 : number * 40 + 40])
        return response

    service.will("SubscribeToShard", slowly)
    door = opened(service)
    subscription = await door.subscribe(CONSUMER_ARN, SHARD, START)
    for gate in go_on[:-1]:
        reading = asyncio.create_task(subscription.read())
        gate.set()
        for _ in range(20):
            await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    go_on[-1].set()
    one = await subscription.read()
    assert one is not None
    assert [found.sequence_number for found in one.records] == ["21"]
    assert await subscription.read() is None
    await door.close()


class Flood:
    """Pushes one event after the other for as long as somebody takes them, and counts the bytes that got away."""

    def __init__(self) -> None:
        self.bytes_written = 0
        self.is_stopped = False

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(INITIAL)
        number = 20
        while True:
            number += 1
            one = event(pushed(record(str(number), Data="A" * 400_000)))
            try:
                await asyncio.wait_for(response.write(one), 0.5)
            except TimeoutError:
                self.is_stopped = True
                await asyncio.Event().wait()
            self.bytes_written += len(one)


async def test_who_does_not_read_stops_the_service(service: ScriptedKinesis) -> None:
    flood = Flood()
    service.will("SubscribeToShard", flood)
    door = opened(service)
    subscription = await door.subscribe(CONSUMER_ARN, SHARD, START)
    while not flood.is_stopped:
        await asyncio.sleep(0.01)
    assert flood.bytes_written < 16_000_000, "the sockets' buffers hold some megabytes, and nothing else does"
    held = flood.bytes_written
    for number in range(21, 24):
        one = await subscription.read()
        assert one is not None
        assert one.records[0].sequence_number == str(number)
    assert flood.bytes_written == held
    await door.close()


async def test_hundreds_of_subscriptions_leave_polling_its_connections(service: ScriptedKinesis) -> None:
    service.will("GetRecords", says(page(record("21"))))
    service.will("SubscribeToShard", streams(INITIAL, event(pushed(record("21"))), stays=True))
    door = opened(service)
    subscriptions = await asyncio.gather(*(door.subscribe(CONSUMER_ARN, SHARD, START) for _ in range(300)))
    pages = await asyncio.gather(*(one.read() for one in subscriptions))
    assert sum(len(found.records) for found in pages if found is not None) == 300
    assert asyncio.all_tasks() == {asyncio.current_task()}, "a subscription is no task"
    stream: KinesisStream = connected(service)
    assert len((await stream.read(ITERATOR, 1)).records) == 1
    await stream.close()
    await door.close()


async def test_the_loop_has_nothing_of_the_sdk_to_clear_away(service: ScriptedKinesis, fan_out: KinesisFanOut) -> None:
    made: list[str] = []

    def note(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> asyncio.Task[Any]:
        made.append(type(work).__name__)
        return asyncio.Task(work, loop=loop, **more)

    asyncio.get_running_loop().set_task_factory(note)
    assert await all_of(await subscribed(service, fan_out, INITIAL)) == []
    gc.collect()  # the SDK's stream and its generator hold each other
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert "async_generator_athrow" not in made


async def test_to_unsubscribe_closes_the_connection(service: ScriptedKinesis, fan_out: KinesisFanOut) -> None:
    loop, gone = asyncio.get_running_loop(), asyncio.Event()

    async def watches(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(INITIAL)
        while request.transport is not None and not request.transport.is_closing():
            await asyncio.sleep(0.01)
        loop.call_soon_threadsafe(gone.set)
        return response

    service.will("SubscribeToShard", watches)
    subscription = await fan_out.subscribe(CONSUMER_ARN, SHARD, START)
    await subscription.close()
    await subscription.close()
    await asyncio.wait_for(gone.wait(), 10)
    with pytest.raises(ServiceUnavailable, match="closed"):
        await subscription.read()


async def test_the_door_takes_its_subscriptions_with_it(service: ScriptedKinesis) -> None:
    door = opened(service)
    subscription = await subscribed(service, door, INITIAL, event(pushed(record("21"))), stays=True)
    waiting = await subscribed(service, door, INITIAL, stays=True)
    reading = asyncio.create_task(waiting.read())
    await asyncio.sleep(0)
    await door.close()
    with pytest.raises(ServiceUnavailable):
        await subscription.read()
    with pytest.raises(ServiceUnavailable):
        await reading
    await door.close()


@pytest.mark.parametrize("cut_at", [0, 5, 12, 40, -1])
async def test_a_connection_that_breaks_is_told(service: ScriptedKinesis, fan_out: KinesisFanOut, cut_at: int) -> None:
    whole = event(pushed(record("22")))
    subscription = await subscribed(
        service, fan_out, INITIAL, event(pushed(record("21"))), whole[:cut_at], then=hang_up
    )
    one = await subscription.read()
    assert one is not None
    assert one.next_iterator == "30"
    with pytest.raises(ServiceUnavailable, match=f"{SHARD} of stream orders got no usable answer"):
        await subscription.read()


@pytest.mark.parametrize("cut_at", [5, 12, 40, -1])
async def test_a_stream_that_ends_inside_a_frame_did_not_end_well(
    service: ScriptedKinesis, fan_out: KinesisFanOut, cut_at: int
) -> None:
    subscription = await subscribed(service, fan_out, INITIAL, event(pushed(record("21")))[:cut_at])
    with pytest.raises(ServiceUnavailable):
        await subscription.read()


async def test_a_service_that_never_says_a_word_is_given_up(service: ScriptedKinesis) -> None:
    door = opened(service, deadline_seconds=0.3)
    service.will("SubscribeToShard", streams(stays=True))
    with pytest.raises(ServiceUnavailable, match="SubscribeToShard on stream orders got no usable answer"):
        await door.subscribe(CONSUMER_ARN, SHARD, START)
    await door.close()
