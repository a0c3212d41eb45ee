"""Whether a consumer still makes attempts (law L4).

    calling  ─ user code runs ─────────────→ silent from where the call began, or last asked for a checkpoint
    waiting  ─ for what ends by itself ────→ not silent: a pause, room, the deadline, the keeper's answer
    else     ─ reading, or being between ──→ silent from the last thing that was begun, or ended

A call outweighs the rest: a reader that goes on beside it reads for nobody. Silence is counted in looks of the stall
watch and not in seconds, so time in which the process was suspended, or the loop blocked by somebody else, is at most
one look.
"""

from collections.abc import Callable

from kcl_py.retrying import Sleep


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
        self._attempt = _Span(self._beat, self._beat)
        self._wait = _Span(self._begin_wait, self._end_wait)
        self._ask = _Span(self._begin_ask, self._end_ask)
        self._call = _Span(self._begin_call, self._end_call)

    def looked_at(self) -> int:
        """How many looks in a row, with this one, have seen no attempt."""
        is_excused = self._asks or (self._waits and self.call is None)
        self._silent_looks = 0 if is_excused else self._silent_looks + 1
        return self._silent_looks

    def attempting(self) -> "_Span":
        """The consumer asks a service for something."""
        return self._attempt

    def waiting(self) -> "_Span":
        """The consumer waits for something that will end by itself."""
        return self._wait

    def sleeper(self, sleep: Sleep) -> Sleep:
        """The same for a pause."""

        async def asleep(seconds: float) -> None:
            with self.waiting():
                await sleep(seconds)

        return asleep

    def asking(self) -> "_Span":
        """User code asks for a checkpoint: an attempt, also in the midst of a call."""
        return self._ask

    def calling(self, method: str) -> "_Span":
        """User code runs, from now on."""
        self.call = method
        return self._call

    def _beat(self) -> None:
        if self.call is None:
            self._silent_looks = 0

    def _begin_wait(self) -> None:
        self._waits += 1

    def _end_wait(self) -> None:
        self._waits -= 1
        self._beat()

    def _begin_ask(self) -> None:
        self._asks += 1

    def _end_ask(self) -> None:
        self._asks -= 1
        self._silent_looks = 0

    def _begin_call(self) -> None:
        self._silent_looks = 0

    def _end_call(self) -> None:
        self.call, self._silent_looks = None, 0


class _Span:
    """A `with` block, made once and entered often, also while it is entered: every batch passes four of them."""

    __slots__ = ("_begin", "_end")

    def __init__(self, begin: Callable[[], None], end: Callable[[], None]) -> None:
        self._begin = begin
        self._end = end

    def __enter__(self) -> None:
        self._begin()

    def __exit__(self, *_: object) -> None:
        self._end()
