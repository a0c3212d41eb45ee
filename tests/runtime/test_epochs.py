"""Epochs of one shard in one process: they never overlap, and what is left of an old one changes nothing."""

import asyncio

import pytest

from kcl_py.core.batch import RecordBatch
from kcl_py.core.checkpoint import Checkpoint
from kcl_py.core.record import Record
from kcl_py.errors import LeaseLost
from kcl_py.events import LeasePickedUp, LeaseWasLost
from kcl_py.local.faulty_lease_table import Fault
from kcl_py.processor import Checkpointer
from tests.runtime.bench import BenchWorker, Recording, Site
from tests.virtual_time import run


def test_a_shard_is_not_picked_up_again_while_a_call_of_its_lost_epoch_still_runs():
    running: list[int] = []
    most: list[int] = []

    class Slow(Recording):
        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            running.append(self.context.fencing_token)
            most.append(len(running))
            await asyncio.sleep(60)
            await super().process_records(records, checkpointer)
            running.remove(self.context.fencing_token)

    async def story():
        site = Site()
        worker = BenchWorker(site, Slow, shutdown_grace_seconds=100)
        put = site.put(5)
        await asyncio.sleep(5)
        assert running
        await site.revoke()
        await asyncio.sleep(40)
        assert worker.seen(LeaseWasLost)
        assert len(worker.seen(LeasePickedUp)) == 1
        await asyncio.sleep(100)
        assert len(worker.seen(LeasePickedUp)) == 2
        assert set(site.payloads()) == set(put)
        assert max(most) == 1
        await worker.drain()

    run(story())


def test_a_checkpointer_that_outlived_its_epoch_cannot_write_into_the_next_one():
    kept: list[tuple[Checkpointer, Record]] = []

    class Keeping(Recording):
        checkpointing = "manual"

        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            kept.append((checkpointer, records[-1]))

    async def story():
        site = Site()
        worker = BenchWorker(site, Keeping)
        site.put(5)
        await asyncio.sleep(5)
        await site.revoke()
        await asyncio.sleep(20)
        (old, last), (current, _) = kept
        before = await site.row()
        with pytest.raises(LeaseLost):
            await old.checkpoint(last)
        assert (await site.row()).checkpoint == before.checkpoint
        await current.checkpoint(last)
        assert (await site.row()).checkpoint == Checkpoint.at(last)
        await worker.drain()

    run(story())


def test_of_two_checkpoints_at_once_the_later_one_stands_and_neither_is_refused():
    checkpointed: list[Record] = []

    class Concurrent(Recording):
        checkpointing = "manual"

        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            await asyncio.gather(checkpointer.checkpoint(records[9]), checkpointer.checkpoint(records[8]))
            checkpointed.append(records[9])

    async def story():
        site = Site()
        site.put(10)
        worker = BenchWorker(site, Concurrent)
        worker.table.faults.append(Fault(kind="delay_answer", operation="write", nth=2, seconds=1))
        await asyncio.sleep(10)
        (last,) = checkpointed
        assert (await site.row()).checkpoint == Checkpoint.at(last)
        await worker.drain()

    run(story())
