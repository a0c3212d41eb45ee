"""A shard that is read by enhanced fan-out, in virtual time: renewals, what is trimmed, the end, slow processors."""

import asyncio

import msgspec

from kcl_py.core.batch import RecordBatch
from kcl_py.core.checkpoint import SHARD_END
from kcl_py.core.position import ReadFrom, StartPosition
from kcl_py.errors import SequenceRefused
from kcl_py.events import FanOutInterrupted, RecordsMissing, ShardFinished, ShardStalled
from kcl_py.interfaces import Page
from kcl_py.local.doors import loop_clock_ms
from kcl_py.local.faults import AnswerChanged, Fault, HalfOpen, Refused
from kcl_py.processor import Checkpointer
from tests.runtime.bench import SHARD_0, Recording, Site
from tests.runtime.subscriptions import DOWN, fan_out_worker, noted
from tests.virtual_time import run

HOUR = 3600.0


# -- renewals -----------------------------------------------------------------------------------------------------


def test_nothing_is_lost_or_repeated_or_polled_over_many_renewals():
    async def story():
        site = Site(shards=2)
        worker = fan_out_worker(site)
        asked = noted(worker).asked
        put = []
        for _ in range(120):
            put += site.put(3)
            await asyncio.sleep(13)
        await worker.drain()
        assert sorted(site.payloads(), key=int) == put
        assert not worker.stream.calls["read"]
        assert len(asked) == 2 * 6  # in 26 minutes
        assert not worker.seen(FanOutInterrupted)

    run(story())


def test_a_renewal_goes_on_after_the_place_that_the_last_page_named_also_when_no_record_came():
    async def story():
        site = Site()
        site.put(5)
        worker = fan_out_worker(site)
        asked = noted(worker).asked
        await asyncio.sleep(620)
        last = (await site.row()).checkpoint.sequence_number
        first, second, third = (place for _, _, place in asked)
        assert first.kind == "TRIM_HORIZON"
        assert {second.kind, third.kind} == {"AFTER_SEQUENCE_NUMBER"}
        assert int(last) < int(second.sequence_number or 0) < int(third.sequence_number or 0)
        await worker.drain()

    run(story())


def test_a_place_that_the_service_refuses_is_replaced_by_the_last_record():
    async def story():
        site = Site()
        put = site.put(5)
        worker = fan_out_worker(site)
        asked = noted(worker).asked
        await asyncio.sleep(10)
        last = (await site.row()).checkpoint.sequence_number
        worker.fan_out.faults.append(Fault(operation="subscribe", effect=Refused(SequenceRefused("odd")), times=1))
        await asyncio.sleep(320)
        put += site.put(5)
        await asyncio.sleep(5)
        assert asked[-1][2] == ReadFrom("AFTER_SEQUENCE_NUMBER", last)
        await worker.drain()
        assert site.payloads() == put
        assert worker.failure is None

    run(story())


def test_a_start_time_means_the_same_as_with_polling():
    async def story():
        site = Site()
        site.put(5)
        await asyncio.sleep(10)
        worker = fan_out_worker(site, start=StartPosition.LATEST)
        asked = noted(worker).asked
        await asyncio.sleep(10)
        put = site.put(5)
        await asyncio.sleep(10)
        assert asked[0][2].kind == "AT_TIMESTAMP"
        assert site.payloads() == put
        await worker.drain()
        later = site.put(5)
        second = fan_out_worker(site, worker_id="w2")
        asked = noted(second).asked
        await asyncio.sleep(10)
        assert asked[0][2].kind == "AT_SEQUENCE_NUMBER", "the rest of an aggregate may be unfinished"
        assert site.payloads("w2") == later
        await second.drain()

    run(story())


# -- what is trimmed ----------------------------------------------------------------------------------------------


def test_an_outage_of_minutes_is_no_gap_and_no_place_that_must_be_found_again():
    async def story():
        site = Site()
        put = site.put(5)
        worker = fan_out_worker(site)
        await asyncio.sleep(10)
        worker.fan_out.faults.append(Fault(effect=Refused(DOWN), operation="subscribe", times=6))
        await asyncio.sleep(HOUR)
        assert worker.stream.calls["read"], "polling stood in"
        put += site.put(5)
        await asyncio.sleep(10)
        assert site.payloads() == put
        assert not worker.seen(RecordsMissing)
        await worker.drain()

    run(story())


def test_an_idle_shard_notes_that_it_missed_nothing_and_not_later_than_it_is_true():
    async def story():
        site = Site()
        site.put(5)
        worker = fan_out_worker(site)
        await asyncio.sleep(1300)
        noted_at_ms = (await site.row()).caught_up_at_ms or 0
        assert 0 < loop_clock_ms() - noted_at_ms < 1_200_000
        await worker.drain()

    run(story())


# -- the end ------------------------------------------------------------------------------------------------------


def test_the_last_records_come_before_the_end_and_the_children_follow():
    async def story():
        site = Site()
        worker = fan_out_worker(site)
        await asyncio.sleep(5)
        put = site.put(20)
        site.split()
        put += site.put(20)
        await asyncio.sleep(10)
        assert (await site.row()).checkpoint == SHARD_END
        assert sorted(site.payloads(), key=int) == put
        (finished,) = worker.seen(ShardFinished)
        assert len(finished.children) == 2
        assert not worker.stream.calls["read"]
        await worker.drain()

    run(story())


def test_an_end_that_names_no_children_is_believed_when_the_listing_and_a_second_subscription_say_so():
    async def story():
        site = Site()
        worker = fan_out_worker(site, fan_out_fallback=False)
        asked = noted(worker).asked
        worker.fan_out.faults.append(Fault(operation="receive", effect=AnswerChanged(nameless), shard_id=SHARD_0))
        await asyncio.sleep(5)
        put = site.put(20)
        site.split()
        await asyncio.sleep(120)
        assert site.payloads() == put
        assert (await site.row()).checkpoint == SHARD_END
        assert sum(shard_id == SHARD_0 for _, shard_id, _ in asked) == 2
        await worker.drain()

    run(story())


def test_a_shard_that_is_said_to_end_and_is_open_goes_on():
    def ended(page: Page | None) -> Page | None:
        return msgspec.structs.replace(page, next_iterator=None, child_shards=()) if page is not None else None

    async def story():
        site = Site()
        worker = fan_out_worker(site)
        worker.fan_out.faults.append(Fault(operation="receive", effect=AnswerChanged(ended), every=2))
        put = []
        for _ in range(30):
            put += site.put(3)
            await asyncio.sleep(4)
        worker.fan_out.faults.clear()
        await asyncio.sleep(30)
        assert site.payloads() == put
        assert not worker.seen(ShardFinished)
        await worker.drain()

    run(story())


# -- flow control -------------------------------------------------------------------------------------------------


def test_a_slow_processor_is_read_for_no_faster_than_it_is_and_loses_nothing_when_its_subscription_ends():
    class Slow(Recording):
        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            await asyncio.sleep(200)
            await super().process_records(records, checkpointer)

    async def story():
        site = Site()
        worker = fan_out_worker(site, Slow)
        await asyncio.sleep(5)
        put = []
        for _ in range(20):
            put += site.put(1)
            await asyncio.sleep(0.1)
        received = worker.fan_out.calls["receive"]
        await asyncio.sleep(150)
        assert worker.fan_out.calls["receive"] == received <= 5, "two pages are held, and no other is asked for"
        await asyncio.sleep(HOUR)
        assert site.payloads() == put
        await worker.drain()

    run(story())


def test_shards_that_wait_for_records_hold_no_room():
    async def story():
        site = Site(shards=12)
        worker = fan_out_worker(site, buffer_bytes_max=1)
        await asyncio.sleep(30)
        for second in range(20):
            site.put(1, key=str(second))  # the other eleven wait
            await asyncio.sleep(3)
            assert len(site.payloads()) == second + 1
        await worker.drain()

    run(story())


# -- attempts -----------------------------------------------------------------------------------------------------


def test_to_wait_for_records_is_no_stall_and_a_subscription_that_says_nothing_at_all_is_one():
    async def story():
        site = Site()
        worker = fan_out_worker(site, stall_timeout_seconds=10.0)
        await asyncio.sleep(500)
        assert not worker.seen(ShardStalled)
        worker.fan_out.faults.append(Fault(operation="receive", effect=HalfOpen(), times=1))
        await asyncio.sleep(20)
        put = site.put(5)
        await asyncio.sleep(20)
        (stalled,) = worker.seen(ShardStalled)
        assert stalled.is_restarted
        assert site.payloads() == put
        await worker.drain()

    run(story())


def test_a_worker_that_leaves_unsubscribes():
    async def story():
        site = Site()
        worker = fan_out_worker(site)
        await asyncio.sleep(100)
        await worker.drain()
        (stream,) = site.model.streams(loop_clock_ms())
        (consumer,) = stream.consumers.all(loop_clock_ms())
        assert consumer._latest[SHARD_0].is_over

    run(story())


def nameless(page: Page | None) -> Page | None:
    return msgspec.structs.replace(page, child_shards=()) if page is not None else None
