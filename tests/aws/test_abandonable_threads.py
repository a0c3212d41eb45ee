"""Threads that nobody has to wait for, neither at a shutdown nor at the end of the interpreter."""

import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError

import pytest

from kcl_py.aws.abandonable_threads import LAST_SECONDS, AbandonableThreads


def test_calls_run_beside_each_other_up_to_the_number_of_threads():
    threads = AbandonableThreads(2, "mine")
    both_run = threading.Barrier(3)
    names = set()

    def call() -> None:
        names.add(threading.current_thread().name)
        both_run.wait(10)

    futures = [threads.submit(call) for _ in range(2)]
    both_run.wait(10)
    for future in futures:
        future.result(10)
    assert names == {"mine-1", "mine-2"}
    threads.shutdown()


def test_a_thread_that_is_idle_takes_the_next_call():
    threads = AbandonableThreads(8, "mine")
    for number in range(5):
        assert threads.submit(lambda: threading.current_thread().name).result(10) == "mine-1", number
    threads.shutdown()


def test_what_a_call_raises_is_its_result():
    threads = AbandonableThreads(1, "mine")
    with pytest.raises(ZeroDivisionError):
        threads.submit(lambda: 1 // 0).result(10)
    assert threads.submit(divmod, 7, 2).result(10) == (3, 1)
    threads.shutdown()


def test_a_shutdown_cancels_what_waits_and_leaves_behind_what_hangs():
    threads = AbandonableThreads(1, "mine")
    hangs = threading.Event()
    stuck = threads.submit(hangs.wait)
    waiting = threads.submit(print, "never")
    began = time.monotonic()
    threads.shutdown(cancel_futures=True)
    assert time.monotonic() - began < 5 * LAST_SECONDS
    with pytest.raises(CancelledError):
        waiting.result(0)
    assert not stuck.done()
    with pytest.raises(RuntimeError, match="told to end"):
        threads.submit(print)
    hangs.set()


def test_the_interpreter_ends_though_a_call_hangs():
    program = (
        "import threading; from kcl_py.aws.abandonable_threads import AbandonableThreads as Threads;"
        "Threads(1, 'mine').submit(threading.Event().wait)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
