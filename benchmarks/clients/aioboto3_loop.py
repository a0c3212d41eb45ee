"""A bare loop with aioboto3, one task for every shard: no leases, no checkpoints, nothing read ahead."""

import asyncio
import sys

import aioboto3
from aiobotocore.config import AioConfig

from benchmarks.clients.heartbeat import Heartbeat
from benchmarks.clients.tally import Tally


async def main(stream: str, seconds: str) -> None:
    """Read and count."""
    tally, heartbeat = Tally(), Heartbeat()
    async with aioboto3.Session().client("kinesis", config=AioConfig(max_pool_connections=256)) as client:

        async def read(shard_id: str) -> None:
            opened = await client.get_shard_iterator(
                StreamName=stream, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON"
            )
            iterator = opened["ShardIterator"]
            while True:
                answer = await client.get_records(ShardIterator=iterator, Limit=10_000)
                iterator = answer["NextShardIterator"]
                tally.records += len(answer["Records"])
                tally.calls += 1

        listed = await client.list_shards(StreamName=stream)
        tasks = [asyncio.create_task(read(shard["ShardId"])) for shard in listed["Shards"]]
        beating = asyncio.create_task(heartbeat.run())
        await asyncio.sleep(float(seconds) / 4)
        heartbeat.lags.clear()
        tally.begin()
        await asyncio.sleep(float(seconds))
        tally.report(lag_p99_seconds=heartbeat.percentile(99))
        for task in (*tasks, beating):
            task.cancel()
        await asyncio.gather(*tasks, beating, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
