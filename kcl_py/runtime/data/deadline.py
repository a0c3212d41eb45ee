"""The instant past which no call into user code may begin (law S7)."""

import asyncio
from collections.abc import Callable

from kcl_py.events import DeliveryPaused, DeliveryResumed
from kcl_py.runtime.emitter import Emitter


class Deadline:
    """Extended by every beat that is known to have landed. The clock includes suspend and is shared with the keeper."""

    def __init__(self, clock: Callable[[], float], emit: Emitter | None = None) -> None:
        self._clock = clock
        self._emit = emit or Emitter(())
        self._is_paused = False
        self._at = float("-inf")
        self._extended = asyncio.Event()

    @property
    def is_ahead(self) -> bool:
        """True while user code may be called."""
        return self._clock() < self._at

    def extend(self, at: float) -> None:
        """Move the deadline; a new session's may lie before an old one's only in the past."""
        self._at = max(self._at, at)
        self._extended.set()
        if self._is_paused and self.is_ahead:
            self._is_paused = False
            self._emit(DeliveryResumed())

    async def wait_until_ahead(self) -> None:
        """Return at once, or when a beat has landed again."""
        while not self.is_ahead:
            if not self._is_paused:
                self._is_paused = True
                self._emit(DeliveryPaused())
            self._extended.clear()
            await self._extended.wait()
