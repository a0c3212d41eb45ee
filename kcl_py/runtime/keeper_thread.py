"""Runs the keeper in a thread and a loop of its own, so that a processor that blocks does not cost the session."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future

from kcl_py.errors import KclError
from kcl_py.interfaces import LeaseTable, Stream
from kcl_py.runtime.keeper import Keeper
from kcl_py.runtime.mailbox import KeeperFailed, Mailbox, Quit

_CUT_OFF_SECONDS = 1.0


class KeeperThread:
    """One keeper in one thread. The doors are made in its loop, because connections belong to a loop."""

    def __init__(
        self,
        mailbox: Mailbox,
        *,
        open_stream: Callable[[], Stream],
        open_table: Callable[[], LeaseTable],
        make_keeper: Callable[[LeaseTable, Stream], Keeper],
    ) -> None:
        self._mailbox = mailbox
        self._open_stream = open_stream
        self._open_table = open_table
        self._make_keeper = make_keeper
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._over: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="kcl-py keeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    async def quit(self, grace_seconds: float) -> bool:
        """Have the keeper give everything up and end; cut it off after the grace.

        Returns:
            True if it ended by itself.
        """
        # without a thread that waits: that this process can start no more may be why it quits
        loop, is_over = asyncio.get_running_loop(), asyncio.Event()

        def tell(_over: Future[None]) -> None:
            with contextlib.suppress(RuntimeError):  # nobody waits any more
                loop.call_soon_threadsafe(is_over.set)

        self._over.add_done_callback(tell)
        self._mailbox.to_keeper.put(Quit())
        if await _is_set_within(is_over, grace_seconds):
            self._thread.join()  # which has nothing left to do
            return True
        self._cut_off()
        await _is_set_within(is_over, _CUT_OFF_SECONDS)
        return False

    def quit_blocking(self, grace_seconds: float) -> bool:
        """As `quit`, for a caller without a loop."""
        self._mailbox.to_keeper.put(Quit())
        self._thread.join(grace_seconds)
        if not self._thread.is_alive():
            return True
        self._cut_off()
        self._thread.join(_CUT_OFF_SECONDS)
        return False

    def _cut_off(self) -> None:
        loop, main = self._loop, self._main
        if loop is not None and main is not None:
            with contextlib.suppress(RuntimeError):  # it ended just now
                loop.call_soon_threadsafe(main.cancel)

    def _run(self) -> None:
        try:
            asyncio.run(self._keep())
        except asyncio.CancelledError:
            return
        except BaseException as error:  # noqa: BLE001 - a thread has nobody above it: the worker raises this
            self._mailbox.to_data_plane.put(KeeperFailed(root_of(error)))
        finally:
            self._over.set_result(None)

    async def _keep(self) -> None:
        self._loop, self._main = asyncio.get_running_loop(), asyncio.current_task()
        table, stream = self._open_table(), self._open_stream()
        try:
            await self._make_keeper(table, stream).run()
        finally:
            await stream.close()
            await table.close()


def root_of(error: BaseException) -> BaseException:
    """The one error that a group is about: a `KclError` if it holds one."""
    leaves = list(_leaves(error))
    return next((leaf for leaf in leaves if isinstance(leaf, KclError)), leaves[0])


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]
