"""Bytes that a record takes while it is held, by how it was read: `python -m benchmarks.clients.memory STREAM`."""

import asyncio
import gc
import json
import sys
import tracemalloc

import boto3

from kcl_py.aws.connection import Connection
from kcl_py.aws.kinesis import KinesisStream
from kcl_py.core.position import ReadFrom


async def main(stream: str) -> None:
    """Hold one page of each kind, after one that filled every cache."""
    client = boto3.client("kinesis")
    opened = client.get_shard_iterator(StreamName=stream, ShardId="shardId-000000000000", ShardIteratorType="LATEST")
    door = KinesisStream(Connection(stream))
    iterator = await door.open("shardId-000000000000", ReadFrom("LATEST"))
    client.get_records(ShardIterator=opened["ShardIterator"])
    await door.read(iterator, 10_000)
    tracemalloc.start()
    before = _held()
    records = client.get_records(ShardIterator=opened["ShardIterator"])["Records"]
    of_boto3 = (_held() - before) / len(records)
    del records
    before = _held()
    page = await door.read(iterator, 10_000)
    of_kcl_py = (_held() - before) / len(page.records)
    tracemalloc.stop()
    await door.close()
    print(json.dumps({"boto3": of_boto3, "kcl_py": of_kcl_py}), flush=True)


def _held() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
