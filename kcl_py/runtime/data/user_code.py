"""The one place that runs code we did not write, and so the one place that catches everything."""

import asyncio
import contextlib
import inspect
import queue
import threading
import traceback
from collections.abc import Callable
from types import TracebackType

from kcl_py.processor import ProcessorFactory, RecordProcessor, is_async

_FRAMES_SHOWN = 6
MayBegin = Callable[[], bool]


class ProcessorRaised(Exception):
    """User code raised.

    Attributes:
        error: the exception's type and the places it passed through. Never its text, which may quote a payload.
    """

    def __init__(self, method: str, error: BaseException) -> None:
        self.method = method
        self.error = describe(error)
        super().__init__(f"{method} raised {self.error}")


class NotBegun(Exception):
    """The call was not made: it was not allowed any more when its turn came."""


def describe(error: BaseException) -> str:
    """The exception's type and where it came from, without its text; of a group, the first that it is about."""
    if isinstance(error, BaseExceptionGroup):
        return f"{describe(error.exceptions[0])}, in {type(error).__name__} of {len(error.exceptions)}"
    return f"{type(error).__name__} at {_places(error.__traceback__)}"


def _places(trace: TracebackType | None) -> str:
    frames = [frame for frame in traceback.extract_tb(trace) if frame.filename != __file__]
    shown = frames[-_FRAMES_SHOWN:]
    return " < ".join(f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in reversed(shown)) or "no frame"


class UserCode:
    """One processor instance. Sync methods run in a thread of its own, async ones on the running loop.

    A call is never cancelled: user code that was begun is waited for, because half a batch is neither done nor undone.
    """

    def __init__(self, factory: ProcessorFactory, name: str) -> None:
        self._factory = factory
        self._name = name
        self._thread: _OwnThread | None = None
        self.processor: RecordProcessor | None = None
        self.is_async = False

    async def create(self, may_begin: MayBegin = lambda: True) -> None:
        """Make the instance, in its own thread if it is synchronous.

        Args:
            may_begin: see `call`.

        Raises:
            NotBegun: it was not allowed.
            ProcessorRaised: the class or factory raised.
            ProcessorError: what it made is not a processor.
        """
        made: list[RecordProcessor] = []
        error = None
        if isinstance(self._factory, type) and not is_async(self._factory):
            error = await self._own_thread().run(lambda: made.append(self._factory()), (), may_begin)
        else:
            try:
                made.append(self._factory())
            except (Exception, asyncio.CancelledError) as raised:  # noqa: BLE001 - the factory is user code
                error = raised
        if isinstance(error, NotBegun):
            raise error
        if error is not None:
            raise ProcessorRaised("__init__", error) from None
        self.is_async = is_async(type(made[0]))
        self.processor = made[0]

    async def call(self, method: str, *arguments: object, may_begin: MayBegin = lambda: True) -> None:
        """Call one method and wait for it.

        Args:
            method: its name.
            arguments: what it is given.
            may_begin: asked in the thread of the call, with nothing left to do but the call: a process may be
                suspended at any place before.

        Raises:
            NotBegun: it was not allowed.
            ProcessorRaised: it raised anything at all.
        """
        function = getattr(self.processor, method)
        if self.is_async:
            if not may_begin():
                raise NotBegun
            await self._await(method, function, arguments)
            return
        error = await self._own_thread().run(function, arguments, may_begin)
        if isinstance(error, NotBegun):
            raise error
        if error is not None:
            raise ProcessorRaised(method, error) from None

    def _own_thread(self) -> "_OwnThread":
        if self._thread is None:
            self._thread = _OwnThread(self._name)
        return self._thread

    async def _await(self, method: str, function: Callable[..., object], arguments: tuple[object, ...]) -> None:
        try:
            awaitable = function(*arguments)
            if inspect.isawaitable(awaitable):  # the methods that a processor inherits return nothing at once
                await awaitable
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise ProcessorRaised(method, error) from None
        except Exception as error:  # noqa: BLE001 - this is user code
            raise ProcessorRaised(method, error) from None

    def close(self) -> None:
        """End the thread once its call in flight is over. Does not wait."""
        if self._thread is not None:
            self._thread.close()
            self._thread = None


_Outcome = asyncio.Future[BaseException | None]
_Job = tuple[asyncio.AbstractEventLoop, _Outcome, Callable[..., object], tuple[object, ...], MayBegin]


class _OwnThread:
    """A daemon thread that runs one call after the other: a call that never returns does not keep the process alive."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    async def run(
        self, function: Callable[..., object], arguments: tuple[object, ...], may_begin: MayBegin
    ) -> BaseException | None:
        loop = asyncio.get_running_loop()
        done: _Outcome = loop.create_future()
        self._jobs.put((loop, done, function, arguments, may_begin))
        return await done

    def close(self) -> None:
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            loop, done, function, arguments, may_begin = job
            error: BaseException | None = None
            try:
                if may_begin():
                    function(*arguments)
                else:
                    error = NotBegun()
            except BaseException as raised:  # noqa: BLE001 - user code; SystemExit must not end the thread silently
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_settle, done, error)
            del job, loop, done, function, arguments, may_begin, error  # hold no batch while idle


def _settle(done: _Outcome, error: BaseException | None) -> None:
    if not done.done():
        done.set_result(error)
