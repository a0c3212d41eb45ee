"""How soon the children of a shard are read when it has ended."""

import asyncio

import pytest

from tests.runtime.bench import SHARD_0, SHARD_1, BenchWorker, Recording, Site
from tests.runtime.fleet import seconds_until
from tests.virtual_time import run

CHILDREN = ("shardId-000000000001", "shardId-000000000002")
MERGED = "shardId-000000000002"


class SlowOnOne(Recording):
    async def process_records(self, records, checkpointer):
        await super().process_records(records, checkpointer)
        if self.context.shard_id == SHARD_1:
            await asyncio.sleep(40)


async def is_finished(site: Site, shard_id: str) -> bool:
    return (await site.row(shard_id)).is_finished


async def is_held(site: Site, *shard_ids: str) -> bool:
    return all([(await site.row(shard_id)).held_by is not None for shard_id in shard_ids])


def test_a_merged_child_that_has_waited_for_long_starts_as_soon_as_its_last_parent_has_ended():
    async def story():
        site = Site(shards=2)
        worker = BenchWorker(site, SlowOnOne)
        await asyncio.sleep(2)
        site.put(20)
        site.merge(SHARD_0, SHARD_1)
        await seconds_until(lambda: is_finished(site, SHARD_0), 20)
        await asyncio.sleep(20)
        assert not await is_held(site, MERGED)
        await seconds_until(lambda: is_finished(site, SHARD_1), 60)
        assert await seconds_until(lambda: is_held(site, MERGED), 10) < 0.2
        await worker.drain()

    run(story())


@pytest.mark.parametrize("seconds", [0, 1, 2, 3, 4])
def test_children_that_their_ender_may_not_keep_are_planned_for_at_once(seconds):
    async def story():
        site = Site()
        worker = BenchWorker(site, leases_max=2)
        await asyncio.sleep(10 + seconds)
        site.split()
        await seconds_until(lambda: is_finished(site, SHARD_0), 20)
        assert await seconds_until(lambda: is_held(site, *CHILDREN), 10) < 1.5
        await worker.drain()

    run(story())
