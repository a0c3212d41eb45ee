"""SubscribeToShard over the wire: what arrives when, in which order, and what happens to who does not read."""

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aioboto3
import pytest
from aiohttp import ClientResponse, ClientSession
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import EventStreamError

from kcl_py.local import requests
from kcl_py.local.answers import RegisterStreamConsumerAnswer
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.kinesis_server import KinesisServer
from kcl_py.local.limits import MIB, Limits
from tests.local.ticking_clock import TickingClock

ZERO = "shardId-000000000000"
CREDENTIALS = {"region_name": "us-east-1", "aws_access_key_id": "local", "aws_secret_access_key": "local"}
FREE = Limits.unthrottled()


class Wire:
    """A server with a stream and a consumer, and raw subscriptions to it."""

    def __init__(self, server: KinesisServer, http: ClientSession, consumer_arn: str, clock: TickingClock) -> None:
        self.server = server
        self.consumer_arn = consumer_arn
        self.clock = clock
        self._http = http
        self._responses: list[ClientResponse] = []

    def advance(self, seconds: float) -> None:
        """Turn the clock, and have the subscriptions look at it now instead of in a quarter of a second."""
        self.clock.advance(seconds=seconds)
        self.server.model.stream("s", None, self.clock()).consumers.wake()

    def close(self) -> None:
        for response in self._responses:
            response.close()

    async def put(self, data: bytes) -> None:
        await self.server.ask(requests.PutRecord(stream_name="s", data=data, partition_key="k"))

    async def subscribe(self, kind: str = "TRIM_HORIZON") -> ClientResponse:
        body = {"ConsumerARN": self.consumer_arn, "ShardId": ZERO, "StartingPosition": {"Type": kind}}
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "Kinesis_20131202.SubscribeToShard",
        }
        sent = io.BytesIO(json.dumps(body).encode())
        response = await self._http.post(self.server.url, data=sent, headers=headers)
        self._responses.append(response)
        return response


@asynccontextmanager
async def wire(limits: Limits = FREE) -> AsyncIterator[Wire]:
    clock = TickingClock()
    async with KinesisServer(KinesisModel(limits=limits), clock_ms=clock) as server, ClientSession() as http:
        await server.ask(requests.CreateStream(stream_name="s", shard_count=1))
        arn = server.model.arn_of("s")
        answer = await server.ask(requests.RegisterStreamConsumer(stream_arn=arn, consumer_name="billing"))
        assert isinstance(answer, RegisterStreamConsumerAnswer)
        site = Wire(server, http, answer.consumer.consumer_arn, clock)
        yield site
        site.close()


class Incoming:
    """Headers and bodies of the messages of a response, up to its end."""

    def __init__(self, response: ClientResponse) -> None:
        self._response = response
        self._buffer = EventStreamBuffer()

    def __aiter__(self) -> "Incoming":
        return self

    async def __anext__(self) -> tuple[dict[str, str], Any]:
        while True:
            for message in self._buffer:
                return message.headers, json.loads(message.payload)
            chunk = await self._response.content.readany()
            if not chunk:
                raise StopAsyncIteration
            self._buffer.add_data(chunk)


async def test_the_first_message_is_the_initial_response_and_comes_without_a_record() -> None:
    async with wire() as site:
        response = await site.subscribe()
        assert response.headers["Content-Type"] == "application/vnd.amazon.eventstream"
        async with asyncio.timeout(5):
            headers, body = await anext(Incoming(response))
        assert headers[":event-type"] == "initial-response"
        assert body == {}


async def test_a_record_is_pushed_within_moments_of_its_put_and_all_in_order() -> None:
    async with wire() as site:
        incoming = Incoming(await site.subscribe())
        await anext(incoming)
        latencies = []
        for number in range(50):
            began = time.perf_counter()
            await site.put(str(number).encode())
            _, body = await anext(incoming)
            latencies.append(time.perf_counter() - began)
            assert len(body["Records"]) == 1
        assert sorted(latencies)[25] < 0.1, "the median waited for a look at the clock"
        for number in range(1_000):
            await site.put(str(number).encode())
        numbers: list[str] = []
        while len(numbers) < 1_000:
            _, body = await anext(incoming)
            numbers += [record["SequenceNumber"] for record in body["Records"]]
            assert body["ContinuationSequenceNumber"] == numbers[-1]
        assert numbers == sorted(set(numbers), key=int)


async def test_a_subscription_lives_five_minutes_and_ends_in_order() -> None:
    async with wire() as site:
        incoming = Incoming(await site.subscribe())
        await anext(incoming)
        site.advance(299)
        _, body = await anext(incoming)
        assert body["Records"] == []
        site.clock.advance(seconds=1)
        assert [message async for message in incoming] == []


async def test_another_subscription_takes_over_after_five_seconds_and_the_older_one_is_told() -> None:
    async with wire() as site:
        first = Incoming(await site.subscribe())
        await anext(first)
        refused = await site.subscribe()
        assert refused.status == 400
        assert (await refused.json(content_type=None))["__type"] == "ResourceInUseException"
        site.advance(5)
        second = Incoming(await site.subscribe())
        await anext(second)
        *events, (headers, _) = [message async for message in first]
        assert headers[":exception-type"] == "ResourceInUseException"
        assert [body["Records"] for _, body in events] in ([], [[]])  # an empty one was due at the same moment
        await site.put(b"x")
        assert len((await anext(second))[1]["Records"]) == 1


@pytest.mark.parametrize("what", ["consumer", "stream"])
async def test_a_consumer_or_stream_that_goes_ends_the_subscription_with_an_error(what: str) -> None:
    async with wire() as site:
        incoming = Incoming(await site.subscribe())
        await anext(incoming)
        if what == "consumer":
            await site.server.ask(requests.DeregisterStreamConsumer(consumer_arn=site.consumer_arn))
        else:
            await site.server.ask(requests.DeleteStream(stream_name="s", enforce_consumer_deletion=True))
        [(headers, body)] = [message async for message in incoming]
        assert headers[":exception-type"] == "ResourceNotFoundException"
        assert body["message"].startswith("Consumer" if what == "consumer" else "Stream")


async def test_two_megabytes_a_second_go_to_a_consumer() -> None:
    async with wire(Limits(put_bytes_per_second=100 * MIB)) as site:
        for _ in range(6):
            await site.put(b"x" * (MIB - 1))
        incoming = Incoming(await site.subscribe())
        await anext(incoming)
        seconds = []
        for _ in range(6):
            pushed = asyncio.create_task(incoming.__anext__())
            waited = 0.0
            while not (await asyncio.wait([pushed], timeout=0.1))[0]:
                site.advance(0.25)
                waited += 0.25
            seconds.append(waited)
            assert len(pushed.result()[1]["Records"]) == 1
        assert seconds == [0, 0, 0.5, 0.5, 0.5, 0.5]


async def test_the_server_reads_no_further_than_the_client_takes() -> None:
    async with wire(FREE) as site:
        for _ in range(40):
            await site.put(b"x" * (MIB - 1))
        reader, writer = await asyncio.open_connection(site.server.host, site.server.port, limit=2**16)
        body = json.dumps(
            {"ConsumerARN": site.consumer_arn, "ShardId": ZERO, "StartingPosition": {"Type": "TRIM_HORIZON"}}
        ).encode()
        writer.write(
            b"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: Kinesis_20131202.SubscribeToShard\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body) + body
        )
        consumer = site.server.model.stream("s", None, site.clock()).consumers.get("billing", site.clock())
        assert consumer is not None
        taken = await settled(consumer)
        assert 0 < taken < 20, "of forty events, what the sockets hold"
        total = 0
        while total < 15 * MIB:
            total += len(await reader.read(2**20))
        assert await settled(consumer) > taken
        writer.transport.abort()


async def settled(consumer: Any) -> int:
    """How many events were made, once no more are."""
    while ZERO not in consumer._latest:
        await asyncio.sleep(0.01)
    subscription = consumer._latest[ZERO]
    before = -1
    while subscription._place != before:
        before = subscription._place
        await asyncio.sleep(0.2)
    return int(before)


async def test_a_client_that_never_reads_is_dropped_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kcl_py.local.subscription_response._GRACE_SECONDS", 0.1)
    async with wire(
        Limits(subscription_lifetime_ms=200, put_bytes_per_second=100 * MIB, event_bytes_max=30 * MIB)
    ) as site:
        for _ in range(20):
            await site.put(b"x" * (MIB - 1))
        response = await site.subscribe()
        assert response.status == 200
        async with asyncio.timeout(5):
            while site.server._subscriptions:
                await asyncio.sleep(0.01)


async def test_stopping_the_server_ends_the_subscriptions() -> None:
    async with wire() as site:
        incoming = Incoming(await site.subscribe())
        await anext(incoming)
        async with asyncio.timeout(5):
            await site.server.stop()
            assert [message async for message in incoming] == []


async def test_who_went_away_without_a_word_is_forgotten_at_the_next_event() -> None:
    async with wire() as site:
        response = await site.subscribe()
        await anext(Incoming(response))
        response.close()
        async with asyncio.timeout(5):
            while site.server._subscriptions:
                await site.put(b"x")
                await asyncio.sleep(0.01)
        consumer = site.server.model.stream("s", None, site.clock()).consumers.get("billing", site.clock())
        assert consumer is not None
        assert consumer._latest[ZERO].is_over


async def test_aioboto3_reads_records_children_and_errors() -> None:
    async with (
        wire() as site,
        aioboto3.Session(**CREDENTIALS).client("kinesis", endpoint_url=site.server.url) as client,
    ):
        for number in range(3):
            await site.put(str(number).encode())
        start = {"ConsumerARN": site.consumer_arn, "ShardId": ZERO}
        answer = await client.subscribe_to_shard(**start, StartingPosition={"Type": "TRIM_HORIZON"})
        pushed = aiter(answer["EventStream"])
        event = (await anext(pushed))["SubscribeToShardEvent"]
        assert [record["Data"] for record in event["Records"]] == [b"0", b"1", b"2"]
        site.advance(5)
        after = {"Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": event["Records"][1]["SequenceNumber"]}
        second = await client.subscribe_to_shard(**start, StartingPosition=after)
        with pytest.raises(EventStreamError, match="ResourceInUseException"):
            async for _ in pushed:
                pass
        assert [message async for message in answer["EventStream"]] == []
        pushed = aiter(second["EventStream"])
        event = (await anext(pushed))["SubscribeToShardEvent"]
        assert [record["Data"] for record in event["Records"]] == [b"2"]
        await client.split_shard(StreamName="s", ShardToSplit=ZERO, NewStartingHashKey=str(2**127))
        last = [message["SubscribeToShardEvent"] async for message in pushed][-1]
        assert "ContinuationSequenceNumber" not in last
        assert [child["ParentShards"] for child in last["ChildShards"]] == [[ZERO]] * 2
