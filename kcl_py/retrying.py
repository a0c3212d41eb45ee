"""How everything is tried again: tenacity, exponential with full jitter, written once."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import tenacity

Sleep = Callable[[float], Awaitable[None]]
Answer = TypeVar("Answer")
_SHARED_RANDOM = random.Random()


def jittered(base_seconds: float, max_seconds: float, rng: random.Random = _SHARED_RANDOM) -> Callable[[int], float]:
    """The pause after the n-th failed attempt, n from 1: between half of it and all of it, doubling up to a limit."""

    def pause(attempt: int) -> float:
        ceiling: float = min(max_seconds, base_seconds * 2 ** min(attempt - 1, 32))
        return ceiling * rng.uniform(0.5, 1.0)

    return pause


def retrying(
    *errors: type[BaseException],
    pause: Callable[[int], float],
    on_retry: Callable[[BaseException, int, float], None] | None = None,
    is_over: Callable[[], bool] = lambda: False,
    attempts_max: int | None = None,
    sleep: Sleep = asyncio.sleep,
) -> tenacity.AsyncRetrying:
    """Try again on `errors` until it works, `is_over()` says so, or `attempts_max` attempts are used up.

    The last error is raised as it is. Use it as `async for attempt in retrying(...): with attempt: ...`, or call
    `await retrying(...)(function)`.

    Args:
        errors: what is worth another attempt; everything else is raised at once.
        pause: seconds to wait after the n-th failure.
        on_retry: told error, attempt and pause before each wait.
        is_over: asked after each failure.
        attempts_max: None for no limit but `is_over`.
        sleep: how to wait; one that returns early hastens the next attempt.
    """

    def before_sleep(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if on_retry is not None and error is not None:
            on_retry(error, state.attempt_number, state.upcoming_sleep)

    def stop(state: tenacity.RetryCallState) -> bool:
        return is_over() or (attempts_max is not None and state.attempt_number >= attempts_max)

    return _Retrying(
        errors,
        retry=tenacity.retry_if_exception_type(errors),
        wait=lambda state: pause(state.attempt_number),
        stop=stop,
        sleep=sleep,
        before_sleep=before_sleep,
        reraise=True,
    )


class _Retrying(tenacity.AsyncRetrying):
    """Tenacity begins with the first failure: its bookkeeping costs more than most calls, and most calls work."""

    def __init__(self, errors: tuple[type[BaseException], ...], **options: Any) -> None:
        super().__init__(**options)
        self._errors = errors

    async def __call__(self, call: Callable[..., Awaitable[Answer]], *arguments: Any, **options: Any) -> Answer:  # type: ignore[override]
        try:
            return await call(*arguments, **options)
        except self._errors as error:
            failures = [error]

        async def attempt() -> Answer:
            if failures:
                raise failures.pop()
            return await call(*arguments, **options)

        return await super().__call__(attempt)
