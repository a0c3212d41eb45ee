"""Run, time out, retry and translate the calls of one service on one resource."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from kcl_py.aws.translate import SDK_ERRORS, translated
from kcl_py.errors import KclError, ServiceUnavailable, Throttled
from kcl_py.retrying import jittered, retrying

T = TypeVar("T")
OnRetry = Callable[[str, KclError, float], None]
"""Told the operation, what went wrong, and the seconds until the next attempt."""

_PAUSE = jittered(base_seconds=0.2, max_seconds=5.0)


class MalformedAnswer(Exception):
    """An answer that parses and cannot be true. Its text may be shown, so it never holds a payload."""


class Calls:
    """Makes calls and raises nothing but `KclError`. The SDK's own retries are off; these are the only ones."""

    def __init__(
        self,
        resource: str,
        *,
        deadline_seconds: float = 30.0,
        patience_seconds: float = 60.0,
        on_retry: OnRetry | None = None,
    ) -> None:
        """Describe how to call.

        Args:
            resource: what the calls are about, for messages, such as `stream orders`.
            deadline_seconds: the whole of one call, from the connection to the last byte: a server that sends one byte
                a second never runs into a read timeout.
            patience_seconds: how long `patiently` goes on beginning new attempts.
            on_retry: told of each failure that is followed by another attempt.
        """
        self._resource = resource
        self._deadline_seconds = deadline_seconds
        self._patience_seconds = patience_seconds
        self._on_retry = on_retry

    async def once(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        """Make one attempt.

        Args:
            operation: the IAM action, such as `kinesis:GetRecords`.
            call: sends the request and reads the answer.

        Raises:
            KclError: see `translated`; `ServiceUnavailable` after the deadline and for an answer that makes no sense.
        """
        # Nothing is chained: what the SDK raises may quote the signed request, session token included, and a
        # traceback would print it.
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await call()
        except SDK_ERRORS as error:
            raise translated(error, operation, self._resource) from None
        except MalformedAnswer as error:
            raise ServiceUnavailable(
                f"{operation} on {self._resource} got an answer that makes no sense ({error}); nothing of it was used"
            ) from None

    async def patiently(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        """Make attempts while the service throttles or gives no usable answer; raise the last error in the end.

        Raises:
            KclError: as `once`.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._patience_seconds

        def told(error: BaseException, _attempt: int, pause_seconds: float) -> None:
            if self._on_retry is not None and isinstance(error, KclError):
                self._on_retry(operation, error, pause_seconds)

        attempts = retrying(
            Throttled,
            ServiceUnavailable,
            pause=_PAUSE,
            on_retry=told,
            is_over=lambda: loop.time() >= give_up_at,
        )
        return await attempts(self.once, operation, call)
