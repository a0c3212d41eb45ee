"""The network between a worker and a door: calls take time, go on when their sender stands still, and are cut off."""

import asyncio
import random
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context
from functools import partial
from typing import Any, TypeVar, cast

from kcl_py.errors import ServiceUnavailable

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
        self._network = network
        self._door = door
        self._timeout_seconds = timeout_seconds
        self._on_send = on_send
        self.is_cut = False

    def __getattr__(self, operation: str) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any) -> Any:
            if self.is_cut:
                raise ServiceUnavailable(f"{operation}: the worker has no power")
            self._on_send(operation, arguments)
            answer = self._network.carry(partial(getattr(self._door, operation), *arguments), self._timeout_seconds)
            try:
                return await answer
            except TimeoutError:
                raise ServiceUnavailable(f"{operation} got no answer in {self._timeout_seconds:g} s") from None

        return call


def wired(
    network: Network, door: Door, timeout_seconds: float, on_send: OnSend = lambda _operation, _arguments: None
) -> tuple[Door, Wire]:
    """A door at the end of a wire, and the wire."""
    wire = Wire(network, door, timeout_seconds, on_send)
    return cast("Door", wire), wire
