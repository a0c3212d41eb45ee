"""A loop whose time passes only when every task waits: hours of timeouts in milliseconds, the same every time."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Protocol, TypeVar

Result = TypeVar("Result")
_INSTANT_SECONDS = 1e-9


class ReadyOrder(Protocol):
    """What is ready to run, and in which order it does; stands in for the loop's own first-in-first-out queue."""

    def append(self, handle: asyncio.Handle) -> None:
        """A callback became ready."""

    def popleft(self) -> asyncio.Handle:
        """Choose what runs next."""

    def clear(self) -> None:
        """Forget everything."""

    def __len__(self) -> int:
        """How many callbacks may run now."""


class _Impatient(selectors.DefaultSelector):
    """Never waits: instead of sleeping until the next timer, the loop's time moves there."""

    loop: "VirtualTimeLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # a look at the descriptors can wait until nobody has work; a simulation has none at all
        is_blind = timeout == 0 or (self.loop.is_seeded and timeout is not None)
        ready = [] if is_blind else super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("every task waits for something that will never happen")
        # an instant passes in any case: a wait that is too short for a timer must not be waited for again and again
        self.loop.now += max(_INSTANT_SECONDS, timeout or 0.0) if not ready else _INSTANT_SECONDS
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Begins at 1,000 s, so that a clock which is taken for a duration shows.

    Args:
        order: which of the callbacks that are ready runs next; None = in the order in which they became ready.
    """

    def __init__(self, order: ReadyOrder | None = None) -> None:
        self.now = 1_000.0
        self.is_seeded = order is not None
        selector = _Impatient()
        selector.loop = self
        super().__init__(selector)
        if order is not None:
            self._ready = order

    def time(self) -> float:
        return self.now


def run(main: Coroutine[object, object, Result], order: ReadyOrder | None = None) -> Result:
    """Run a test in virtual time; a task that it leaves behind fails it."""
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(order)) as runner:

        async def all_of_it() -> Result:
            result = await main
            left = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            assert not left, f"tasks were left behind: {left}"
            return result

        return runner.run(all_of_it())
