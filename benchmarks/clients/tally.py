"""Counts what a client got, and the CPU that it took meanwhile."""

import json
import time
from collections.abc import Callable

WARM_UP = 0.25  # of the measured time


class Tally:
    """The records and calls of one process."""

    def __init__(self) -> None:
        self.records = 0
        self.calls = 0
        self._began: tuple[float, int, int] = (0.0, 0, 0)

    def begin(self) -> None:
        """Count from here on."""
        self._began = self._now()

    def report(self, **more: object) -> None:
        """Print what was counted since."""
        cpu, records, calls = (now - then for now, then in zip(self._now(), self._began, strict=True))
        print(json.dumps({"cpu_seconds": cpu, "records": records, "calls": calls, **more}), flush=True)

    def measure(self, call: Callable[[], int], seconds: float) -> None:
        """Call what reads a page and returns its records, again and again."""
        for span in (seconds * WARM_UP, seconds):
            self.begin()
            until = time.monotonic() + span
            while time.monotonic() < until:
                self.records += call()
                self.calls += 1
        self.report()

    def _now(self) -> tuple[float, int, int]:
        return time.process_time(), self.records, self.calls
