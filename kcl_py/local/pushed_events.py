"""The events of a subscription as they come: the model says what is due, the running loop waits for it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from kcl_py.local.answers import SubscribeToShardEvent
from kcl_py.local.subscription_model import SubscriptionModel


class PushedEvents:
    """Waits for the next event of a subscription. An event is made when it is asked for, and not before.

    Whoever else calls the model must do so from the same loop.

    Args:
        subscription: whose events to wait for.
        clock_ms: the model's time.
        look_seconds_max: how long not to look at a clock that somebody may turn; None for one that runs by the loop's.
    """

    def __init__(
        self, subscription: SubscriptionModel, clock_ms: Callable[[], int], *, look_seconds_max: float | None = None
    ) -> None:
        self._subscription = subscription
        self._clock_ms = clock_ms
        self._look_seconds_max = look_seconds_max
        self._bell = asyncio.Event()
        subscription.wake = self._bell.set

    async def next(self) -> SubscribeToShardEvent | None:
        """Wait for the next event; None once the subscription is over.

        Raises:
            KinesisError: the subscription ended with this error.
        """
        while True:
            self._bell.clear()
            now_ms = self._clock_ms()
            event = self._subscription.take(now_ms)
            if event is not None or self._subscription.is_over:
                return event
            seconds = max(self._subscription.due_ms - now_ms, 1) / 1_000
            if self._look_seconds_max is not None:
                seconds = min(seconds, self._look_seconds_max)
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._bell.wait()

    def close(self) -> None:
        """Unsubscribe; who waits is told that it is over."""
        self._subscription.close()
        self._bell.set()
