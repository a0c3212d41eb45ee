"""async-kinesis with its cheapest processor (payloads as they are) and its checkpoints in memory.

It reads every shard in turn and hands records over one by one, so it is counted from one whole round to another. Its
own limit of one call a second for each shard is lifted.
"""

import asyncio
import sys
import time
from collections.abc import Iterator

from kinesis import Consumer  # type: ignore[import-not-found]
from kinesis.processors import Processor  # type: ignore[import-not-found]

from benchmarks.clients.tally import WARM_UP, Tally


class _AsTheyAre(Processor):  # type: ignore[misc]
    def parse(self, data: bytes) -> Iterator[bytes]:
        yield data


async def main(stream: str, seconds: str, records_in_round: str) -> None:
    """Read and count."""
    tally, whole = Tally(), int(records_in_round)
    consumer = Consumer(stream, processor=_AsTheyAre(), use_list_shards=True, shard_fetch_rate=1_000_000)
    async with consumer:
        begun = until = 0.0
        records = aiter(consumer)
        while True:
            try:
                await anext(records)
            except StopAsyncIteration:  # nothing for its idle time: more may come
                continue
            tally.records += 1
            if tally.records % whole == 0:
                now = time.monotonic()
                begun = begun or now
                if not until and now - begun > float(seconds) * WARM_UP:
                    tally.begin()
                    until = now + float(seconds)
                elif until and now >= until:
                    break
        tally.report()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
