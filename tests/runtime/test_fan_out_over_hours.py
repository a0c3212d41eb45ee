"""What enhanced fan-out says, notes and remembers over hours: corners that no record depends on at once."""

import asyncio
import itertools
from contextlib import suppress

import msgspec
import pytest

from kcl_py.core.batch import RecordBatch
from kcl_py.core.position import ReadFrom
from kcl_py.errors import SubscriptionTaken
from kcl_py.events import FanOutInterrupted, FanOutResumed, ShardStalled
from kcl_py.interfaces import FanOut, Page, Subscription
from kcl_py.local.doors import loop_clock_ms
from kcl_py.local.faults import AnswerChanged, Broken, Effect, Fault, Refused
from kcl_py.processor import Checkpointer
from kcl_py.runtime.data import shard_position
from tests.runtime.bench import Recording, Site
from tests.runtime.subscriptions import DOWN, fan_out_worker, noted, rival_subscribes
from tests.virtual_time import run

HOUR = 3600.0


def over(_: Page | None) -> None:
    """In place of a page: the subscription is over."""


def behind(page: Page | None) -> Page | None:
    return msgspec.structs.replace(page, millis_behind_latest=60_000) if page is not None else None


# -- subscriptions that bring nothing -----------------------------------------------------------------------------


@pytest.mark.parametrize("effect", [Refused(DOWN), AnswerChanged(over)])
def test_subscriptions_that_stand_and_bring_nothing_are_given_up_for_minutes_like_those_that_are_refused(
    effect: Effect,
):
    async def story():
        site = Site()
        worker = fan_out_worker(site)
        asked = noted(worker).asked
        worker.fan_out.faults.append(Fault(operation="receive", effect=effect))
        put = []
        for _ in range(600):
            put += site.put(1)
            await asyncio.sleep(1)
        assert len(asked) <= 15, "five in a row, then none for two minutes or more"
        assert len(worker.seen(FanOutInterrupted)) <= 15
        await worker.drain()
        assert site.payloads() == put

    run(story())


def test_every_interruption_is_said_and_every_return_once():
    async def story():
        site = Site()
        worker = fan_out_worker(site)
        for interruptions in (1, 2):
            await asyncio.sleep(30)
            await rival_subscribes(site)
            await asyncio.sleep(1000)  # and renewals
            assert len(worker.seen(FanOutInterrupted)) == len(worker.seen(FanOutResumed)) == interruptions
        await worker.drain()

    run(story())


def test_who_had_the_shard_for_long_is_not_held_to_what_was_fought_over_before():
    async def story():
        site = Site()
        worker = fan_out_worker(site)
        asked = noted(worker).asked
        fight = Fault(operation="receive", effect=Broken(SubscriptionTaken("taken"), seconds=1.0))
        worker.fan_out.faults.append(fight)
        await asyncio.sleep(200)
        worker.fan_out.faults.remove(fight)
        pauses = [later - earlier for (earlier, *_), (later, *_) in itertools.pairwise(asked)]
        assert max(pauses) > 15
        await asyncio.sleep(1000)
        await rival_subscribes(site)
        await asyncio.sleep(1)
        assert worker.seen(FanOutInterrupted)[-1].retry_in_seconds < 7
        await worker.drain()

    run(story())


def test_a_pause_without_polling_is_no_stall():
    async def story():
        site = Site()
        worker = fan_out_worker(site, fan_out_fallback=False, stall_timeout_seconds=10.0)
        worker.fan_out.faults.append(Fault(operation="receive", effect=Broken(SubscriptionTaken("taken"), seconds=1.0)))
        await asyncio.sleep(500)
        assert max(event.retry_in_seconds for event in worker.seen(FanOutInterrupted)) > 0
        assert not worker.seen(ShardStalled)
        await worker.drain()

    run(story())


# -- what is noted, and what is remembered ------------------------------------------------------------------------


def test_that_an_idle_shard_missed_nothing_is_noted_as_of_when_a_subscription_began():
    async def story():
        site = Site()
        site.put(5)
        worker = fan_out_worker(site)
        asked = noted(worker).asked
        offset_ms = loop_clock_ms() - asyncio.get_running_loop().time() * 1000
        await asyncio.sleep(1300)
        noted_at_ms = (await site.row()).caught_up_at_ms or 0
        assert min(abs(noted_at_ms - offset_ms - at * 1000) for at, *_ in asked) < 1_500
        await worker.drain()

    run(story())


def test_a_shard_that_is_behind_notes_nothing():
    async def story():
        site = Site()
        site.put(5)
        worker = fan_out_worker(site)
        worker.fan_out.faults.append(Fault(operation="receive", effect=AnswerChanged(behind)))
        await asyncio.sleep(1300)
        assert (await site.row()).caught_up_at_ms is None
        await worker.drain()

    run(story())


def test_an_idle_shard_goes_on_noting_that_it_missed_nothing_while_polling_stands_in_and_afterwards():
    async def story():
        site = Site()
        site.put(5)
        worker = fan_out_worker(site)
        await asyncio.sleep(30)
        outage = Fault(operation="subscribe", effect=Refused(DOWN))
        worker.fan_out.faults += [outage, Fault(operation="receive", effect=Refused(DOWN), times=1)]
        for _ in range(2):  # with the outage, and without it
            await asyncio.sleep(1.5 * HOUR)
            assert loop_clock_ms() - ((await site.row()).caught_up_at_ms or 0) < 1_200_000
            if outage in worker.fan_out.faults:
                worker.fan_out.faults.remove(outage)
        assert worker.seen(FanOutResumed)
        await worker.drain()

    run(story())


def test_a_page_that_waited_for_long_in_its_connection_proves_nothing_about_what_follows_it(monkeypatch):
    monkeypatch.setattr(shard_position, "SURELY_KEPT_SECONDS", 600.0)

    class Slow(Recording):
        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            await super().process_records(records, checkpointer)
            if len(self.site.delivered) == 1:
                await asyncio.sleep(700)

    async def story():
        site = Site()
        worker = fan_out_worker(site, Slow, stall_timeout_seconds=HOUR)
        asked = noted(worker).asked
        worker.fan_out.fan_out = Ahead(worker.fan_out.fan_out)  # type: ignore[assignment]
        put = []
        for _ in range(20):
            put += site.put(1)
            await asyncio.sleep(0.1)
        await asyncio.sleep(800)
        assert [place.kind for _, _, place in asked[:2]] == ["TRIM_HORIZON", "AT_SEQUENCE_NUMBER"]
        assert site.payloads() == put
        await worker.drain()

    run(story())


class Ahead:
    """A door whose first subscription brings what was pushed in its first three seconds, whenever that is taken."""

    def __init__(self, fan_out: FanOut) -> None:
        self._fan_out = fan_out
        self._pages: list[Page] = []
        self._has_begun = False

    async def subscribe(self, consumer_arn: str, shard_id: str, position: ReadFrom) -> Subscription:
        subscription = await self._fan_out.subscribe(consumer_arn, shard_id, position)
        if self._has_begun:
            return subscription
        self._has_begun = True
        with suppress(TimeoutError):
            async with asyncio.timeout(3):
                while (page := await subscription.read()) is not None:
                    self._pages.append(page)
        return self

    async def read(self) -> Page | None:
        return self._pages.pop(0) if self._pages else None

    async def close(self) -> None:
        """Nothing is held."""

    def __getattr__(self, operation: str) -> object:
        return getattr(self._fan_out, operation)
