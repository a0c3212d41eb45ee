"""Large pages that come in together are decoded one after the other, and the loop does its other work in between."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec
import pytest

from kcl_py.aws.http_connection import Answer
from kcl_py.aws.kinesis import KinesisStream
from kcl_py.aws.subscription import KinesisSubscription
from kcl_py.aws.turnstile import Turnstile
from tests.aws.event_frames import INITIAL, event, pushed, subscription_on
from tests.aws.kinesis_answers import ITERATOR, page, record
from tests.aws.scripted_kinesis import ScriptedKinesis, connected, says
from tests.virtual_time import run

SHARDS = 4
LARGE_BYTES, SMALL_BYTES = 100_000, 10_000


class Passes:
    """Counts the passes of the loop."""

    def __init__(self) -> None:
        self.now = 0

    async def count(self) -> None:
        while True:
            self.now += 1
            await asyncio.sleep(0)


@asynccontextmanager
async def counted() -> AsyncIterator[Passes]:
    passes = Passes()
    counting = asyncio.create_task(passes.count())
    yield passes
    counting.cancel()
    await asyncio.gather(counting, return_exceptions=True)


class Together:
    """Answers all shards in one pass."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._asked = 0
        self._all = asyncio.Event()

    async def send(self, headers: Mapping[str, str], body: bytes) -> Answer:
        self._asked += 1
        if self._asked == SHARDS:
            asyncio.get_running_loop().call_soon(self._all.set)
        await self._all.wait()
        return Answer(200, {}, self._body)


async def passes_of_reads(door: KinesisStream, body: bytes) -> list[int]:
    """The passes in which the pages of all shards were there."""
    await door.read(ITERATOR, 10)
    direct = door._connection._direct
    assert direct is not None
    direct._post = Together(body)  # type: ignore[assignment]
    async with counted() as passes:

        async def read() -> int:
            assert len((await door.read(ITERATOR, 10)).records) == 1
            return passes.now

        return list(await asyncio.gather(*(read() for _ in range(SHARDS))))


@pytest.mark.parametrize(("size_bytes", "passes"), [(LARGE_BYTES, SHARDS), (SMALL_BYTES, 1)])
async def test_of_pages_that_come_in_together_only_large_ones_wait_for_each_other(
    service: ScriptedKinesis, size_bytes: int, passes: int
) -> None:
    service.will("GetRecords", says(page()))
    door = connected(service)
    body = msgspec.json.encode(page(record(Data="A" * size_bytes)))

    assert len(set(await passes_of_reads(door, body))) == passes
    await door.close()


class Pushed:
    """The body of an answer, all of which is there."""

    def __init__(self, *events: bytes) -> None:
        self._bytes = INITIAL + b"".join(events)

    @property
    def content(self) -> "Pushed":
        return self

    async def read(self, n: int) -> bytes:
        piece, self._bytes = self._bytes[:n], self._bytes[n:]
        return piece

    def close(self) -> None:
        pass


async def subscribed(turnstile: Turnstile, *events: bytes) -> KinesisSubscription:
    subscription = subscription_on(Pushed(*events), turnstile=turnstile)
    await subscription.begin()
    return subscription


@pytest.mark.parametrize(("size_bytes", "passes"), [(LARGE_BYTES, SHARDS), (SMALL_BYTES, 1)])
async def test_so_it_is_with_pages_that_are_pushed(size_bytes: int, passes: int) -> None:
    turnstile = Turnstile()
    large = event(pushed(record("21", Data="A" * size_bytes), continuation="21"))
    subscriptions = [await subscribed(turnstile, large) for _ in range(SHARDS)]
    async with counted() as counting:

        async def read(subscription: KinesisSubscription) -> int:
            pushed_page = await subscription.read()
            assert pushed_page is not None
            return counting.now

        assert len(set(await asyncio.gather(*map(read, subscriptions)))) == passes


async def test_a_pushed_page_that_nobody_waited_for_in_the_end_is_the_next_ones() -> None:
    turnstile = Turnstile()
    pages = [event(pushed(record(number, Data="A" * LARGE_BYTES), continuation=number)) for number in ("21", "22")]
    subscription = await subscribed(turnstile, *pages)
    ahead = asyncio.create_task(turnstile.passed(LARGE_BYTES))
    reading = asyncio.create_task(subscription.read())
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.gather(ahead, reading, return_exceptions=True)
    assert reading.cancelled()

    read = [await subscription.read(), await subscription.read()]
    assert [page.records[0].sequence_number for page in read if page is not None] == ["21", "22"]
    assert await subscription.read() is None


def test_one_comes_through_in_each_pass_in_order() -> None:
    async def story() -> None:
        turnstile = Turnstile()
        came: list[tuple[str, int]] = []

        async def come(name: str, passes: Passes) -> None:
            await turnstile.passed(LARGE_BYTES)
            came.append((name, passes.now))
            if name == "a":  # comes again in the pass in which it came through
                await come("d", passes)

        async with counted() as passes:
            await asyncio.gather(*(come(name, passes) for name in "abc"))

        assert [name for name, _ in came] == ["a", "b", "c", "d"]
        assert len({at for _, at in came}) == len(came)

    run(story())


def test_who_goes_away_while_waiting_stops_nobody() -> None:
    async def story() -> None:
        turnstile = Turnstile()
        waiting = [asyncio.create_task(turnstile.passed(LARGE_BYTES)) for _ in range(4)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        waiting[2].cancel()
        async with asyncio.timeout(1):
            ends = await asyncio.gather(*waiting, return_exceptions=True)

        assert [isinstance(end, asyncio.CancelledError) for end in ends] == [True, False, True, False]

    run(story())
