"""The network between a worker and a door: calls take time, go on when their sender stands still, and are cut off."""

import asyncio
import random
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context
from functools import partial
from typing import Any, TypeVar, cast

from kcl_py.errors import ServiceUnavailable
from kcl_py.interfaces import Page, Subscription

Door = TypeVar("Door")
Call = Callable[[], Coroutine[Any, Any, Any]]
OnSend = Callable[[str, tuple[Any, ...]], None]
"""Told the operation and its arguments before a call is sent."""


class Network:
    """All calls of all workers. Its callbacks belong to no worker: what was sent arrives."""

    def __init__(self, context: Context, seed: int) -> None:
        self.latency_seconds = (0.002, 0.02)
        self._context = context
        self._dice = random.Random(seed)
        self._under_way: set[asyncio.Task[None]] = set()

    def carry(self, call: Call, timeout_seconds: float) -> asyncio.Future[Any]:
        """Send a call; the future is its answer, or TimeoutError."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._after_a_while(self._arrive, call, answer, timeout_seconds)
        return answer

    def _arrive(self, call: Call, answer: asyncio.Future[Any], timeout_seconds: float) -> None:
        """A door that does not wait answers at once; only one that does is worth a task and a timer."""
        asked = call()
        try:
            waited_for = asked.send(None)
        except StopIteration as answered:
            self._after_a_while(_answer, answer, answered.value, None)
        except Exception as error:  # noqa: BLE001 - it is the caller's
            self._after_a_while(_answer, answer, None, error)
        else:
            task = asyncio.get_running_loop().create_task(self._wait(asked, waited_for, answer), context=self._context)
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            late = partial(_answer, answer, None, TimeoutError())
            asyncio.get_running_loop().call_later(timeout_seconds, late, context=self._context)

    def hold(self, call: Call, timeout_seconds: float) -> asyncio.Future[Any]:
        """The same for a call that waits for long, in a task of its own from the beginning."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._after_a_while(self._begin, call, answer, timeout_seconds)
        return answer

    def _begin(self, call: Call, answer: asyncio.Future[Any], timeout_seconds: float) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._whole(call, answer), context=self._context)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        loop.call_later(timeout_seconds, _answer, answer, None, TimeoutError(), context=self._context)

    async def _whole(self, call: Call, answer: asyncio.Future[Any]) -> None:
        try:
            result = await call()
        except Exception as error:  # noqa: BLE001 - it is the caller's
            self._after_a_while(_answer, answer, None, error)
        else:
            self._after_a_while(_answer, answer, result, None)

    async def _wait(self, asked: Coroutine[Any, Any, Any], waited_for: Any, answer: asyncio.Future[Any]) -> None:
        try:
            result = await _the_rest(asked, waited_for)
        except Exception as error:  # noqa: BLE001 - it is the caller's
            self._after_a_while(_answer, answer, None, error)
        else:
            self._after_a_while(_answer, answer, result, None)

    def _after_a_while(self, callback: Callable[..., None], *arguments: Any) -> None:
        seconds = self._dice.uniform(*self.latency_seconds)
        asyncio.get_running_loop().call_later(seconds, callback, *arguments, context=self._context)


@types.coroutine
def _the_rest(asked: Coroutine[Any, Any, Any], waited_for: Any) -> Generator[Any, Any, Any]:
    """What is left of a coroutine that waits for something already."""
    yield waited_for
    return (yield from asked)


def _answer(answer: asyncio.Future[Any], result: object, error: Exception | None) -> None:
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(result)


class Wire:
    """One worker's way to one door.

    Attributes:
        is_cut: nothing that is sent from now on arrives.
    """

    def __init__(self, network: Network, door: object, timeout_seconds: float, on_send: OnSend) -> None:
        self.network = network
        self._door = door
        self.timeout_seconds = timeout_seconds
        self._on_send = on_send
        self.is_cut = False

    def __getattr__(self, operation: str) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any) -> Any:
            if self.is_cut:
                raise ServiceUnavailable(f"{operation}: the worker has no power")
            self._on_send(operation, arguments)
            answer = self.network.carry(partial(getattr(self._door, operation), *arguments), self.timeout_seconds)
            try:
                return await answer
            except TimeoutError:
                raise ServiceUnavailable(f"{operation} got no answer in {self.timeout_seconds:g} s") from None

        return call


class SubscribedWire:
    """One worker's way to the pages of a subscription."""

    def __init__(self, wire: "FanOutWire", subscription: Subscription) -> None:
        self._wire = wire
        self._subscription = subscription

    async def read(self) -> Page | None:
        """See `Subscription.read`; who waits too long is told so."""
        if self._wire.is_cut:
            raise ServiceUnavailable("the worker has no power")
        pushed = self._wire.network.hold(self._subscription.read, self._wire.timeout_seconds)
        try:
            page: Page | None = await pushed
        except TimeoutError:
            raise ServiceUnavailable(f"nothing came for {self._wire.timeout_seconds:g} s") from None
        return page

    async def close(self) -> None:
        """A connection is let go of at once, unless there is no power to do it with."""
        if not self._wire.is_cut:
            await self._subscription.close()


class FanOutWire(Wire):
    """One worker's way to the door of enhanced fan-out."""

    async def subscribe(self, *arguments: Any) -> Subscription:
        """See `FanOut.subscribe`."""
        return SubscribedWire(self, await self.__getattr__("subscribe")(*arguments))


def wired(
    network: Network, door: Door, timeout_seconds: float, on_send: OnSend = lambda _operation, _arguments: None
) -> tuple[Door, Wire]:
    """A door at the end of a wire, and the wire."""
    wire = Wire(network, door, timeout_seconds, on_send)
    return cast("Door", wire), wire
