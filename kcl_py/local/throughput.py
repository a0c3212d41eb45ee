"""What a shard admits per second."""

from collections import deque


class CallRate:
    """At most `per_second` calls in any window of one second. A refused call does not count."""

    __slots__ = ("_calls_ms", "_per_second")

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._calls_ms: deque[int] = deque()

    def admits(self, now_ms: int) -> bool:
        """Count a call made now, or refuse it."""
        calls = self._calls_ms
        while calls and calls[0] <= now_ms - 1_000:
            calls.popleft()
        if len(calls) >= self._per_second:
            return False
        calls.append(now_ms)
        return True


class Allowance:
    """An amount per second: it fills up evenly to one second's worth and is drawn from.

    Kept in thousandths, so that a millisecond's worth is a whole number.
    """

    __slots__ = ("_at_ms", "_full", "_is_overdrawn", "_left", "_per_second")

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._full = self._left = per_second * 1_000
        self._at_ms: int | None = None
        self._is_overdrawn = False

    def _refill(self, now_ms: int) -> None:
        if self._at_ms is not None and now_ms > self._at_ms:
            self._left = min(self._full, self._left + (now_ms - self._at_ms) * self._per_second)
        self._at_ms = now_ms if self._at_ms is None else max(now_ms, self._at_ms)
        if self._left == self._full:
            self._is_overdrawn = False

    def covers(self, amount: int, now_ms: int) -> bool:
        """True when `amount` is there; a full allowance also covers one amount that is larger than itself."""
        self._refill(now_ms)
        return self._left >= amount * 1_000 or self._left == self._full

    def wait_ms(self, amount: int, now_ms: int) -> int:
        """How long until `amount` is covered; 0 if it is."""
        if self.covers(amount, now_ms):
            return 0
        lacking = min(amount * 1_000, self._full) - self._left
        return -(-lacking // self._per_second)

    def draw(self, amount: int) -> None:
        """Take `amount`, below zero if need be."""
        self._left -= amount * 1_000
        if self._left <= 0:
            self._is_overdrawn = True

    def is_shut(self, now_ms: int) -> bool:
        """True from the draw that emptied it until it is full again.

        This is how GetRecords is described: after 10 MiB the next five seconds are refused, and after less than that,
        when there was not enough left, the next second.
        """
        self._refill(now_ms)
        return self._is_overdrawn
