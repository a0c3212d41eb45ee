"""A worker inside a program of your own: counts records per key, and stops by itself after $RECORDS of them.

`python -m examples.embedded`, with the stream in $STREAM. No signal handler is installed, and the loop stays yours.
"""

import asyncio
import os
import sys
from collections import Counter

from kcl_py import Checkpointer, Config, KclError, RecordBatch, RecordProcessor, Worker


class Count(RecordProcessor):
    """Made by a callable, because it needs to know the counter. Asynchronous, so it runs in the program's own loop."""

    def __init__(self, counts: Counter[str], enough: asyncio.Event, wanted: int) -> None:
        self._counts, self._enough, self._wanted = counts, enough, wanted

    async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        self._counts.update(record.partition_key for record in records)
        if self._counts.total() >= self._wanted:
            self._enough.set()


async def main() -> None:
    counts, enough, wanted = Counter[str](), asyncio.Event(), int(os.environ.get("RECORDS", "100"))
    config = Config(stream=os.environ.get("STREAM", "orders"), application="embedded")
    try:
        async with Worker(lambda: Count(counts, enough, wanted), config):
            await enough.wait()  # anything else may happen here; leaving the block drains the worker
    except KclError as error:
        # the worker cannot go on: it interrupts the block and says why, and what to do
        sys.exit(f"embedded: {error}")
    for key, count in counts.most_common():
        print(f"{key} {count}")


if __name__ == "__main__":
    asyncio.run(main())
