"""A loop whose time passes only when every task waits: hours of timeouts in milliseconds, the same every time."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class _Impatient(selectors.DefaultSelector):
    """Never waits: instead of sleeping until the next timer, the loop's time moves there."""

    loop: "VirtualTimeLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("every task waits for something that will never happen")
        if not ready and timeout:
            self.loop.now += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Begins at 1,000 s, so that a clock which is taken for a duration shows."""

    def __init__(self) -> None:
        self.now = 1_000.0
        selector = _Impatient()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a test in virtual time; a task that it leaves behind fails it."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:

        async def all_of_it() -> Result:
            result = await main
            left = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            assert not left, f"tasks were left behind: {left}"
            return result

        return runner.run(all_of_it())
