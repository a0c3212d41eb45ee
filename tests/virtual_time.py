"""A loop whose time passes only when every task waits: hours of timeouts in milliseconds, the same every time."""

import asyncio
import heapq
import selectors
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")
_INSTANT_SECONDS = 1e-9
_AT_ONCE = 64  # callbacks between two looks at whether the loop is to stop


class ReadyOrder(Protocol):
    """What is ready to run, and in which order it does; stands in for the loop's own first-in-first-out queue."""

    def append(self, handle: asyncio.Handle) -> None:
        """A callback became ready."""

    def popleft(self) -> asyncio.Handle | None:
        """Choose what runs next; None if there is nothing any more."""

    def clear(self) -> None:
        """Forget everything."""


class _Impatient(selectors.DefaultSelector):
    """Never waits: instead of sleeping until the next timer, the loop's time moves there."""

    loop: "VirtualTimeLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0) if timeout != 0 else []  # a look at the descriptors can wait until nobody has work
        if not ready and timeout is None:
            raise RuntimeError("every task waits for something that will never happen")
        # an instant passes in any case: a wait that is too short for a timer must not be waited for again and again
        self.loop.now += max(_INSTANT_SECONDS, timeout or 0.0) if not ready else _INSTANT_SECONDS
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


class _Callback(asyncio.TimerHandle):
    """What a loop needs to know of a callback, for half of what asyncio's own handles cost."""

    __slots__ = ()

    def __init__(self, when: float, callback: Callable[..., object], arguments: Any, context: Context | None) -> None:
        self._when = when
        self._callback = callback
        self._args = arguments
        self._context = copy_context() if context is None else context
        self._cancelled = False

    def _run(self) -> None:
        try:
            self._context.run(self._callback, *self._args)
        except Exception as error:  # noqa: BLE001 - as asyncio's own do
            loop = asyncio.get_running_loop()
            loop.call_exception_handler({"message": f"Exception in callback {self._callback}", "exception": error})

    def cancel(self) -> None:
        self._cancelled = True
        self._args = ()  # and what it would have kept alive


class SeededLoop(VirtualTimeLoop):
    """Somebody else decides which of the callbacks that are ready runs next.

    It has timers and callbacks and nothing else, no descriptors and no threads, and is quicker for it: a simulated hour
    of a fleet is half a million callbacks.
    """

    def __init__(self, order: ReadyOrder) -> None:
        super().__init__()
        self._ready = order
        self._stopping = False
        self._timers: list[tuple[float, int, _Callback]] = []
        self._count = 0

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *arguments: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = _Callback(0.0, callback, arguments, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *arguments: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.now + delay, callback, *arguments, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *arguments: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = _Callback(when, callback, arguments, context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, timer))
        return timer

    def _run_once(self) -> None:
        take = self._ready.popleft
        for _ in range(_AT_ONCE):
            if self._stopping:
                return
            handle = take()
            if handle is None:
                self._let_time_pass()
            elif not handle._cancelled:
                handle._run()

    def _let_time_pass(self) -> None:
        """Until the next timer; who was due at that instant is ready then."""
        timers, now, is_somebody_due = self._timers, self.now, False
        while timers and (not is_somebody_due or timers[0][0] <= now):
            when, _, timer = heapq.heappop(timers)
            if not timer._cancelled:
                now = max(now + _INSTANT_SECONDS, when)  # or a wait too short for the clock never ends
                self._ready.append(timer)
                is_somebody_due = True
        self.now = now
        if not is_somebody_due:
            raise RuntimeError("every task waits for something that will never happen")


def run(main: Coroutine[object, object, Result], order: ReadyOrder | None = None) -> Result:
    """Run a test in virtual time; a task that it leaves behind fails it.

    Args:
        main: the test.
        order: which of the callbacks that are ready runs next; None = in the order in which they became ready.
    """
    with asyncio.Runner(loop_factory=VirtualTimeLoop if order is None else lambda: SeededLoop(order)) as runner:

        async def all_of_it() -> Result:
            result = await main
            left = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            assert not left, f"tasks were left behind: {left}"
            return result

        return runner.run(all_of_it())
