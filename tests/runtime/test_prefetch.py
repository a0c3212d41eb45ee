"""Reading ahead: a page is ready when its turn comes, shards share fairly, and the service's limits hold."""

import asyncio
import gc
from collections import Counter

from kcl_py.core.batch import RecordBatch
from kcl_py.events import ServiceTrouble
from kcl_py.local.faults import Delayed, Fault
from kcl_py.processor import Checkpointer
from tests.runtime.bench import BenchWorker, Recording, Site
from tests.virtual_time import run

PROCESSING_SECONDS = 1.0


class Slow(Recording):
    """Notes who began a batch when, and takes its time."""

    began: list[tuple[float, str]]

    async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        self.began.append((asyncio.get_running_loop().time(), self.context.shard_id))
        await asyncio.sleep(PROCESSING_SECONDS)
        await super().process_records(records, checkpointer)


def slow() -> type[Slow]:
    return type("Slow", (Slow,), {"began": []})


def batches_alive() -> list[RecordBatch]:
    gc.collect()
    return [thing for thing in gc.get_objects() if type(thing) is RecordBatch]


def test_while_a_batch_is_processed_the_next_page_is_read():
    async def story():
        site = Site()
        site.put(100)
        processor = slow()
        worker = BenchWorker(site, processor, read_limit=10)
        worker.stream.faults.append(Fault(effect=Delayed(0.6), operation="read"))
        await asyncio.sleep(20)
        times = [at for at, _ in processor.began]
        assert len(times) == 10
        assert times[-1] - times[0] < 9 * PROCESSING_SECONDS + 0.1, "no read was waited for after the first"
        await worker.drain()

    run(story())


def test_a_shard_that_waits_for_its_next_page_holds_nothing_of_the_last_one():
    """Of the byte budget the last one takes nothing any more, and a quiet shard may wait for hours."""

    async def story():
        others = batches_alive()  # held here, so that none of theirs is taken for one of ours
        site = Site()
        site.put(100)
        worker = BenchWorker(site, read_limit=10)
        await asyncio.sleep(20)
        assert len(site.delivered) == 100
        known = set(map(id, others))
        assert [batch for batch in batches_alive() if id(batch) not in known] == []
        await worker.drain()

    run(story())


def test_shards_whose_pages_fill_the_buffer_take_turns():
    async def story():
        site = Site(shards=4)
        for number in range(160):
            site.put_data(bytes(100_000), str(number))
            await asyncio.sleep(0.1)
        processor = slow()
        worker = BenchWorker(site, processor, read_limit=2, buffer_bytes_max=250_000)
        await asyncio.sleep(20)
        later = processor.began[0][0] + 4  # every shard was picked up by then
        turns = Counter(shard_id for at, shard_id in processor.began if at > later)
        assert sum(turns.values()) < 40, "four shards with room enough do more"
        assert len(turns) == 4
        assert max(turns.values()) - min(turns.values()) <= 1
        await worker.drain()

    run(story())


class Timing(Recording):
    """Notes how long a record whose payload is the time it was put at has waited."""

    delays: list[float]

    async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        now = asyncio.get_running_loop().time()
        self.delays.extend(now - float(record.data) for record in records)


def timing() -> type[Timing]:
    return type("Timing", (Timing,), {"delays": []})


def test_at_the_tip_a_record_waits_no_longer_than_the_idle_interval():
    async def story():
        site = Site()
        processor = timing()
        worker = BenchWorker(site, processor, idle_read_interval_seconds=1.0)
        await asyncio.sleep(10)
        for _ in range(40):
            site.put_data(str(asyncio.get_running_loop().time()).encode())
            await asyncio.sleep(2.3)
        assert len(processor.delays) == 40
        assert max(processor.delays) <= 1.01
        processor.delays.clear()
        for _ in range(40):
            site.put_data(str(asyncio.get_running_loop().time()).encode())
            await asyncio.sleep(0.13)
        await asyncio.sleep(2)
        assert len(processor.delays) == 40
        assert max(processor.delays[5:]) <= 0.21, "a shard that is written to is read five times a second"
        await worker.drain()

    run(story())


def test_catching_up_goes_at_the_rate_that_the_service_gives_and_is_never_refused():
    """The stream in memory refuses a sixth read within a second, and reads while more than 2 MB/s were taken."""

    async def story():
        site = Site()
        for _ in range(60):
            site.put_data(bytes(900_000))
            await asyncio.sleep(1)
        worker = BenchWorker(site)
        await asyncio.sleep(60 * 0.9 / 2 + 3)
        assert len(site.delivered) == 60
        assert worker.seen(ServiceTrouble) == []
        await worker.drain()

    run(story())
