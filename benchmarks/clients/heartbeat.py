"""How late an event loop is, sampled by what wants to run every ten milliseconds."""

import asyncio
import time

_BEAT_SECONDS = 0.010


class Heartbeat:
    """Notes how long after its time each beat ran, seconds."""

    def __init__(self) -> None:
        self.lags: list[float] = []

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            due = time.monotonic() + _BEAT_SECONDS
            await asyncio.sleep(_BEAT_SECONDS)
            self.lags.append(max(0.0, time.monotonic() - due))

    def percentile(self, percent: float) -> float:
        """The lag that so many per cent of the beats stayed below, seconds."""
        lags = sorted(self.lags)
        return lags[min(len(lags) - 1, round(len(lags) * percent / 100))]
