"""Several things at once, each to its end."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


async def in_parallel(works: Iterable[Coroutine[Any, Any, None]], *, at_once: int) -> None:
    """Do all of it, a few at a time. That one fails stops no other: a lease write that is cut off has an open outcome.

    Args:
        works: what to do.
        at_once: how many may be under way.

    Raises:
        ExceptionGroup: whatever failed, once all have ended.
    """
    limit = asyncio.Semaphore(at_once)
    todo = tuple(works)

    async def do(work: Coroutine[Any, Any, None]) -> None:
        async with limit:
            await work

    try:
        outcomes = await asyncio.gather(*map(do, todo), return_exceptions=True)
    finally:
        for work in todo:
            work.close()  # one that was cancelled before its turn never began
    failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    if failures:
        raise ExceptionGroup("of several things at once, some failed", failures)
