"""A bench worker that reads by enhanced fan-out, and what it asks the service for."""

import asyncio
from typing import Any

from kcl_py.core.position import ReadFrom
from kcl_py.errors import ServiceUnavailable
from kcl_py.interfaces import FanOut, Subscription
from kcl_py.local.fan_out_door import LocalFanOut
from tests.runtime.bench import SHARD_0, STREAM, BenchWorker, Recording, Site

DOWN = ServiceUnavailable("503")


class Noting:
    """A door that notes when a subscription to which place was asked for."""

    def __init__(self, fan_out: FanOut) -> None:
        self._fan_out = fan_out
        self.asked: list[tuple[float, str, ReadFrom]] = []

    async def subscribe(self, consumer_arn: str, shard_id: str, position: ReadFrom) -> Subscription:
        self.asked.append((asyncio.get_running_loop().time(), shard_id, position))
        return await self._fan_out.subscribe(consumer_arn, shard_id, position)

    def __getattr__(self, operation: str) -> object:
        return getattr(self._fan_out, operation)


def noted(worker: BenchWorker) -> Noting:
    noting = Noting(worker.fan_out.fan_out)
    worker.fan_out.fan_out = noting  # type: ignore[assignment]
    return noting


def fan_out_worker(site: Site, processor: type[Recording] = Recording, **settings: Any) -> BenchWorker:
    return BenchWorker(site, processor, fan_out=True, **settings)


async def rival_subscribes(site: Site, shard_id: str = SHARD_0) -> Subscription:
    """Somebody else subscribes through the same consumer."""
    door = LocalFanOut(site.model, STREAM)
    (consumer,) = await door.consumers()
    return await door.subscribe(consumer.arn, shard_id, ReadFrom("LATEST"))
