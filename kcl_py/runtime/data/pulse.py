"""Whether a consumer still makes attempts (law L4).

    calling  ─ user code runs ─────────────→ silent from where the call began, or last asked for a checkpoint
    waiting  ─ for what ends by itself ────→ not silent: a pause, room, the deadline, the keeper's answer
    else     ─ reading, or being between ──→ silent from the last thing that was begun, or ended

A call outweighs the rest: a reader that goes on beside it reads for nobody. Silence is counted in looks of the stall
watch and not in seconds, so time in which the process was suspended, or the loop blocked by somebody else, is at most
one look.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class Pulse:
    """Of one consumer.

    Attributes:
        call: the method of the processor that runs; None while none does.
    """

    def __init__(self) -> None:
        self.call: str | None = None
        self._silent_looks = 0
        self._waits = 0
        self._asks = 0

    def looked_at(self) -> int:
        """How many looks in a row, with this one, have seen no attempt."""
        is_excused = self._asks or (self._waits and self.call is None)
        self._silent_looks = 0 if is_excused else self._silent_looks + 1
        return self._silent_looks

    @contextmanager
    def attempting(self) -> Iterator[None]:
        """The consumer asks a service for something."""
        self._beat()
        try:
            yield
        finally:
            self._beat()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The consumer waits for something that will end by itself."""
        self._waits += 1
        try:
            yield
        finally:
            self._waits -= 1
            self._beat()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """User code asks for a checkpoint: an attempt, also in the midst of a call."""
        self._asks += 1
        try:
            yield
        finally:
            self._asks -= 1
            self._silent_looks = 0

    @contextmanager
    def calling(self, method: str) -> Iterator[None]:
        """User code runs."""
        self.call, self._silent_looks = method, 0
        try:
            yield
        finally:
            self.call, self._silent_looks = None, 0

    def _beat(self) -> None:
        if self.call is None:
            self._silent_looks = 0
