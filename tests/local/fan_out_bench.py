"""A stream in virtual time and its door of enhanced fan-out."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps

from kcl_py.core.position import ReadFrom
from kcl_py.interfaces import Page, Subscription
from kcl_py.local import requests
from kcl_py.local.doors import LocalStream, loop_clock_ms
from kcl_py.local.fan_out_door import LocalFanOut
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.limits import Limits
from kcl_py.local.operations import perform
from tests import virtual_time

NAME = "orders"
ZERO = "shardId-000000000000"
TRIM_HORIZON, LATEST = ReadFrom("TRIM_HORIZON"), ReadFrom("LATEST")


def in_virtual_time(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Run the test until it ends, however long that takes in its own time."""

    @wraps(test)
    def run() -> None:
        async def main() -> None:
            await test()

        virtual_time.run(main())

    return run


def now() -> float:
    return asyncio.get_running_loop().time()


class FanOutBench:
    """A model whose clock is the running loop's."""

    def __init__(self, limits: Limits | None = None, shards: int = 1) -> None:
        self.model = KinesisModel(limits=limits)
        self.ask(requests.CreateStream(stream_name=NAME, shard_count=shards))
        self.door = LocalFanOut(self.model, NAME)
        self.stream = LocalStream(self.model, NAME)

    def ask(self, request: requests.Request) -> object:
        return perform(self.model, request, loop_clock_ms())

    def put(self, *payloads: bytes) -> None:
        for payload in payloads:
            self.ask(requests.PutRecord(stream_name=NAME, data=payload, partition_key="k"))

    def split(self, shard_id: str = ZERO, at: int = 2**127) -> None:
        self.ask(requests.SplitShard(stream_name=NAME, shard_to_split=shard_id, new_starting_hash_key=str(at)))

    def merge(self, shard_id: str, adjacent: str) -> None:
        self.ask(requests.MergeShards(stream_name=NAME, shard_to_merge=shard_id, adjacent_shard_to_merge=adjacent))

    def delete(self) -> None:
        self.ask(requests.DeleteStream(stream_name=NAME, enforce_consumer_deletion=True))

    async def subscribe(
        self, position: ReadFrom = TRIM_HORIZON, *, name: str = "billing", shard_id: str = ZERO
    ) -> Subscription:
        """Subscribe through a consumer that is registered first if need be."""
        consumer = await self.door.register(name)
        return await self.door.subscribe(consumer.arn, shard_id, position)


async def page_of(subscription: Subscription) -> Page:
    """The next page; there has to be one."""
    page = await subscription.read()
    assert page is not None, "the subscription is over"
    return page


def payloads(page: Page) -> list[bytes]:
    return [record.data for record in page.records]
