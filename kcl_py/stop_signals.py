"""SIGTERM and SIGINT for a worker that owns its process: the first drains, a second one is hard.

The handlers run between two steps of the main thread, also while a processor blocks the event loop there. A watchdog in
a thread of its own makes sure that such a processor cannot keep the leases, or the process, beyond the grace.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

from kcl_py.errors import ConfigError

HARD_EXIT_CODE = 130
STUCK_EXIT_CODE = 1
SAME_SIGNAL_SECONDS = 0.5  # a terminal or `timeout` may deliver one signal twice, to the process and to its group
LAST_SECONDS = 3.0  # for a block that was about to end by itself
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Installed for the time of a `with` block, in the main thread.

    Args:
        on_stop: called at the first signal, in the main thread; must return at once.
        on_stuck: called by the watchdog when the block has not ended `grace_seconds` after the first signal; may block.
        grace_seconds: how long a drain may take, everything included.

    Raises:
        ConfigError: entered in another thread than the main one.
    """

    def __init__(self, on_stop: Callable[[], None], on_stuck: Callable[[], None], grace_seconds: float) -> None:
        self._on_stop = on_stop
        self._on_stuck = on_stuck
        self._grace_seconds = grace_seconds
        self._asked_at: float | None = None
        self._is_asked = threading.Event()
        self._is_over = threading.Event()
        self._is_given_up = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            raise ConfigError(
                "run() installs signal handlers, which only the main thread may do: call it there, or use "
                "`async with Worker(...)` in an event loop of any thread"
            )
        # started here and not in the handler, which may interrupt any code, also that which starts threads
        threading.Thread(target=self._watch, name="kcl-py watchdog", daemon=True).start()
        self._before = {number: signal.signal(number, self._receive) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._is_asked.set()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def give_up(self) -> None:
        """The block hangs, and all is done that can be done without it: let it end at once, or end the process."""
        self._is_given_up = True
        self._is_asked.set()

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
            self._is_asked.set()
            self._on_stop()
        elif now - self._asked_at > SAME_SIGNAL_SECONDS:
            os._exit(HARD_EXIT_CODE)

    def _watch(self) -> None:
        self._is_asked.wait()
        if not self._is_given_up and not self._is_over.wait(self._grace_seconds):
            self._on_stuck()
        if not self._is_over.wait(LAST_SECONDS):
            os._exit(STUCK_EXIT_CODE)
