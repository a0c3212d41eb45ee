"""What the search found about restored tables, told with whole workers."""

import asyncio

from kcl_py.events import LeasePickedUp
from tests.runtime.bench import BenchWorker, Site
from tests.virtual_time import run


def test_fencing_tokens_go_on_to_grow_when_a_table_was_restored():
    async def story():
        site = Site()
        first = BenchWorker(site)
        site.put(5)
        await asyncio.sleep(5)
        await first.drain()
        backup = (await site.memory.snapshot()).leases
        workers = [first]
        for _ in range(2):  # what the backup knows nothing of
            workers.append(BenchWorker(site))
            site.put(5)
            await asyncio.sleep(5)
            await workers[-1].drain()
        site.memory.drop()
        await site.memory.prepare()
        for row in backup:
            site.memory.put(row)
        workers.append(BenchWorker(site, accept_restored_table=True))
        await asyncio.sleep(10)
        await workers[-1].drain()
        tokens = [event.fencing_token for worker in workers for event in worker.seen(LeasePickedUp)]
        assert len(tokens) == len(workers)
        assert tokens == sorted(set(tokens)), "a sink that is fenced by tokens must be able to tell epochs apart"

    run(story())
