"""One worker's life in virtual time: what it delivers, what it checkpoints, what it gives back."""

import asyncio
import itertools

import pytest

from kcl_py.core.batch import RecordBatch
from kcl_py.core.checkpoint import LATEST, SHARD_END
from kcl_py.core.position import StartPosition
from kcl_py.core.session import Process
from kcl_py.errors import AccessDenied, ServiceUnavailable, StreamNotFound, TableRefused
from kcl_py.events import (
    CheckpointWritten,
    LeasePickedUp,
    LeaseRecreated,
    LeaseWasLost,
    ProcessorFailed,
    RecordsMissing,
    SessionRevoked,
    ShardFinished,
    ShardStopped,
    ShardWaiting,
    WorkerReady,
)
from kcl_py.local import requests
from kcl_py.local.doors import LocalStream
from kcl_py.local.faults import AnswerChanged, ChildShardsDropped, Refused, throttled
from kcl_py.local.faults import Fault as StreamFault
from kcl_py.local.faulty_lease_table import Fault
from kcl_py.processor import Checkpointer
from tests.runtime.bench import SHARD_0, SHARD_1, STREAM, BenchWorker, Recording, Site
from tests.virtual_time import run

PREDECESSOR = Process(boot_id="b", pid_namespace="n", pid=7, started_ticks=1)


def test_a_drained_worker_repeats_nothing_when_it_starts_again():
    async def story():
        site = Site(shards=2)
        first = BenchWorker(site)
        put = site.put(100)
        await asyncio.sleep(10)
        put += site.put(50)
        await first.drain()
        second = BenchWorker(site)
        put += site.put(30)
        await asyncio.sleep(10)
        await second.drain()
        assert sorted(site.payloads(), key=int) == put
        assert not await table_owners(site)
        assert first.calls[-1] == "shutdown_requested"

    run(story())


def test_an_exception_advances_nothing_and_the_same_records_come_again():
    class Failing(Recording):
        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            await super().process_records(records, checkpointer)
            if len(self.site.payloads()) < 4 * len(records):
                raise ValueError("not yet")

    async def story():
        site = Site()
        put = site.put(10)
        worker = BenchWorker(site, Failing)
        await asyncio.sleep(20)
        failures = worker.seen(ProcessorFailed)
        assert [failure.attempt for failure in failures] == [1, 2, 3]
        assert "ValueError" in failures[0].error
        assert "not yet" not in failures[0].error, "an exception's text may quote a payload"
        assert site.payloads() == put * 4
        assert [event.checkpoint for event in worker.seen(CheckpointWritten)] == [await last_checkpoint(site)]
        await worker.drain()

    run(story())


def test_a_shard_whose_processor_keeps_failing_stands_still_and_the_others_go_on():
    class FailingOnOne(Recording):
        is_mended = False

        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            if self.context.shard_id == SHARD_0 and not FailingOnOne.is_mended:
                raise ValueError
            await super().process_records(records, checkpointer)

    async def story():
        site = Site(shards=2)
        put = site.put(100)
        worker = BenchWorker(site, FailingOnOne)
        await asyncio.sleep(600)
        failures = worker.seen(ProcessorFailed)
        assert [failure.is_stopped for failure in failures[:6]] == [False] * 4 + [True] * 2
        (stopped,) = worker.seen(ShardStopped)
        assert stopped.tried_again_every_seconds == 60
        assert {shard for _, shard, _, _ in site.delivered} == {SHARD_1}
        row = await site.memory.lease(SHARD_0)
        assert row is not None
        assert not row.checkpoint.is_number
        assert row.owner is not None, "a stopped shard keeps its lease"
        FailingOnOne.is_mended = True
        await asyncio.sleep(100)
        assert sorted(site.payloads(), key=int) == put
        await worker.drain()

    run(story())


def test_children_wait_for_their_parent_and_a_key_stays_in_put_order_across_split_and_merge():
    async def story():
        site = Site()
        worker = BenchWorker(site)
        await asyncio.sleep(2)
        put = site.put(20, key="a") + site.put(20, key="b")
        site.split()
        put += site.put(20, key="a") + site.put(20, key="b")
        site.merge("shardId-000000000001", "shardId-000000000002")
        put += site.put(20, key="a") + site.put(20, key="b")
        await asyncio.sleep(30)
        await worker.drain()
        assert sorted(site.payloads(), key=int) == put
        of_a = [int(p) for p in site.payloads() if int(p) // 20 % 2 == 0]
        assert of_a == sorted(of_a)
        finished = [event.shard_id for event in worker.seen(ShardFinished)]
        assert finished[0] == SHARD_0
        assert set(finished) == {f"shardId-00000000000{i}" for i in range(3)}
        started = [event.shard_id for event in worker.seen(LeasePickedUp)]
        assert started[-1] == "shardId-000000000003"

    run(story())


def test_a_merged_child_waits_for_both_parents():
    class SlowOnOne(Recording):
        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            if self.context.shard_id == SHARD_1:
                await asyncio.sleep(60)
            await super().process_records(records, checkpointer)

    async def story():
        site = Site(shards=2)
        worker = BenchWorker(site, SlowOnOne)
        await asyncio.sleep(1)
        site.put(20)
        site.merge(SHARD_0, SHARD_1)
        site.put(20)
        await asyncio.sleep(40)
        waiting = worker.seen(ShardWaiting)
        assert waiting[-1].shard_id == "shardId-000000000002"
        assert waiting[-1].parents == (SHARD_1,)
        assert not [shard for _, shard, _, _ in site.delivered if shard == "shardId-000000000002"]
        await asyncio.sleep(60)
        assert len(site.payloads()) == 40
        assert {shard for _, shard, _, _ in site.delivered[-20:]} == {"shardId-000000000002"}
        await worker.drain()

    run(story())


@pytest.mark.parametrize("is_on_the_same_host", [True, False])
def test_after_a_crash_the_next_worker_repeats_only_what_was_not_checkpointed(is_on_the_same_host):
    async def story():
        site = Site()
        first = BenchWorker(site, process=PREDECESSOR)
        checkpointed = site.put(30)
        await asyncio.sleep(10)
        lost = site.put(5)
        await asyncio.sleep(2)
        assert site.payloads() == checkpointed + lost
        await first.crash()
        crashed_at = asyncio.get_running_loop().time()
        second = BenchWorker(site, worker_id="w2", gone=[PREDECESSOR] if is_on_the_same_host else [])
        while not site.payloads("w2"):
            await asyncio.sleep(0.1)
        took = asyncio.get_running_loop().time() - crashed_at
        assert took < (5 if is_on_the_same_host else 10 + 5)
        assert is_on_the_same_host or took > 10 - 4, "a silent session is given the failover time"
        await asyncio.sleep(10)
        assert site.payloads("w2") == lost
        assert len(second.seen(SessionRevoked)) == 1
        await second.drain()

    run(story())


def test_a_second_worker_stands_by_and_takes_over_when_the_first_one_leaves():
    async def story():
        site = Site(shards=2)
        first = BenchWorker(site)
        await asyncio.sleep(2)
        second = BenchWorker(site, worker_id="w2")
        put = site.put(50)
        await asyncio.sleep(60)
        assert not site.payloads("w2")
        assert not second.seen(SessionRevoked)
        await first.drain()
        put += site.put(50)
        await asyncio.sleep(10)
        await second.drain()
        assert sorted(site.payloads(), key=int) == put

    run(story())


OPERATIONS = ("prepare", "snapshot", "lease", "create", "write", "session", "write_session")


@pytest.mark.parametrize("operation", ["write", "write_session", "create"])
@pytest.mark.parametrize("nth", range(1, 9))
def test_a_write_whose_answer_is_lost_loses_and_repeats_nothing(operation, nth):
    async def story():
        site = Site(shards=2)
        worker = BenchWorker(site, checkpoint_interval_seconds=1)
        worker.table.faults.append(Fault(kind="lose_answer", operation=operation, nth=nth))
        put = site.put(40)
        await asyncio.sleep(8)
        site.split(at=2**126)
        put += site.put(40)
        await asyncio.sleep(8)
        await worker.drain()
        assert sorted(site.payloads(), key=int) == put
        assert "lease_lost" not in worker.calls
        assert not await table_owners(site)
        assert worker.failure is None

    run(story())


def test_a_throttled_table_pauses_delivery_at_the_deadline_and_costs_no_lease():
    async def story():
        site = Site()
        worker = BenchWorker(site)
        put = site.put(10)
        await asyncio.sleep(8)
        worker.table.faults.append(Fault(kind="throttle"))
        began = asyncio.get_running_loop().time()
        while worker.deadline.is_ahead:
            await asyncio.sleep(0.5)
            put += site.put(1)
        paused_with = len(site.payloads())
        put += site.put(10)
        await asyncio.sleep(max(0.0, began + 20 - asyncio.get_running_loop().time()))
        assert len(site.payloads()) <= paused_with + 1, "nothing new is delivered past the deadline"
        worker.table.faults.clear()
        await asyncio.sleep(15)
        assert site.payloads() == put
        assert "lease_lost" not in worker.calls
        assert len(worker.seen(LeasePickedUp)) == 1
        await worker.drain()

    run(story())


def test_a_revoked_worker_says_lease_lost_and_joins_again_as_another():
    async def story():
        site = Site()
        worker = BenchWorker(site)
        put = site.put(10)
        await asyncio.sleep(8)
        (session,) = (await site.memory.snapshot()).sessions
        await site.memory.write_session(session, session.revoked())
        await asyncio.sleep(12)
        assert worker.calls.count("lease_lost") == 1
        put += site.put(10)
        await asyncio.sleep(8)
        owners = {event.fencing_token for event in worker.seen(LeasePickedUp)}
        assert len(owners) == 2
        assert site.payloads() == put
        assert session.key not in await table_owners(site)
        await worker.drain()

    run(story())


def test_a_row_that_vanished_is_written_again_from_memory():
    async def story():
        site = Site()
        worker = BenchWorker(site)
        put = site.put(10)
        await asyncio.sleep(8)
        before = await site.memory.lease(SHARD_0)
        assert before is not None
        site.memory.erase(SHARD_0)
        await asyncio.sleep(8)
        after = await site.memory.lease(SHARD_0)
        assert after is not None
        assert after.checkpoint == before.checkpoint
        assert after.counter > before.counter + 999_999
        assert len(worker.seen(LeaseRecreated)) == 1
        put += site.put(5)
        await asyncio.sleep(8)
        assert site.payloads() == put
        await worker.drain()

    run(story())


def test_latest_loses_nothing_that_was_put_after_ready_across_a_split_and_a_restart_before_any_checkpoint():
    async def story():
        site = Site()
        site.put(10)
        await asyncio.sleep(60)
        first = BenchWorker(site, start=StartPosition.LATEST, checkpoint_interval_seconds=1_000)
        while not first.seen(WorkerReady):
            await asyncio.sleep(0.01)
        row = await site.memory.lease(SHARD_0)
        assert row is not None
        assert row.checkpoint == LATEST
        put = site.put(10)
        site.split()
        put += site.put(10)
        await first.crash()
        await asyncio.sleep(30)
        second = BenchWorker(site, worker_id="w2", start=StartPosition.LATEST)
        await asyncio.sleep(30)
        assert sorted(site.payloads("w2"), key=int) == put
        await second.drain()

    run(story())


def test_a_sink_that_is_down_for_six_minutes_costs_an_iterator_and_no_record():
    class Down(Recording):
        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            await super().process_records(records, checkpointer)
            if len(self.site.payloads()) == 10:
                await asyncio.sleep(360)

    async def story():
        site = Site()
        worker = BenchWorker(site, Down, read_limit=5)
        put = site.put(10)
        for _ in range(20):
            await asyncio.sleep(15)
            put += site.put(3)
        await asyncio.sleep(120)
        assert site.payloads() == put
        assert "lease_lost" not in worker.calls
        await worker.drain()

    run(story())


def test_an_open_shard_that_gives_no_iterator_once_is_not_ended():
    async def story():
        site = Site()
        worker = BenchWorker(site)
        put = site.put(5)
        worker.stream.faults.append(
            StreamFault(effect=AnswerChanged(replace_iterator), operation="read", first=3, times=1)
        )
        await asyncio.sleep(5)
        put += site.put(5)
        await asyncio.sleep(10)
        assert site.payloads() == put
        assert not worker.seen(ShardFinished)
        await worker.drain()

    run(story())


def test_an_end_without_children_is_confirmed_by_the_listing():
    async def story():
        site = Site()
        worker = BenchWorker(site)
        worker.stream.faults.append(StreamFault(effect=ChildShardsDropped(), operation="read"))
        put = site.put(5)
        site.split()
        put += site.put(5)
        await asyncio.sleep(20)
        assert sorted(site.payloads(), key=int) == put
        (finished,) = worker.seen(ShardFinished)
        assert finished.children == ("shardId-000000000001", "shardId-000000000002")
        await worker.drain()

    run(story())


def test_read_errors_and_throttles_are_tried_again_and_never_exceed_five_reads_a_second():
    async def story():
        site = Site()
        worker = BenchWorker(site, read_limit=10)
        worker.stream.faults += [
            StreamFault(effect=throttled(), operation="read", first=2, every=3),
            StreamFault(effect=Refused(ServiceUnavailable("500")), operation="read", first=3, every=5),
        ]
        put = site.put(400)
        reads = []
        for _ in range(60):
            await asyncio.sleep(1)
            reads.append(worker.stream.calls["read"])
        assert site.payloads() == put
        assert max(after - before for before, after in itertools.pairwise(reads)) <= 5
        await worker.drain()

    run(story())


def test_a_checkpoint_that_fell_out_of_retention_is_a_published_gap():
    async def story():
        site = Site()
        first = BenchWorker(site)
        site.put(10)
        await asyncio.sleep(10)
        site.put(5)
        await first.crash()
        site.put(10)  # nobody will ever see these
        await asyncio.sleep(25 * 3600)
        late = site.put(3)
        second = BenchWorker(site, worker_id="w2")
        await asyncio.sleep(30)
        assert site.payloads("w2") == late
        (gap,) = second.seen(RecordsMissing)
        assert gap.shard_id == SHARD_0
        await second.drain()

    run(story())


def test_an_idle_stream_older_than_retention_is_neither_replayed_nor_a_gap():
    async def story():
        site = Site()
        first = BenchWorker(site, idle_read_interval_seconds=120, checkpoint_interval_seconds=60, failover_seconds=200)
        site.put(10)
        await asyncio.sleep(25 * 3600)
        await first.drain()
        await asyncio.sleep(60)
        second = BenchWorker(site, worker_id="w2")
        fresh = site.put(2)
        await asyncio.sleep(30)
        assert site.payloads("w2") == fresh
        assert not second.seen(RecordsMissing)
        await second.drain()

    run(story())


def test_manual_checkpoints_move_only_when_told_and_the_rest_comes_again():
    class Manual(Recording):
        checkpointing = "manual"

        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            await super().process_records(records, checkpointer)
            await checkpointer.checkpoint(records[2])

    async def story():
        site = Site()
        put = site.put(10)
        first = BenchWorker(site, Manual)
        await asyncio.sleep(60)
        assert site.payloads() == put
        await first.drain()
        site.delivered.clear()
        second = BenchWorker(site)
        await asyncio.sleep(10)
        assert site.payloads() == put[3:]
        await second.drain()

    run(story())


def test_a_batch_that_was_checkpointed_to_its_last_record_and_then_raises_does_not_come_again():
    class Late(Recording):
        checkpointing = "manual"

        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            await super().process_records(records, checkpointer)
            await checkpointer.checkpoint()
            if len(self.site.delivered) == 10:
                raise ValueError

    async def story():
        site = Site()
        worker = BenchWorker(site, Late)
        put = site.put(10)
        await asyncio.sleep(10)
        assert worker.seen(ProcessorFailed)
        put += site.put(5)
        await asyncio.sleep(10)
        assert site.payloads() == put
        await worker.drain()

    run(story())


def test_delivery_waits_for_a_checkpoint_when_too_much_is_uncheckpointed():
    async def story():
        site = Site()
        worker = BenchWorker(site, uncheckpointed_records_max=20, read_limit=10, checkpoint_interval_seconds=3_600)
        put = site.put(100)
        worker.table.faults.append(Fault(kind="throttle", operation="write", key=SHARD_0, times=1, nth=None))
        await asyncio.sleep(60)
        assert site.payloads() == put
        assert len(worker.seen(CheckpointWritten)) >= 4
        await worker.drain()

    run(story())


def test_a_stream_that_was_made_anew_stops_the_worker_and_says_what_to_do():
    async def story():
        site = Site()
        worker = BenchWorker(site)
        site.put(10)
        await asyncio.sleep(10)
        site.ask(requests.DeleteStream(stream_name=STREAM))
        await asyncio.sleep(5)
        site.ask(requests.CreateStream(stream_name=STREAM, shard_count=1))
        await asyncio.sleep(120)
        assert isinstance(worker.failure, StreamNotFound)
        await worker.crash()
        again = BenchWorker(site, worker_id="w2")
        await asyncio.sleep(10)
        assert isinstance(again.failure, TableRefused)
        assert "created again" in str(worker.failure) or "deleted" in str(worker.failure)
        await again.crash()

    run(story())


def test_a_worker_told_to_leave_before_it_is_ready_leaves():
    async def story():
        site = Site()
        worker = BenchWorker(site)
        worker.table.faults.append(Fault(kind="delay", operation="snapshot", seconds=100.0))
        await asyncio.sleep(1)
        began = asyncio.get_running_loop().time()
        await worker.drain()
        assert asyncio.get_running_loop().time() - began < 1
        assert not (await site.memory.snapshot()).sessions

    run(story())


def test_a_constructor_that_raises_is_tried_again_and_nothing_is_lost():
    class Clumsy(Recording):
        made = 0

        def __init__(self) -> None:
            Clumsy.made += 1
            if Clumsy.made < 3:
                raise OSError

    async def story():
        site = Site()
        put = site.put(3)
        worker = BenchWorker(site, Clumsy)
        await asyncio.sleep(20)
        assert [event.method for event in worker.seen(ProcessorFailed)] == ["__init__"] * 2
        assert site.payloads() == put
        await worker.drain()

    run(story())


def test_buffered_bytes_stay_within_the_budget_and_one_page():
    class Slow(Recording):
        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            await asyncio.sleep(5)
            await super().process_records(records, checkpointer)

    async def story():
        site = Site(shards=4)
        worker = BenchWorker(site, Slow, buffer_bytes_max=2_000_000, read_limit=5)
        for i in range(200):
            site.put_data(b"%d " % i + b"x" * 50_000, key=str(i))
            if i % 50 == 0:
                await asyncio.sleep(3)
        most = 0
        for _ in range(1_000):
            await asyncio.sleep(0.3)
            most = max(most, worker.budget.used)
        assert len(site.payloads()) == 200
        assert 250_000 < most <= 2_000_000 + (1 << 20)
        assert worker.budget.used <= 4 * (1 << 20)
        await worker.drain()
        assert worker.budget.used == 0

    run(story())


def replace_iterator(page):
    import msgspec

    return msgspec.structs.replace(page, next_iterator=None, child_shards=())


async def table_owners(site: Site) -> set[str]:
    leases = (await site.memory.snapshot()).leases
    return {lease.owner for lease in leases if lease.owner is not None and lease.checkpoint != SHARD_END}


async def last_checkpoint(site: Site) -> str:
    row = await site.memory.lease(SHARD_0)
    assert row is not None
    return str(row.checkpoint)


def test_a_held_row_that_somebody_garbled_costs_that_shard_alone():
    async def story():
        site = Site(shards=2)
        worker = BenchWorker(site)
        put = site.put(20)
        await asyncio.sleep(8)
        row = await site.memory.lease(SHARD_0)
        assert row is not None
        site.memory.erase(SHARD_0)
        site.memory.odd_rows[SHARD_0] = "checkpoint is missing"
        put += site.put(20)
        await asyncio.sleep(20)
        assert [event.shard_id for event in worker.seen(LeaseWasLost)] == [SHARD_0]
        assert worker.failure is None
        del site.memory.odd_rows[SHARD_0]
        site.memory.put(row)
        await asyncio.sleep(20)
        assert sorted(set(site.payloads()), key=int) == put
        await worker.drain()

    run(story())


def test_permissions_that_are_gone_for_ten_minutes_are_waited_for():
    async def story():
        site = Site()
        worker = BenchWorker(site)
        put = site.put(10)
        await asyncio.sleep(8)
        denied = StreamFault(effect=Refused(AccessDenied("kinesis:GetRecords")), operation="read")
        worker.stream.faults.append(denied)
        put += site.put(10)
        await asyncio.sleep(600)
        assert site.payloads() == put[:10]
        worker.stream.faults.clear()
        await asyncio.sleep(30)
        assert site.payloads() == put
        assert worker.failure is None
        await worker.drain()

    run(story())


@pytest.mark.parametrize("operation", ["describe", "list_shards", "open", "read"])
def test_a_permission_that_never_was_there_stops_the_worker(operation):
    async def story():
        site = Site()
        worker = BenchWorker(site)
        denied = StreamFault(effect=Refused(AccessDenied("the IAM action")), operation=operation)
        worker.stream.faults.append(denied)
        error = await asyncio.wait_for(worker.data_plane.wait_for_failure(), 20)
        assert isinstance(error, AccessDenied)
        await worker.drain(fails=True)

    run(story())


def test_a_stream_whose_first_shards_were_trimmed_long_ago_starts_at_once():
    async def story():
        site = Site()
        site.put(5)
        site.split(at=2**126)
        await asyncio.sleep(30 * 3600)
        listed = await LocalStream(site.model, STREAM).list_shards()
        assert {shard.parent_shard_ids for shard in listed} == {(SHARD_0,)}
        put = site.put(20)
        worker = BenchWorker(site)
        await asyncio.sleep(5)
        assert sorted(site.payloads(), key=int) == put
        await worker.drain()

    run(story())


def test_shards_that_wait_for_their_next_read_hold_no_room_of_the_buffer():
    """One byte of buffer is one page at a time: a busy shard has it while the idle ones wait."""

    async def story():
        site = Site(shards=8)
        worker = BenchWorker(site, buffer_bytes_max=1, read_limit=3, idle_read_interval_seconds=15)
        await asyncio.sleep(5)
        for number in range(60):
            site.put_data(str(number).encode(), key="the busy one")
        await asyncio.sleep(60)
        assert site.payloads() == [str(number) for number in range(60)]
        await worker.drain()

    run(story())
