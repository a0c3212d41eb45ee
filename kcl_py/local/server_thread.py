"""The Kinesis server in a thread of its own, for callers that have no event loop."""

import asyncio
from concurrent.futures import Future
from threading import Thread
from types import TracebackType
from typing import Self

from kcl_py.local.kinesis_server import KinesisServer


class ServerThread:
    """Runs a `KinesisServer` in its own thread and event loop, from `start` to `stop` or as a context manager."""

    def __init__(self, server: KinesisServer) -> None:
        self.server = server  # its model may be touched only while no request can arrive
        self._thread: Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_stopping = asyncio.Event()

    @property
    def url(self) -> str:
        """The endpoint URL, once started."""
        return self.server.url

    def start(self) -> None:
        """Return when the server listens.

        Raises:
            OSError: the port is taken.
        """
        listening: Future[None] = Future()
        self._is_stopping = asyncio.Event()
        self._thread = Thread(target=self._run, args=(listening,), name="kcl_py-kinesis", daemon=True)
        self._thread.start()
        try:
            listening.result()
        except OSError:
            self._thread.join()
            raise

    def stop(self) -> None:
        """Return when every connection is closed and the thread has ended. Does nothing the second time."""
        if self._thread is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._is_stopping.set)
            self._thread.join()
        self._thread = self._loop = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, listening: "Future[None]") -> None:
        try:
            asyncio.run(self._serve(listening))
        finally:
            if not listening.done():
                listening.set_exception(RuntimeError("the server's thread ended before it listened"))

    async def _serve(self, listening: "Future[None]") -> None:
        self._loop = asyncio.get_running_loop()
        try:
            await self.server.start()
        except OSError as problem:
            listening.set_exception(problem)
            return
        listening.set_result(None)
        await self._is_stopping.wait()
        await self.server.stop()
