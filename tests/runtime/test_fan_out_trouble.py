"""What enhanced fan-out does when somebody else subscribes, its consumer is gone, or nothing gets through."""

import asyncio
import itertools

import msgspec
import pytest

from kcl_py.core.checkpoint import SHARD_END
from kcl_py.core.lease import Lease
from kcl_py.errors import (
    AccessDenied,
    ConsumerMissing,
    KclError,
    LeaseLost,
    ServiceUnavailable,
    StreamNotFound,
    SubscriptionTaken,
    Throttled,
)
from kcl_py.events import (
    ConsumerDeleted,
    ConsumerRegistered,
    Event,
    FanOutInterrupted,
    FanOutResumed,
    LeaseWasLost,
    RecordsMissing,
    ServiceTrouble,
)
from kcl_py.local import requests
from kcl_py.local.fan_out_door import LocalFanOut
from kcl_py.local.faults import Broken, Delayed, Fault, Refused
from kcl_py.local.faulty_lease_table import Fault as TableFault
from kcl_py.runtime.data.registration import Registration
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.mailbox import VerifyLease
from tests.runtime.bench import SHARD_0, STREAM, BenchWorker, Site
from tests.runtime.fleet import joined, seconds_until
from tests.runtime.lease_bench import LeaseBench
from tests.runtime.subscriptions import DOWN, fan_out_worker, noted, rival_subscribes
from tests.virtual_time import run


def now() -> float:
    return asyncio.get_running_loop().time()


async def delivered(site: Site, count: int, within: float) -> float:
    """Until so many records were delivered: how long that took."""

    async def is_there() -> bool:
        return len(site.payloads()) >= count

    return await seconds_until(is_there, within)


# -- somebody else subscribes -------------------------------------------------------------------------------------


def test_a_receiver_polls_while_the_service_refuses_it_and_delivers_at_once():
    async def story():
        site = Site()
        first = fan_out_worker(site)
        await asyncio.sleep(200)
        second = fan_out_worker(site, worker_id="w2")
        asked = noted(second).asked
        put = site.put(5)
        await asyncio.sleep(101)  # the first has subscribed anew just now
        put += site.put(5)
        leaving = asyncio.create_task(first.drain())
        assert await delivered(site, 10, within=3) < 1.5
        await leaving
        refused_at = asked[0][0]
        (interrupted,) = second.seen(FanOutInterrupted)
        assert interrupted.is_polled
        await asyncio.sleep(15)
        assert 5 < asked[1][0] - refused_at < 8
        assert second.seen(FanOutResumed)
        put += site.put(5)
        await asyncio.sleep(1)
        assert site.payloads() == put
        await second.drain()

    run(story())


def test_who_was_kicked_out_and_holds_the_lease_asks_the_table_and_subscribes_again_after_five_seconds():
    async def story():
        site = Site()
        worker = fan_out_worker(site, fan_out_fallback=False)
        asked = noted(worker).asked
        await asyncio.sleep(30)
        reads = [call.operation for call in worker.table.calls].count("lease")
        await rival_subscribes(site)
        kicked_at = now()
        put = site.put(5)
        await asyncio.sleep(20)
        assert 5 <= asked[1][0] - kicked_at < 8
        assert [call.operation for call in worker.table.calls].count("lease") > reads
        assert site.payloads() == put
        assert not worker.seen(LeaseWasLost)
        await worker.drain()

    run(story())


def test_who_was_kicked_out_by_the_new_owner_never_subscribes_again():
    async def story():
        site = Site()
        worker = fan_out_worker(site)
        asked = noted(worker).asked
        await asyncio.sleep(30)
        row = await site.row()
        site.memory.put(Lease(key=SHARD_0, checkpoint=row.checkpoint, owner="rival@1", counter=row.counter + 1))
        worker.table.faults.append(TableFault(kind="stale_index"))  # nobody tells it but the row itself
        await rival_subscribes(site)
        await asyncio.sleep(60)
        assert len(asked) == 1
        assert worker.seen(LeaseWasLost)
        await worker.drain()

    run(story())


def test_a_lease_that_cannot_be_verified_is_asked_for_until_the_table_answers():
    async def story():
        site = Site()
        worker = fan_out_worker(site)
        asked = noted(worker).asked
        await asyncio.sleep(30)
        throttled = TableFault(kind="throttle", operation="lease")
        worker.table.faults.append(throttled)
        await rival_subscribes(site)
        put = site.put(5)
        await asyncio.sleep(30)
        assert len(asked) == 1
        worker.table.faults.remove(throttled)
        await asyncio.sleep(5)
        assert len(asked) == 2
        assert site.payloads() == put
        assert worker.failure is None
        await worker.drain()

    run(story())


def test_two_that_share_a_consumer_by_mistake_ask_for_it_ever_more_seldom():
    async def story():
        site = Site()
        worker = fan_out_worker(site)
        asked = noted(worker).asked
        worker.fan_out.faults.append(Fault(operation="receive", effect=Broken(SubscriptionTaken("taken"), seconds=1.0)))
        put = []
        for _ in range(120):
            put += site.put(1)
            await asyncio.sleep(5)
        pauses = [later - earlier for (earlier, *_), (later, *_) in itertools.pairwise(asked)]
        assert min(pauses) > 5
        assert max(pauses) > 35
        await worker.drain()
        assert site.payloads() == put

    run(story())


def test_nobody_subscribes_past_its_deadline():
    async def story():
        site = Site()
        worker = fan_out_worker(site, fan_out_fallback=False)
        asked = noted(worker).asked
        await asyncio.sleep(30)
        outage = TableFault(kind="fail")
        worker.table.faults.append(outage)
        await asyncio.sleep(15)
        worker.fan_out.faults.append(Fault(operation="receive", effect=Broken(DOWN), times=1))
        await asyncio.sleep(30)
        assert len(asked) == 1
        worker.table.faults.remove(outage)
        await asyncio.sleep(30)
        assert len(asked) == 2
        await worker.drain()

    run(story())


# -- nothing gets through -----------------------------------------------------------------------------------------


def test_after_a_few_failures_a_shard_is_polled_for_minutes_and_then_subscribed_to_at_the_very_place():
    async def story():
        site = Site()
        put = site.put(5)
        worker = fan_out_worker(site)
        await asyncio.sleep(10)
        outage = Fault(operation="subscribe", effect=Refused(DOWN))
        worker.fan_out.faults += [outage, Fault(operation="receive", effect=Broken(DOWN), times=1)]
        for _ in range(50):
            put += site.put(2)
            await asyncio.sleep(1)
        (interrupted,) = worker.seen(FanOutInterrupted)
        assert interrupted.is_polled
        assert 120 <= interrupted.retry_in_seconds <= 240
        assert worker.fan_out.calls["subscribe"] <= 7
        assert site.payloads() == put
        worker.fan_out.faults.remove(outage)
        for _ in range(50):
            put += site.put(2)
            await asyncio.sleep(5)
        assert worker.seen(FanOutResumed)
        polled = worker.stream.calls["read"]
        put += site.put(2)
        await asyncio.sleep(60)
        assert worker.stream.calls["read"] == polled
        assert site.payloads() == put
        assert not worker.seen(RecordsMissing)
        await worker.drain()

    run(story())


def test_when_nothing_came_for_half_a_minute_the_second_failure_is_enough():
    async def story():
        site = Site()
        worker = fan_out_worker(site)
        silent = Broken(ServiceUnavailable("nothing came for 16 s"), seconds=16.0)
        worker.fan_out.faults += [
            Fault(operation="subscribe", effect=Delayed(16.0)),
            Fault(operation="subscribe", effect=Refused(ServiceUnavailable("no answer"))),
            Fault(operation="receive", effect=silent),
        ]
        put = site.put(5)
        assert 30 < await delivered(site, 5, within=60) < 45
        worker.fan_out.faults.clear()
        await worker.drain()
        assert site.payloads() == put

    run(story())


def test_a_subscription_that_breaks_at_once_is_not_asked_for_again_within_five_seconds():
    async def story():
        site = Site()
        worker = fan_out_worker(site, fan_out_fallback=False)
        asked = noted(worker).asked
        worker.fan_out.faults.append(Fault(operation="receive", effect=Broken(DOWN), times=3))
        await asyncio.sleep(40)
        pauses = [later - earlier for (earlier, *_), (later, *_) in itertools.pairwise(asked)]
        assert len(pauses) == 3
        assert min(pauses) > 5
        assert not [event for event in worker.seen(ServiceTrouble) if "within" in event.reason]
        await worker.drain()

    run(story())


def test_while_the_service_refuses_a_second_subscription_a_shard_whose_first_broke_at_once_is_polled():
    async def story():
        site = Site()
        worker = fan_out_worker(site)
        worker.fan_out.faults.append(Fault(operation="receive", effect=Broken(DOWN), times=1))
        await asyncio.sleep(2)
        put = site.put(5)
        assert await delivered(site, 5, within=10) < 1.5
        await asyncio.sleep(10)
        assert worker.seen(FanOutResumed)
        await worker.drain()
        assert site.payloads() == put

    run(story())


def test_failures_with_pages_between_them_are_not_in_a_row():
    async def story():
        site = Site()
        worker = fan_out_worker(site)
        refusal = Fault(operation="subscribe", effect=Refused(DOWN), times=4)
        worker.fan_out.faults.append(refusal)
        await asyncio.sleep(30)
        assert not worker.seen(FanOutInterrupted)
        worker.fan_out.faults.append(Fault(operation="subscribe", effect=Refused(DOWN), times=4))
        await asyncio.sleep(330)
        assert worker.fan_out.calls["subscribe"] >= 10
        assert not worker.seen(FanOutInterrupted)
        await worker.drain()

    run(story())


def test_without_fallback_a_shard_waits_and_never_polls():
    async def story():
        site = Site()
        worker = fan_out_worker(site, fan_out_fallback=False)
        await asyncio.sleep(10)
        outage = Fault(operation="subscribe", effect=Refused(DOWN))
        worker.fan_out.faults += [outage, Fault(operation="receive", effect=Broken(DOWN), times=1)]
        await asyncio.sleep(6)
        put = site.put(5)
        await asyncio.sleep(600)
        assert not site.payloads()
        worker.fan_out.faults.remove(outage)
        await asyncio.sleep(11)
        assert site.payloads() == put
        assert not worker.stream.calls["read"]
        await worker.drain()

    run(story())


# -- the consumer -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_polled", [True, False])
def test_a_consumer_that_is_deleted_is_registered_again_and_no_shard_ends(is_polled):
    async def story():
        site = Site(shards=2)
        worker = fan_out_worker(site, fan_out_fallback=is_polled)
        await asyncio.sleep(10)
        put = site.put(10)
        await asyncio.sleep(1)
        await worker.fan_out.fan_out.deregister("app")
        put += site.put(10)
        await asyncio.sleep(20)
        put += site.put(10)
        await asyncio.sleep(5)
        assert sorted(site.payloads(), key=int) == put
        assert len(worker.seen(ConsumerDeleted)) == 1, "it is said once, and not by every shard"
        assert len(worker.seen(ConsumerRegistered)) == 2
        assert bool(worker.stream.calls["read"]) == is_polled
        assert (await site.row()).checkpoint != SHARD_END
        await worker.drain()

    run(story())


def test_a_consumer_that_is_deleted_time_and_again_is_registered_ever_more_seldom():
    async def story():
        site = Site()
        worker = fan_out_worker(site)
        for _ in range(300):
            await asyncio.sleep(4)
            if await worker.fan_out.fan_out.consumers():
                await worker.fan_out.fan_out.deregister("app")
        assert len(worker.seen(ConsumerRegistered)) < 80
        await worker.drain()

    run(story())


@pytest.mark.parametrize("is_polled", [True, False])
def test_a_stream_that_is_deleted_ends_the_worker_as_with_polling(is_polled):
    async def story():
        site = Site()
        worker = fan_out_worker(site, fan_out_fallback=is_polled)
        await asyncio.sleep(10)
        site.ask(requests.DeleteStream(stream_name=STREAM, enforce_consumer_deletion=True))
        await asyncio.sleep(60)
        assert isinstance(worker.failure, StreamNotFound)
        assert (await site.row()).checkpoint != SHARD_END
        await worker.drain(fails=True)

    run(story())


def test_an_interruption_of_seconds_that_becomes_one_of_minutes_is_told_again():
    async def story():
        site = Site()
        put = site.put(5)
        worker = fan_out_worker(site)
        await delivered(site, len(put), within=10)
        outage = Fault(operation="subscribe", effect=Refused(DOWN))
        worker.fan_out.faults += [outage, Fault(operation="receive", effect=Broken(DOWN), times=1)]
        site.put(1)  # the next read is the one that breaks
        await asyncio.sleep(60)
        soon, late = worker.seen(FanOutInterrupted)
        assert (soon.level, late.level) == ("info", "warning")
        assert soon.retry_in_seconds < 6
        assert late.retry_in_seconds >= 120
        worker.fan_out.faults.remove(outage)
        await asyncio.sleep(300)
        assert len(worker.seen(FanOutResumed)) == 1
        assert len(worker.seen(FanOutInterrupted)) == 2
        await worker.drain()

    run(story())


def test_a_stream_that_is_gone_is_found_out_also_where_the_service_misses_the_consumer_first():
    async def story():
        site = Site()
        worker = fan_out_worker(site, fan_out_fallback=False)
        await asyncio.sleep(10)
        gone = Fault(operation="receive", effect=Broken(ConsumerMissing("no such consumer")))
        worker.fan_out.faults += [gone, Fault(operation="register", effect=Refused(StreamNotFound("no such stream")))]
        while not worker.seen(FanOutInterrupted):
            await asyncio.sleep(0.1)
        site.ask(requests.DeleteStream(stream_name=STREAM, enforce_consumer_deletion=True))
        await asyncio.sleep(10)  # long before a listing is due
        assert isinstance(worker.failure, StreamNotFound)
        await worker.drain(fails=True)

    run(story())


def test_who_misses_the_former_consumer_misses_nothing_any_more():
    async def story():
        site = Site()
        events: list[Event] = []
        door = LocalFanOut(site.model, STREAM)
        registration = Registration(door, "app", emit=Emitter([events.append]))
        keeping = asyncio.create_task(registration.keep())
        await asyncio.sleep(1)
        former = registration.arn or ""
        await door.deregister("app")
        registration.is_missing(former)
        await asyncio.sleep(10)
        assert registration.arn not in (None, former)
        registration.is_missing(former)
        await asyncio.sleep(10)
        assert [type(event) for event in events] == [ConsumerRegistered, ConsumerDeleted, ConsumerRegistered]
        keeping.cancel()
        await asyncio.wait([keeping])

    run(story())


def test_a_lease_is_verified_by_its_row():
    async def story():
        bench = await LeaseBench().open()
        lease = await bench.hold()
        await bench.ask(lease, VerifyLease())
        bench.memory.put(msgspec.structs.replace(lease, owner="rival@1", counter=lease.counter + 1))
        with pytest.raises(LeaseLost):
            await bench.ask(lease, VerifyLease())

    run(story())


def test_many_that_start_at_once_share_one_consumer():
    async def story():
        site = Site(shards=8)
        workers = await joined(site, "w1", "w2", "w3", "w4", fan_out=True)
        put = site.put(100)
        await asyncio.sleep(5)
        assert sorted(site.payloads(), key=int) == put
        for worker in workers.values():
            assert len(worker.seen(ConsumerRegistered)) == 1
            assert not [event for event in worker.seen(FanOutInterrupted) if event.level == "warning"][8:]
            await worker.drain()

    run(story())


def test_until_the_consumer_is_active_shards_are_polled():
    async def story():
        site = Site()
        put = site.put(5)
        worker = fan_out_worker(site)
        worker.fan_out.faults.append(
            Fault(operation="register", effect=Refused(Throttled("twenty consumers")), times=4)
        )
        await asyncio.sleep(3)
        assert site.payloads() == put
        assert worker.stream.calls["read"]
        await asyncio.sleep(30)
        assert worker.fan_out.calls["subscribe"]
        assert worker.seen(FanOutResumed)
        await worker.drain()

    run(story())


# -- permissions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["register", "subscribe"])
def test_a_permission_that_never_was_ends_the_worker(operation):
    async def story():
        site = Site()
        worker = fan_out_worker(site)
        worker.fan_out.faults.append(Fault(operation=operation, effect=Refused(AccessDenied("the IAM action"))))
        error = await asyncio.wait_for(worker.data_plane.wait_for_failure(), 30)
        assert isinstance(error, AccessDenied)
        await worker.drain(fails=True)

    run(story())


def test_a_permission_that_is_taken_away_is_trouble_and_who_may_not_poll_goes_on_with_fan_out():
    async def story():
        site = Site()
        worker = fan_out_worker(site)
        await asyncio.sleep(10)
        denied: KclError = AccessDenied("the IAM action")
        outage = Fault(operation="subscribe", effect=Refused(denied))
        worker.fan_out.faults += [outage, Fault(operation="receive", effect=Broken(DOWN), times=1)]
        worker.stream.faults.append(Fault(operation="open", effect=Refused(denied)))
        put = site.put(5)
        await asyncio.sleep(60)
        assert worker.data_plane.failure is None
        worker.fan_out.faults.remove(outage)
        await asyncio.sleep(300)
        assert site.payloads() == put
        await worker.drain()

    run(story())


def test_a_worker_that_polls_asks_for_no_consumer():
    async def story():
        site = Site()
        worker = BenchWorker(site)
        await asyncio.sleep(30)
        assert not worker.fan_out.calls
        await worker.drain()

    run(story())
