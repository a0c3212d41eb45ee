"""Faults of enhanced fan-out by rule: they happen where and when their rule says, and nowhere else."""

import asyncio

import pytest

from kcl_py.errors import (
    AccessDenied,
    ConsumerMissing,
    KclError,
    ServiceUnavailable,
    SubscriptionTaken,
    Throttled,
)
from kcl_py.interfaces import FanOut, Subscription
from kcl_py.local import faults
from kcl_py.local.faults import Fault
from kcl_py.local.faulty_fan_out import FaultyFanOut
from tests.local.fan_out_bench import LATEST, TRIM_HORIZON, ZERO, FanOutBench, in_virtual_time, now, page_of, payloads

CUT = ServiceUnavailable("the connection broke")


async def subscribed(bench: FanOutBench, *rules: Fault) -> tuple[FanOut, Subscription]:
    door = FaultyFanOut(bench.door, rules)
    consumer = await door.register("billing")
    return door, await door.subscribe(consumer.arn, ZERO, TRIM_HORIZON)


@in_virtual_time
async def test_without_rules_nothing_goes_wrong() -> None:
    bench = FanOutBench()
    bench.put(b"x")
    door, subscription = await subscribed(bench)
    assert payloads(await page_of(subscription)) == [b"x"]
    assert len(await door.consumers()) == 1
    await door.deregister("billing")
    with pytest.raises(ConsumerMissing):
        await subscription.read()
    assert isinstance(door, FaultyFanOut)
    assert door.calls == {"register": 1, "subscribe": 1, "receive": 2, "consumers": 1, "deregister": 1}


@pytest.mark.parametrize("error", [Throttled("t"), SubscriptionTaken("s"), AccessDenied("a"), CUT])
def test_a_subscription_is_refused(error: KclError) -> None:
    @in_virtual_time
    async def test() -> None:
        bench = FanOutBench(shards=2)
        rule = Fault(effect=faults.Refused(error), operation="subscribe", shard_id=ZERO, times=1)
        with pytest.raises(type(error)):
            await subscribed(bench, rule)
        await subscribed(bench)

    test()


@in_virtual_time
async def test_a_subscription_whose_answer_is_lost_has_begun_all_the_same() -> None:
    bench = FanOutBench()
    with pytest.raises(ServiceUnavailable):
        await subscribed(bench, Fault(effect=faults.AnswerLost(CUT), operation="subscribe"))
    with pytest.raises(SubscriptionTaken):
        await subscribed(bench)


@pytest.mark.parametrize("effect", [faults.Refused(CUT), faults.AnswerLost(CUT), faults.Broken(CUT)])
def test_a_subscription_breaks_at_a_page_and_stays_broken(effect: faults.Effect) -> None:
    @in_virtual_time
    async def test() -> None:
        bench = FanOutBench()
        bench.put(b"1")
        _, subscription = await subscribed(bench, Fault(effect=effect, operation="receive", first=2))
        assert payloads(await page_of(subscription)) == [b"1"]
        for _ in range(2):
            with pytest.raises(ServiceUnavailable):
                await subscription.read()
        await subscription.close()

    test()


@in_virtual_time
async def test_a_page_that_comes_in_time_comes_before_the_break() -> None:
    bench = FanOutBench()
    rule = Fault(effect=faults.Broken(CUT, 2.0), operation="receive")
    _, subscription = await subscribed(bench, rule)
    waiting = asyncio.create_task(page_of(subscription))
    await asyncio.sleep(1.9)
    bench.put(b"x")
    assert payloads(await waiting) == [b"x"]
    began = now()
    with pytest.raises(ServiceUnavailable):
        await subscription.read()
    assert round(now() - began, 3) == 2


@in_virtual_time
async def test_on_a_half_open_connection_nothing_arrives_until_it_is_closed() -> None:
    bench = FanOutBench()
    _, subscription = await subscribed(bench, Fault(effect=faults.HalfOpen(), operation="receive", times=1))
    bench.put(b"x")
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(600):
                await subscription.read()
    waiting = asyncio.create_task(subscription.read())
    await asyncio.sleep(1)
    await subscription.close()
    assert await waiting is None


@in_virtual_time
async def test_the_consumer_is_deleted_behind_the_subscribers_back() -> None:
    bench = FanOutBench()
    bench.put(b"x")
    door, subscription = await subscribed(
        bench, Fault(effect=faults.ConsumerDeleted(), operation="receive", first=2, times=1)
    )
    assert payloads(await page_of(subscription)) == [b"x"]
    with pytest.raises(ConsumerMissing):
        await subscription.read()
    assert await door.consumers() == ()

    door = FaultyFanOut(bench.door, [Fault(effect=faults.ConsumerDeleted(), operation="subscribe", times=1)])
    consumer = await door.register("billing")
    for _ in range(2):
        with pytest.raises(ConsumerMissing):
            await door.subscribe(consumer.arn, ZERO, LATEST)
