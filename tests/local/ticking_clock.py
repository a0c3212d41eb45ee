"""A clock that a test turns."""

START_MS = 1_780_000_000_000


class TickingClock:
    """Milliseconds since the epoch. It moves on by `tick_ms` after every look, and when told to."""

    def __init__(self, *, tick_ms: int = 0) -> None:
        self.now_ms = START_MS
        self.tick_ms = tick_ms

    def __call__(self) -> int:
        now_ms = self.now_ms
        self.now_ms += self.tick_ms
        return now_ms

    def advance(self, *, seconds: float = 0, hours: float = 0) -> None:
        self.now_ms += round(seconds * 1_000 + hours * 3_600_000)
