"""Running code we did not write."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from kcl_py.events import WorkerStopped
from kcl_py.processor import RecordProcessor
from kcl_py.runtime.data.user_code import NotBegun, ProcessorRaised, UserCode
from kcl_py.runtime.emitter import Emitter


class Sync(RecordProcessor):
    def __init__(self) -> None:
        self.threads = [threading.get_ident()]

    def initialize(self, context: object) -> None:
        self.threads.append(threading.get_ident())

    def process_records(self, records: object, checkpointer: object) -> None:
        self.threads.append(threading.get_ident())
        raise SystemExit("secret payload")


class Async(RecordProcessor):
    async def process_records(self, records: object, checkpointer: object) -> None:
        task = asyncio.create_task(asyncio.sleep(10))
        task.cancel()
        await task


async def test_a_sync_processor_is_made_and_called_in_one_thread_of_its_own():
    code = UserCode(Sync, "shard")
    await code.create()
    await code.call("initialize", None)
    with pytest.raises(ProcessorRaised):
        await code.call("process_records", None, None)
    assert isinstance(code.processor, Sync)
    assert len(set(code.processor.threads)) == 1
    assert threading.get_ident() not in code.processor.threads
    code.close()


async def test_what_may_not_begin_any_more_when_its_turn_in_the_thread_comes_is_not_called():
    code = UserCode(Sync, "shard")
    await code.create()
    asked: list[int] = []

    def may_begin() -> bool:
        asked.append(threading.get_ident())
        return False

    with pytest.raises(NotBegun):
        await code.call("initialize", None, may_begin=may_begin)
    assert isinstance(code.processor, Sync)
    assert len(code.processor.threads) == 1, "it was made, and not called"
    assert asked == code.processor.threads, "asked where it would have been called"
    code.close()


async def test_an_asynchronous_call_that_may_not_begin_is_not_made():
    called: list[str] = []

    class Told(RecordProcessor):
        async def process_records(self, records: object, checkpointer: object) -> None:
            called.append("process_records")

    code = UserCode(Told, "shard")
    await code.create()
    with pytest.raises(NotBegun):
        await code.call("process_records", None, None, may_begin=lambda: False)
    assert called == []
    code.close()


async def test_even_system_exit_is_an_error_of_the_processor_and_its_text_stays_secret():
    code = UserCode(Sync, "shard")
    await code.create()
    with pytest.raises(ProcessorRaised) as raised:
        await code.call("process_records", None, None)
    assert raised.value.error.startswith("SystemExit at ")
    assert "test_user_code.py" in raised.value.error
    assert "secret" not in raised.value.error
    code.close()


async def test_a_cancelled_error_that_user_code_lets_out_is_its_error_and_not_our_end():
    code = UserCode(Async, "shard")
    await code.create()
    with pytest.raises(ProcessorRaised, match="CancelledError"):
        await code.call("process_records", None, None)
    await code.call("lease_lost")  # inherited, and not a coroutine


class Hanging(RecordProcessor):
    """What it makes of its cancellation is told from outside."""

    answer: Callable[[], None]

    async def process_records(self, records: object, checkpointer: object) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            type(self).answer()


def returns() -> None:
    pass


def raises() -> None:
    raise ValueError("secret payload")


def raises_anew() -> None:
    raise asyncio.CancelledError


def takes_it_for_its_own() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()
    raise asyncio.CancelledError


async def hanging(answer: Callable[[], None]) -> tuple[UserCode, asyncio.Task[None]]:
    """A call under way that will answer its cancellation so."""
    code = UserCode(type("Answering", (Hanging,), {"answer": staticmethod(answer)}), "shard")
    await code.create()
    call = asyncio.create_task(code.call("process_records", None, None))
    await asyncio.sleep(0)
    return code, call


@pytest.mark.parametrize("answer", [returns, raises, raises_anew, takes_it_for_its_own])
async def test_a_call_that_was_cut_is_cancelled_whatever_user_code_makes_of_that(answer):
    code, call = await hanging(answer)
    code.cut()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_call_that_is_cancelled_with_its_worker_has_not_raised():
    _, call = await hanging(raises_anew)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_listener_that_raises_hurts_nobody_and_is_counted():
    heard: list[object] = []

    def broken(_event: object) -> None:
        raise RuntimeError

    emit = Emitter([broken, heard.append])
    emit(WorkerStopped())
    assert heard == [WorkerStopped()]
    assert emit.failures == 1


class Grouped(RecordProcessor):
    async def process_records(self, records: object, checkpointer: object) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.fail())

    async def fail(self) -> None:
        raise KeyError("secret")


async def test_of_a_group_of_errors_the_first_one_is_named():
    code = UserCode(Grouped, "shard")
    await code.create()
    with pytest.raises(ProcessorRaised) as raised:
        await code.call("process_records", None, None)
    assert raised.value.error.startswith("KeyError at ")
    assert "in fail" in raised.value.error
    assert raised.value.error.endswith("in ExceptionGroup of 1")


@pytest.mark.parametrize("kind", [Sync, Async])
async def test_where_no_call_runs_the_end_is_told_at_once_and_leaves_no_thread(kind):
    before = threading.active_count()
    code = UserCode(kind, "shard that ends")
    await code.create()
    ended: list[str] = []
    code.close(then=lambda: ended.append("now"))
    assert ended == ["now"]
    while threading.active_count() > before:
        await asyncio.sleep(0.01)


async def test_while_a_call_runs_in_its_thread_the_end_is_told_after_it():
    begun, may_end, told = threading.Event(), threading.Event(), threading.Event()
    order: list[str] = []

    class Slow(Sync):
        def process_records(self, records: object, checkpointer: object) -> None:
            begun.set()
            may_end.wait(10)
            order.append("returned")

    code = UserCode(Slow, "shard")
    await code.create()
    was_in_thread = code.is_in_thread
    calling = asyncio.create_task(code.call("process_records", None, None))
    while not begun.is_set():
        await asyncio.sleep(0.01)
    assert (was_in_thread, code.is_in_thread) == (False, True), "a thread alone is no call"

    def then() -> None:
        order.append("ended")
        told.set()

    code.close(then)
    await asyncio.sleep(0.05)
    assert order == [], "who picks the shard up again would call it twice at once"
    may_end.set()
    await calling
    assert await asyncio.to_thread(told.wait, 10)
    assert order == ["returned", "ended"]


@pytest.mark.parametrize("raised", [ValueError, asyncio.CancelledError])
async def test_a_factory_that_raises_is_user_code_that_raised(raised):
    def factory() -> RecordProcessor:
        raise raised("secret payload")

    code = UserCode(factory, "shard")
    with pytest.raises(ProcessorRaised) as told:
        await code.create()
    assert told.value.method == "__init__"
    assert "secret" not in str(told.value)
