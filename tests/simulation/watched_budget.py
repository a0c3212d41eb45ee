"""What a worker holds in memory, noted whenever it is more than ever before (law S12)."""

from collections.abc import Callable

from kcl_py.runtime.data.buffer import ByteBudget
from tests.simulation.facts import Buffered


class WatchedBudget(ByteBudget):
    """The shipped budget, and its highest mark."""

    def __init__(self, bytes_max: int, note: Callable[[Buffered], None]) -> None:
        super().__init__(bytes_max)
        self._note = note
        self._peak = 0

    async def reserve(self, size: int, *, holds_nothing: Callable[[], bool]) -> None:
        await super().reserve(size, holds_nothing=holds_nothing)
        self._look()

    def release(self, size: int) -> None:
        super().release(size)
        self._look()

    def _look(self) -> None:
        if self.used > self._peak:
            self._peak = self.used
            self._note(Buffered(size=self.used, allowed=self._bytes_max))
