"""The Kinesis server in a thread of its own, for callers that have no event loop."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from threading import Thread
from types import TracebackType
from typing import Any, Self, TypeVar

from kcl_py.core.shard import Shard
from kcl_py.local.kinesis_server import KinesisServer
from kcl_py.local.requests import Request

Result = TypeVar("Result")


class ServerThread:
    """Runs a `KinesisServer` in its own thread and event loop, from `start` to `stop` or as a context manager."""

    def __init__(self, server: KinesisServer) -> None:
        self.server = server  # its model may be touched only through `ask` while it runs
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

    def ask(self, request: Request) -> object:
        """Perform an operation on the model, in between two requests of clients; blocks.

        Raises:
            KinesisError: the model refused.
        """
        return self._run_there(self.server.ask(request))

    def shards(self, stream_name: str) -> tuple[Shard, ...]:
        """Every listed shard of a stream, oldest first; blocks.

        Raises:
            StreamNotFound: there is no such stream.
        """
        return self._run_there(self.server.stream(stream_name).list_shards())

    def _run_there(self, work: Coroutine[Any, Any, Result]) -> Result:
        if self._loop is None:
            work.close()
            raise RuntimeError("the server is not running")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

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
