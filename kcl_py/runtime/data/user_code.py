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

    User code that was begun is waited for, because half a batch is neither done nor undone. Only a call that stalls, or
    outlasts the grace of a stop, is cancelled; and then it is not done, whatever it returns. A thread cannot be
    cancelled: its call goes on, and is not waited for any more.
    """

    def __init__(self, factory: ProcessorFactory, name: str) -> None:
        self._factory = factory
        self._name = name
        self._thread: _OwnThread | None = None
        self.processor: RecordProcessor | None = None
        self.is_async = False
        self._is_cut = False

    @property
    def is_in_thread(self) -> bool:
        """True while a call runs in a thread, where nothing can end it."""
        return self._thread is not None and self._thread.is_busy

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
            if self._is_cut or (task is not None and task.cancelling()):
                raise
            raise ProcessorRaised(method, error) from None
        except Exception as error:  # noqa: BLE001 - this is user code
            if not self._is_cut:
                raise ProcessorRaised(method, error) from None
        if self._is_cut:
            raise asyncio.CancelledError

    def cut(self) -> None:
        """The call in flight is about to be cancelled: whatever user code makes of that, the call is not done."""
        self._is_cut = True

    def close(self, then: Callable[[], None] = lambda: None) -> None:
        """End the thread once its call in flight is over. Does not wait.

        Args:
            then: called when no call runs any more: now, or in the thread.
        """
        if self._thread is not None:
            self._thread.close(then)
            self._thread = None
        else:
            then()


_Outcome = asyncio.Future[BaseException | None]
_Job = tuple[asyncio.AbstractEventLoop, _Outcome, Callable[..., object], tuple[object, ...], MayBegin]


class _OwnThread:
    """A daemon thread that runs one call after the other: a call that never returns does not keep the process alive."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[_Job | Callable[[], None]] = queue.SimpleQueue()
        self.is_busy = False
        threading.Thread(target=self._work, name=name, daemon=True).start()

    async def run(
        self, function: Callable[..., object], arguments: tuple[object, ...], may_begin: MayBegin
    ) -> BaseException | None:
        loop = asyncio.get_running_loop()
        done: _Outcome = loop.create_future()
        self.is_busy = True
        self._jobs.put((loop, done, function, arguments, may_begin))
        return await done

    def close(self, then: Callable[[], None]) -> None:
        if self.is_busy:
            self._jobs.put(then)
        else:
            self._jobs.put(lambda: None)
            then()

    def _work(self) -> None:
        while not callable(job := self._jobs.get()):
            loop, done, function, arguments, may_begin = job
            error: BaseException | None = None
            try:
                if may_begin():
                    function(*arguments)
                else:
                    error = NotBegun()
            except BaseException as raised:  # noqa: BLE001 - user code; SystemExit must not end the thread silently
                error = raised
            self.is_busy = False
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_settle, done, error)
            del job, loop, done, function, arguments, may_begin, error  # hold no batch while idle
        job()


def _settle(done: _Outcome, error: BaseException | None) -> None:
    if not done.done():
        done.set_result(error)
