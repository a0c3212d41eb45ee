"""A gate that the threads of calls wait at, so that a test decides when a call ends."""

import asyncio
import threading

GIVE_UP_SECONDS = 30


class Gate:
    """Holds the threads of calls until it is opened."""

    def __init__(self) -> None:
        self.arrived = threading.Semaphore(0)
        self._opened = threading.Event()

    def pass_through(self, _: object = None, **__: object) -> None:
        self.arrived.release()
        assert self._opened.wait(GIVE_UP_SECONDS)

    def open(self) -> None:
        self._opened.set()

    async def hold(self, threads: int) -> None:
        """Wait until this many threads stand here."""
        for _ in range(threads):
            assert await asyncio.to_thread(self.arrived.acquire, timeout=GIVE_UP_SECONDS)
