"""How long a record takes from put to callback at the tip of a quiet shard: a whole worker at its own pace.

`python -m benchmarks.clients.latency STREAM PUTS [MODE]`; the endpoints are those of `kcl-py local`. The record carries
the time of its put, by a clock that this machine's processes share.
"""

import asyncio
import json
import os
import random
import statistics
import sys
import threading
import time

import boto3

from benchmarks.clients.ours import config_of
from kcl_py import Checkpointer, RecordBatch, RecordProcessor, Worker

_LATENCIES: list[float] = []


class _Timing(RecordProcessor):
    async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:  # noqa: ARG002
        now = time.monotonic()
        _LATENCIES.extend(now - float(record.data) for record in records if record.data != b"first")


async def main(stream: str, puts: str, mode: str = "async") -> None:
    """Put now and then, and report."""
    client, rng = boto3.client("kinesis"), random.Random(5)

    def put() -> None:
        for _ in range(int(puts)):
            time.sleep(rng.uniform(0.3, 1.1))
            client.put_record(StreamName=stream, Data=repr(time.monotonic()).encode(), PartitionKey="key")

    client.put_record(StreamName=stream, Data=b"first", PartitionKey="key")
    async with Worker(_Timing, config_of(stream, mode)):
        await asyncio.sleep(4.0)
        putting = threading.Thread(target=put)
        putting.start()
        async with asyncio.timeout(60 + 2 * int(puts)):
            while len(_LATENCIES) < int(puts):  # noqa: ASYNC110 - only a count to wait for
                await asyncio.sleep(0.25)
    ordered = sorted(_LATENCIES)
    result = {"median_seconds": statistics.median(ordered), "p90_seconds": ordered[len(ordered) * 9 // 10]}
    print(json.dumps(result | {"records": len(ordered), "process": os.getpid()}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
