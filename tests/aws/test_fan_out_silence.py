"""How long a page may take, in virtual time: a dead connection is told from a quiet one, a slow one is let finish."""

import asyncio
from collections.abc import Sequence

import pytest

from kcl_py.aws.subscription import PAGE_SECONDS, KinesisSubscription
from kcl_py.errors import ServiceUnavailable
from tests.aws.event_frames import INITIAL, event, pushed, subscription_on
from tests.aws.kinesis_answers import record
from tests.virtual_time import run

QUIET = event(pushed(continuation="22"))


class TimedBody:
    """An answer whose bytes come when they are due; then nothing ever comes."""

    def __init__(self, pieces: Sequence[tuple[float, bytes]]) -> None:
        self._pieces = [(0.0, INITIAL), *pieces]
        self._came = b""
        self.is_closed = False

    @property
    def content(self) -> "TimedBody":
        return self

    async def read(self, n: int) -> bytes:
        while not self._came:
            if not self._pieces:
                await asyncio.Event().wait()
            pause_seconds, piece = self._pieces[0]
            await asyncio.sleep(pause_seconds)
            self._came += piece
            del self._pieces[0]
        piece, self._came = self._came[:n], self._came[n:]
        return piece

    def close(self) -> None:
        self.is_closed = True


async def subscribed(*pieces: tuple[float, bytes]) -> tuple[KinesisSubscription, TimedBody]:
    body = TimedBody(pieces)
    subscription = subscription_on(body)
    await subscription.begin()
    return subscription, body


def seconds_passed() -> float:
    return asyncio.get_running_loop().time() - 1_000


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([], id="nothing"),
        pytest.param([(1.0, b"\x00\x00\x01")], id="a frame that goes no further"),
        pytest.param([(5.0, one) for one in [b"\x00", b"\x00", b"\x10"] * 100], id="a byte now and then"),
        pytest.param([(5.0, event({}, "Nothing"))] * 100, id="frames that hold no page"),
    ],
)
def test_a_connection_on_which_no_page_comes_is_dead(pieces: list[tuple[float, bytes]]) -> None:
    async def story() -> None:
        subscription, body = await subscribed(*pieces)
        with pytest.raises(ServiceUnavailable, match="SubscribeToShard on stream orders"):
            await subscription.read()
        assert seconds_passed() <= PAGE_SECONDS + 0.1
        assert body.is_closed

    run(story())


def test_a_shard_without_records_is_quiet_and_lives() -> None:
    async def story() -> None:
        subscription, _ = await subscribed(*[(5.0, QUIET)] * 60)
        for _ in range(60):
            page = await subscription.read()
            assert page is not None
            assert page.records == []
        assert 300 <= seconds_passed() < 301, "well past what any call may take"

    run(story())


def test_an_event_may_take_its_time_on_a_slow_line() -> None:
    async def story() -> None:
        whole = event(pushed(record("21", Data="A" * 400)))
        pieces = [(1.0, whole[at : at + 16]) for at in range(0, len(whole), 16)]
        assert 30 < len(pieces) < PAGE_SECONDS
        subscription, _ = await subscribed(*pieces)
        page = await subscription.read()
        assert page is not None
        assert len(page.records) == 1

    run(story())


def test_the_time_of_a_slow_processor_is_not_the_services() -> None:
    async def story() -> None:
        subscription, _ = await subscribed(*[(5.0, QUIET)] * 2)
        await subscription.read()
        await asyncio.sleep(600)
        assert await subscription.read() is not None

    run(story())
