"""What befalls one lease when something else goes wrong at the same moment."""

import asyncio

import pytest

from kcl_py.core.batch import RecordBatch
from kcl_py.core.lease import Lease
from kcl_py.errors import Throttled
from kcl_py.events import SessionStarted
from kcl_py.local.faulty_lease_table import Fault, FaultyLeaseTable
from kcl_py.processor import Checkpointer
from tests.runtime.bench import BenchWorker, Recording, Site
from tests.runtime.fleet import joined, rows, shares
from tests.virtual_time import run


class OneReadFails(FaultyLeaseTable):
    """Answers the first read of one row late, and with a throttle."""

    key = ""
    has_failed = False

    async def lease(self, key: str) -> Lease | None:
        if key == self.key and not self.has_failed:
            self.has_failed = True
            await asyncio.sleep(0.2)
            raise Throttled("slow down")
        return await super().lease(key)


class Gate(Site):
    """A site whose hanging processors come back when it is opened."""

    def __init__(self, shards: int) -> None:
        super().__init__(shards)
        self.opened = asyncio.Event()


class Hanging(Recording):
    """Does not come back from its batches before it is told to."""

    site: Gate

    async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        await self.site.opened.wait()


@pytest.mark.parametrize("kind", ["delay", "delay_answer"])
def test_a_row_that_cannot_be_read_leaves_the_pick_up_of_another_lease_alone(kind: str):
    async def story():
        site = Site(shards=4)
        workers = await joined(site, "a", "b")
        slow, unread = sorted(row.key for row in await rows(site) if (row.owner or "").startswith("a@"))
        heir = workers["b"].table
        heir._table = one_fails = OneReadFails(heir._table)
        one_fails.key = unread
        heir.faults.append(Fault(kind=kind, operation="write", key=slow, seconds=0.5, times=1))  # type: ignore[arg-type]
        await workers["a"].drain()
        await asyncio.sleep(15)
        assert one_fails.has_failed
        payloads = site.put(40)
        await asyncio.sleep(10)
        assert set(site.payloads()) == set(payloads), "every shard is consumed"
        await workers["b"].drain()

    run(story())


@pytest.mark.parametrize("answer_seconds", [0.0, 0.4])
@pytest.mark.parametrize("wait_seconds", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_stop_while_a_beat_finds_the_session_revoked_begins_no_other_session(
    wait_seconds: float, answer_seconds: float
):
    async def story():
        site = Site(shards=2)
        worker = BenchWorker(site)
        await asyncio.sleep(5)
        worker.table.faults += [
            Fault(kind="delay", operation="write_session", seconds=0.4),
            Fault(kind="delay_answer", operation="session", seconds=answer_seconds),
        ]
        await site.revoke()
        begun = len(worker.table.calls)
        while not any(call.operation == "write_session" for call in worker.table.calls[begun:]):
            await asyncio.sleep(0.01)
        await asyncio.sleep(wait_seconds)
        begun = len(worker.table.calls)
        await worker.drain()
        beats = [call for call in worker.table.calls[begun:] if call.operation == "write_session"]
        assert len(beats) <= 3, "it does not beat without a pause"
        assert len(worker.seen(SessionStarted)) <= 2
        assert all(session.is_revoked for session in (await site.memory.snapshot()).sessions)
        assert worker.failure is None

    run(story())


def test_a_leader_whose_own_user_code_hangs_leaves_the_shard_of_a_dead_worker_to_another_one():
    async def story():
        site = Gate(shards=6)
        leader = BenchWorker(site, Hanging, worker_id="a", shutdown_grace_seconds=3.0)
        await asyncio.sleep(2)
        site.put(60)
        await asyncio.sleep(3)
        others = {name: BenchWorker(site, worker_id=name) for name in "bc"}
        await asyncio.sleep(30)
        lock = await site.memory.leader_lock()
        assert lock is not None
        assert lock.owner.startswith("a@")
        assert sorted(map(len, (await shares(site)).values())) == [2, 2, 2]
        await others["b"].crash()
        await asyncio.sleep(60)
        assert set(await shares(site)) == {"a", "c"}
        site.opened.set()
        await leader.drain()
        await others["c"].drain()

    run(story())
