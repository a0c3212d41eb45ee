"""What may happen to a request: each effect takes the place of bringing it to the service and its answer back."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from integration.faults.exchange import Exchange
from integration.faults.wire import refusal

_LOOK_SECONDS = 0.01
Effect = Callable[[Exchange], Awaitable[None]]


async def pass_on(exchange: Exchange) -> None:
    """No fault."""
    await exchange.answer(await exchange.asked())


async def drop(exchange: Exchange) -> None:
    """The connection is closed; the service hears of nothing."""
    exchange.hang_up()


async def lose_answer(exchange: Exchange) -> None:
    """The service does it, and the connection is closed instead of an answer."""
    await exchange.asked()
    exchange.hang_up()


async def reset(exchange: Exchange) -> None:
    """The connection is reset; the service hears of nothing."""
    exchange.hang_up(by_reset=True)


async def half_open(exchange: Exchange) -> None:
    """Nobody ever answers, and the connection stays."""
    await asyncio.Event().wait()


async def apply_and_hold(exchange: Exchange) -> None:
    """The service does it, and nobody ever answers."""
    await exchange.asked()
    await asyncio.Event().wait()


async def drip(exchange: Exchange) -> None:
    """The service does it, and its answer comes at one byte a second."""
    await exchange.trickle(await exchange.asked(), bytes_per_second=1)


def slow_link(bytes_per_second: int) -> Effect:
    """The service does it, and its answer comes slowly."""

    async def slowly(exchange: Exchange) -> None:
        await exchange.trickle(await exchange.asked(), bytes_per_second, at_once=bytes_per_second // 10)

    return slowly


async def tear(exchange: Exchange) -> None:
    """The service does it, and the connection is reset in the middle of its answer."""
    message = (await exchange.asked()).message()
    await exchange.send(message[: len(message) // 2])
    exchange.hang_up(by_reset=True)


async def misspell(exchange: Exchange) -> None:
    """The service does it, and one letter of its answer is another; were it not for checksums, it would be believed."""
    answer = await exchange.asked()
    at = answer.body.find(b'"Data":"') + len(b'"Data":"')
    letter = b"b" if answer.body[at : at + 1] == b"a" else b"a"
    await exchange.answer(answer.with_body(answer.body[:at] + letter + answer.body[at + 1 :]))


async def garble(exchange: Exchange) -> None:
    """The service does it, and its answer is cut in half and ends in noise."""
    answer = await exchange.asked()
    await exchange.answer(answer.with_body(answer.body[: len(answer.body) // 2] + b'\x00\xff{"'))


async def replay(exchange: Exchange) -> None:
    """What the service said last time, as a cache or a lagging replica would; the service hears of nothing."""
    await exchange.answer(exchange.earlier or await exchange.asked())


async def throttle(exchange: Exchange) -> None:
    """The table or the shard is asked too much; nothing was done."""
    message = "Rate exceeded. The level of configured provisioned throughput was exceeded."
    await exchange.answer(refusal("ProvisionedThroughputExceededException", message, 400))


async def fail(exchange: Exchange) -> None:
    """The service fails inside, each by its own name for that."""
    code = "InternalServerError" if exchange.request.is_dynamodb else "InternalFailure"
    await exchange.answer(refusal(code, "The request processing has failed.", 500))


async def expire_iterator(exchange: Exchange) -> None:
    """The shard iterator is older than five minutes."""
    await exchange.answer(refusal("ExpiredIteratorException", "Iterator expired: it is five minutes old", 400))


async def expire_credentials(exchange: Exchange) -> None:
    """The session token has expired; for DynamoDB the key is not known any more."""
    message = "The security token included in the request is expired or invalid."
    code = "UnrecognizedClientException" if exchange.request.is_dynamodb else "ExpiredTokenException"
    await exchange.answer(refusal(code, message, 400))


def delay(seconds: float) -> Effect:
    """The service hears of it later."""

    async def later(exchange: Exchange) -> None:
        await asyncio.sleep(seconds)
        await pass_on(exchange)

    return later


def hold(gate: threading.Event) -> Effect:
    """The service hears of it when the gate is opened."""

    async def held(exchange: Exchange) -> None:
        while not gate.is_set():
            await asyncio.sleep(_LOOK_SECONDS)
        await pass_on(exchange)

    return held


def alter(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Effect:
    """The service does it, and its answer says something else.

    Args:
        change: makes the new content from the old.
    """

    async def altered(exchange: Exchange) -> None:
        answer = await exchange.asked()
        await exchange.answer(answer.with_content(change(answer.content)))

    return altered
