"""Threads that may be left behind: a blocking call that is read one byte a second runs into no timeout.

The standard library's executor waits for its threads when the interpreter ends, however long that takes.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

from kcl_py import host

Result = TypeVar("Result")
LAST_SECONDS = 1.0  # for calls that are just ending, when nobody waits for their results any more
_Work = tuple["Future[Any]", Callable[[], object]]


class AbandonableThreads(Executor):
    """An executor of daemon threads, started as they are needed.

    Args:
        threads_max: at most so many.
        name: how their names begin.
    """

    def __init__(self, threads_max: int, name: str) -> None:
        self._threads_max = threads_max
        self._name = name
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._is_over = False

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> "Future[Result]":
        """Run a call as soon as a thread is free.

        Raises:
            RuntimeError: the executor was shut down.
        """
        future: Future[Result] = Future()
        with self._lock:
            if self._is_over:
                raise RuntimeError("these threads were told to end")
            self._work.put((future, lambda: fn(*args, **kwargs)))
            if not self._idle.acquire(blocking=False) and len(self._threads) < self._threads_max:
                thread = threading.Thread(target=self._run, name=f"{self._name}-{len(self._threads) + 1}", daemon=True)
                self._threads.append(thread)
                thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. Waits a second at most: what is stuck then is left behind, and ends with the process."""
        with self._lock:
            self._is_over = True
            while cancel_futures and (waiting := self._next_waiting()) is not None:
                waiting.cancel()
            for _ in self._threads:
                self._work.put(None)
        if wait:
            until = host.boottime() + LAST_SECONDS
            for thread in self._threads:
                thread.join(max(0.0, until - host.boottime()))

    def _next_waiting(self) -> "Future[Any] | None":
        try:
            work = self._work.get_nowait()
        except queue.Empty:
            return None
        return work[0] if work is not None else None

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            self._do(*work)

    def _do(self, future: "Future[Any]", call: Callable[[], object]) -> None:
        if not future.set_running_or_notify_cancel():
            self._idle.release()
            return
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - whoever waits for the result gets it
            self._idle.release()
            future.set_exception(error)
        else:
            self._idle.release()  # first, so that whoever waits for the result finds this thread free
            future.set_result(result)
