"""Whatever breaks, ends and is taken over: who goes on after the last number sees every record once and in order."""

import asyncio
import random
from contextlib import suppress

import pytest

from kcl_py.core.position import ReadFrom
from kcl_py.errors import KclError, ServiceUnavailable, SubscriptionTaken
from kcl_py.interfaces import FanOut
from kcl_py.local import faults, requests
from kcl_py.local.faults import Fault
from kcl_py.local.faulty_fan_out import FaultyFanOut
from kcl_py.local.limits import Limits
from tests import virtual_time
from tests.local.fan_out_bench import NAME, TRIM_HORIZON, FanOutBench

CUT = ServiceUnavailable("the connection broke")
LIMITS = Limits(subscription_lifetime_ms=40_000, updating_ms=3_000, event_records_max=3)


async def read_to_its_end(door: FanOut, consumer_arn: str, shard_id: str) -> list[str]:
    """Read a shard from its beginning to its end, through however many subscriptions that takes."""
    position, seen = TRIM_HORIZON, list[str]()
    while True:
        try:
            subscription = await door.subscribe(consumer_arn, shard_id, position)
        except (SubscriptionTaken, ServiceUnavailable):
            await asyncio.sleep(1)
            continue
        with suppress(KclError):
            while (page := await subscription.read()) is not None:
                seen += [record.sequence_number for record in page.records]
                if page.next_iterator is None:
                    return seen
                position = ReadFrom("AFTER_SEQUENCE_NUMBER", sequence_number=page.next_iterator)
        await subscription.close()


@pytest.mark.parametrize("seed", range(20))
def test_every_record_is_seen_once_and_in_order_through_breaks_and_renewals(seed: int) -> None:
    async def main() -> None:
        dice = random.Random(seed)
        bench = FanOutBench(LIMITS, shards=2)
        rules = [
            Fault(effect=faults.Refused(CUT), operation="receive", chance=0.1),
            Fault(effect=faults.AnswerLost(CUT), operation="receive", chance=0.1),
            Fault(effect=faults.Broken(CUT, 0.7), operation="receive", chance=0.1),
            Fault(effect=faults.AnswerLost(CUT), operation="subscribe", chance=0.1),
        ]
        door = FaultyFanOut(bench.door, rules, seed=seed)
        consumer = await door.register("billing")
        first = [shard.shard_id for shard in await bench.stream.list_shards()]
        readers = [asyncio.create_task(read_to_its_end(door, consumer.arn, shard_id)) for shard_id in first]
        for number in range(200):
            await asyncio.sleep(dice.random())
            for _ in range(dice.choice((0, 1, 10))):
                data = str(number).encode()
                bench.ask(requests.PutRecord(stream_name=NAME, data=data, partition_key=str(dice.random())))
        bench.merge(*first)
        seen = await asyncio.gather(*readers)
        written = [
            [record.sequence_number for record in (await bench.stream.read(iterator, 10_000)).records]
            for iterator in [await bench.stream.open(shard_id, TRIM_HORIZON) for shard_id in first]
        ]
        assert seen == written
        assert all(len(numbers) > 100 for numbers in written)
        assert all(rule.happened for rule in rules)

    virtual_time.run(main())
