"""Faults of enhanced fan-out, by the same rules as a stream's."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from kcl_py.core.position import ReadFrom
from kcl_py.errors import ConsumerMissing, KclError
from kcl_py.interfaces import FanOut, Page, StreamConsumer, Subscription
from kcl_py.local.faults import Broken, ConsumerDeleted, Effect, Fault, FaultyDoor, HalfOpen, anew


class FaultyFanOut(FaultyDoor):
    """A door of enhanced fan-out on which `faults` happen.

    An error at `receive` ends the subscription: `Refused` before the next page is taken from the service, `AnswerLost`
    after it, so that the page is gone with the connection.

    Args:
        fan_out: the door behind.
        faults: see `FaultyDoor`.
        seed: of the chances.
    """

    def __init__(self, fan_out: FanOut, faults: Iterable[Fault] = (), *, seed: int = 0) -> None:
        super().__init__(faults, seed)
        self.fan_out = fan_out

    async def register(self, consumer_name: str) -> StreamConsumer:
        """See `FanOut.register`."""
        return await self.suffer(self.struck("register", None), lambda: self.fan_out.register(consumer_name))

    async def consumers(self) -> tuple[StreamConsumer, ...]:
        """See `FanOut.consumers`."""
        return await self.suffer(self.struck("consumers", None), self.fan_out.consumers)

    async def deregister(self, consumer_name: str) -> None:
        """See `FanOut.deregister`."""
        await self.suffer(self.struck("deregister", None), lambda: self.fan_out.deregister(consumer_name))

    async def subscribe(self, consumer_arn: str, shard_id: str, position: ReadFrom) -> "FaultySubscription":
        """See `FanOut.subscribe`."""
        effects = self.struck("subscribe", shard_id)
        await self.delete_consumer(effects, consumer_arn)
        subscription = await self.suffer(effects, lambda: self.fan_out.subscribe(consumer_arn, shard_id, position))
        return FaultySubscription(self, subscription, consumer_arn, shard_id)

    async def delete_consumer(self, effects: Iterable[Effect], consumer_arn: str) -> None:
        """Deregister the consumer if that is among the effects."""
        if any(isinstance(effect, ConsumerDeleted) for effect in effects):
            with suppress(ConsumerMissing):
                await self.fan_out.deregister(consumer_arn.rpartition("/")[2].rpartition(":")[0])


class FaultySubscription:
    """A subscription on which the faults of `door` happen."""

    def __init__(self, door: FaultyFanOut, subscription: Subscription, consumer_arn: str, shard_id: str) -> None:
        self._door = door
        self._subscription = subscription
        self._consumer_arn = consumer_arn
        self._shard_id = shard_id
        self._closed = asyncio.Event()
        self._is_half_open = False
        self._error: KclError | None = None

    async def read(self) -> Page | None:
        """See `Subscription.read`. Who reads on after an error gets it again."""
        if self._error is not None:
            raise anew(self._error)
        effects = self._door.struck("receive", self._shard_id)
        await self._door.delete_consumer(effects, self._consumer_arn)
        if self._is_half_open or any(isinstance(effect, HalfOpen) for effect in effects):
            self._is_half_open = True
            await self._closed.wait()
            return None
        try:
            return await self._received(effects)
        except KclError as error:
            self._error = error
            await self._subscription.close()
            raise

    async def close(self) -> None:
        """See `Subscription.close`. Nothing goes wrong here."""
        self._closed.set()
        await self._subscription.close()

    async def _received(self, effects: list[Effect]) -> Page | None:
        broken = next((effect for effect in effects if isinstance(effect, Broken)), None)
        if broken is None:
            return await self._door.suffer(effects, self._subscription.read)
        try:
            async with asyncio.timeout(broken.seconds):
                return await self._door.suffer(effects, self._subscription.read)
        except TimeoutError:
            raise anew(broken.error) from None
