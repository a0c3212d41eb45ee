"""How much flows through one lease, smoothed, for whoever evens out the fleet's load (fleet.md, section 5)."""

from typing import Self

import msgspec

HALF_LIFE_SECONDS = 30.0
"""After this long, half of what is said is what flowed since."""


class Throughput(msgspec.Struct, frozen=True):
    """KiB/s at one instant. Begins with what the row says, so that a change of owner forgets nothing.

    Attributes:
        average: KiB/s, smoothed and not rounded.
        at: the instant that it was brought up to, seconds on the caller's clock.
        size_bytes_total: what had been done by then, bytes since this owner began.
    """

    average: float
    at: float
    size_bytes_total: int = 0

    @property
    def kbps(self) -> float:
        """KiB/s with three decimals, as the row keeps it."""
        return round(self.average, 3)

    def progressed(self, size_bytes_total: int, now: float) -> Self:
        """The same at `now`, when `size_bytes_total` are done. Bytes of an instant that takes no time count later."""
        seconds = now - self.at
        if seconds <= 0:
            return self
        flowed_kbps = max(0, size_bytes_total - self.size_bytes_total) / 1024 / seconds
        remaining = 0.5 ** (seconds / HALF_LIFE_SECONDS)
        return type(self)(flowed_kbps + remaining * (self.average - flowed_kbps), now, size_bytes_total)
