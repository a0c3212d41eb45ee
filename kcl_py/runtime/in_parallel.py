"""Several things at once, each to its end; or one beside another, and no longer."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any


async def in_parallel(works: Iterable[Coroutine[Any, Any, None]], *, at_once: int) -> None:
    """Do all of it, a few at a time. That one fails stops no other: a lease write that is cut off has an open outcome.

    Args:
        works: what to do.
        at_once: how many may be under way.

    Raises:
        ExceptionGroup: whatever failed, once all have ended.
    """
    todo = tuple(works)
    if not todo:  # as nearly always: most rounds find that there is nothing to do
        return
    limit = asyncio.Semaphore(at_once)

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


@asynccontextmanager
async def beside(
    work: Coroutine[Any, Any, None], *, name: str, on_end: Callable[["asyncio.Task[None]"], None]
) -> AsyncIterator[None]:
    """Do it while the block runs, and cut it off when that is left.

    Args:
        work: what to do.
        name: of its task.
        on_end: told when it ends, however.
    """
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(on_end)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
