"""An asynchronous processor: posts every record to $WEBHOOK_URL.

`kcl-py run examples.webhook:Webhook --stream orders --application webhook`

Different keys go out at the same time; the records of one key go out one after the other, so whoever receives them
sees each key in put order. If a request fails, the exception leaves `process_records`, nothing is checkpointed, and the
batch is posted again after a pause: the receiver must be able to take a record twice.
"""

import asyncio
import os
from itertools import groupby
from operator import attrgetter

import aiohttp

from kcl_py import Checkpointer, Record, RecordBatch, RecordProcessor, ShardContext

REQUESTS_AT_ONCE = 20  # per shard
BY_KEY = attrgetter("partition_key")


class Webhook(RecordProcessor):
    """Every method is `async def`: a processor is either all synchronous or all asynchronous."""

    async def initialize(self, context: ShardContext) -> None:
        self._limit = asyncio.Semaphore(REQUESTS_AT_ONCE)
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10), raise_for_status=True)

    async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        # sorting is stable: within a key, put order stays; the task group waits for all, so "done" means all of it
        async with asyncio.TaskGroup() as posting:
            for _, same_key in groupby(sorted(records, key=BY_KEY), BY_KEY):
                posting.create_task(self._post_in_order(list(same_key)))

    async def _post_in_order(self, records: list[Record]) -> None:
        async with self._limit:
            for record in records:
                headers = {"Partition-Key": record.partition_key, "Sequence-Number": record.sequence_number}
                async with self._session.post(os.environ["WEBHOOK_URL"], data=record.data, headers=headers):
                    pass  # any status below 400 will do

    # one of these three is the last call: the shard is lost, has ended, or is given up

    async def lease_lost(self) -> None:
        await self._session.close()

    async def shard_ended(self, checkpointer: Checkpointer) -> None:
        await self._session.close()

    async def shutdown_requested(self, checkpointer: Checkpointer) -> None:
        await self._session.close()
