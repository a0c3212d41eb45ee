"""A subscription as an HTTP response that goes on for as long as the subscription does."""

import asyncio
from collections.abc import Callable, Mapping

from aiohttp import web

from kcl_py.local import event_encoding
from kcl_py.local.kinesis_error import KinesisError
from kcl_py.local.pushed_events import PushedEvents
from kcl_py.local.subscription_model import SubscriptionModel

_LOOK_SECONDS_MAX = 0.25
_GRACE_SECONDS = 5.0  # for a client that does not read when the life of its subscription is over


class SubscriptionResponse:
    """Sends the events of one subscription, each as soon as it is due and the client has taken the ones before.

    An event is made when there is room for it on the connection: a client that does not read costs the socket's
    buffers and one event.
    """

    def __init__(self, subscription: SubscriptionModel, clock_ms: Callable[[], int]) -> None:
        self._subscription = subscription
        self._clock_ms = clock_ms
        self._events = PushedEvents(subscription, clock_ms, look_seconds_max=_LOOK_SECONDS_MAX)

    async def send(self, http: web.Request, headers: Mapping[str, str]) -> web.StreamResponse:
        """Answer the request; returns when the subscription is over or the client is gone."""
        response = web.StreamResponse(headers=headers)
        try:
            async with asyncio.timeout((self._subscription.ends_ms - self._clock_ms()) / 1_000 + _GRACE_SECONDS):
                await response.prepare(http)
                await self._push(response)
        except (ConnectionError, TimeoutError):
            if http.transport is not None:
                http.transport.abort()
        finally:
            self._events.close()
        return response

    def close(self) -> None:
        """End the subscription and with it the response."""
        self._events.close()

    async def _push(self, response: web.StreamResponse) -> None:
        await response.write(event_encoding.initial_response())
        try:
            while (event := await self._events.next()) is not None:
                await response.write(event_encoding.event(event))
        except KinesisError as error:
            await response.write(event_encoding.exception(error))
        await response.write_eof()
