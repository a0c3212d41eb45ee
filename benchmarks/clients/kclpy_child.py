"""The Python child of amazon_kclpy, fed from a pipe: what the MultiLangDaemon's JVM does before is free.

It is started as `feeder | child`, and the feeder, which writes the same line again and again, is another process.
The processor touches every payload, which is when the child decodes it; it makes no checkpoint.
"""

import sys
import time

from amazon_kclpy import kcl  # type: ignore[import-not-found]
from amazon_kclpy.v3 import processor  # type: ignore[import-not-found]

from benchmarks.clients.tally import WARM_UP, Tally


class _Counting(processor.RecordProcessorBase):  # type: ignore[misc]
    def __init__(self, seconds: float) -> None:
        self._tally = Tally()
        self._seconds = seconds
        self._begun = self._until = 0.0

    def initialize(self, _: object) -> None:
        """Nothing to prepare."""

    def process_records(self, process_records_input: object) -> None:
        """Touch and count."""
        records = process_records_input.records  # type: ignore[attr-defined]
        for record in records:
            record.binary_data  # noqa: B018 - decodes
        self._tally.records += len(records)
        self._tally.calls += 1
        now = time.monotonic()
        self._begun = self._begun or now
        if not self._until and now - self._begun > self._seconds * WARM_UP:
            self._tally.begin()
            self._until = now + self._seconds
        elif self._until and now >= self._until:
            sys.stdout = sys.__stdout__
            self._tally.report()
            sys.exit(0)

    def lease_lost(self, _: object) -> None:
        """Never happens."""

    def shard_ended(self, _: object) -> None:
        """Never happens."""

    def shutdown_requested(self, _: object) -> None:
        """Never happens."""


def main(seconds: str) -> None:
    """Work until enough was counted."""
    with open("/dev/null", "w", encoding="utf-8") as answers:  # noqa: PTH123
        kcl.KCLProcess(_Counting(float(seconds)), output_file=answers).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
