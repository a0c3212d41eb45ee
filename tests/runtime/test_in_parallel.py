"""Several things at once, when they are cut short."""

import asyncio
import contextlib
import inspect

from kcl_py.runtime.in_parallel import in_parallel


async def test_work_that_is_cancelled_before_its_turn_is_not_left_unawaited():
    async def work() -> None:
        await asyncio.sleep(0)

    works = [work() for _ in range(3)]
    together = asyncio.create_task(in_parallel(works, at_once=1))
    await asyncio.sleep(0)  # each has its task, and none has begun
    together.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await together
    assert {inspect.getcoroutinestate(one) for one in works} == {inspect.CORO_CLOSED}
