"""No lease outlives a consumer that makes no attempt (law L4), and none is taken from one that does."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from kcl_py.config import Config
from kcl_py.core.batch import RecordBatch
from kcl_py.errors import ConfigError, Throttled, WorkerStalled
from kcl_py.events import (
    BatchDelivered,
    BatchDone,
    CheckpointWritten,
    EventLoopBlocked,
    LeaseGivenUp,
    LeaseHandedOver,
    LeasePickedUp,
    LeaseRestarted,
    ShardStalled,
    ShardStopped,
)
from kcl_py.local.faults import ChildShardsDropped, Delayed, ListingStale, Refused
from kcl_py.local.faults import Fault as StreamFault
from kcl_py.local.faulty_lease_table import Fault
from kcl_py.processor import Checkpointer, ShardContext
from kcl_py.runtime.data.pulse import Pulse
from tests.runtime.bench import SHARD_0, SHARD_1, BenchWorker, Recording, Site
from tests.runtime.fleet import seconds_until
from tests.simulation.actors import Actor, SeededOrder
from tests.virtual_time import run

STALL_SECONDS = 10.0
VERDICT_SECONDS = STALL_SECONDS * 1.1  # silence is counted in looks of a twentieth
PASS_ON_SECONDS = 3.0  # for one write here, and one look there


def a_worker(site: Site, processor: type[Recording] = Recording, **settings: Any) -> BenchWorker:
    return BenchWorker(site, processor, **({"stall_timeout_seconds": STALL_SECONDS} | settings))


class Trouble(Site):
    """A site whose processors hang in shard 0, in worker w1."""

    def __init__(self, hangs: int = 1_000_000, shards: int = 1) -> None:
        super().__init__(shards)
        self.hangs_left = hangs
        self.is_over = False


class Hanging(Recording):
    site: Trouble

    async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        here = self.context
        if (here.worker_id, here.shard_id) == ("w1", SHARD_0) and self.site.hangs_left and self.is_to_hang(records):
            self.site.hangs_left -= 1
            self.calls.append("hang")
            await self.hang()
        await super().process_records(records, checkpointer)

    def is_to_hang(self, records: RecordBatch) -> bool:
        return True

    async def hang(self) -> None:
        await asyncio.Event().wait()


async def until(is_true: Callable[[], object], within: float = 10_000.0) -> float:
    async def look() -> bool:
        return bool(is_true())

    return await seconds_until(look, within)


# -- a call that hangs and can be cancelled -------------------------------------------------------------------------


def test_a_call_that_hangs_once_is_cancelled_and_its_batch_comes_again_in_a_new_epoch():
    async def story():
        site = Trouble(hangs=1)
        worker = a_worker(site, Hanging)
        put = site.put(10)
        await until(lambda: "hang" in worker.calls)
        assert STALL_SECONDS <= await until(lambda: worker.seen(ShardStalled)) <= VERDICT_SECONDS
        await until(site.payloads, within=PASS_ON_SECONDS)
        (stalled,) = worker.seen(ShardStalled)
        assert (stalled.method, stalled.is_restarted, stalled.level) == ("process_records", True, "error")
        assert "stall_timeout" in stalled.advice
        assert len(worker.seen(LeaseRestarted)) == 1
        first, second = worker.seen(LeasePickedUp)
        assert second.fencing_token > first.fencing_token
        assert second.checkpoint == first.checkpoint, "nothing was advanced"
        await asyncio.sleep(10 * STALL_SECONDS)
        assert site.payloads() == put
        assert len(worker.seen(ShardStalled)) == 1
        await worker.drain()

    run(story())


def test_what_was_done_before_the_call_that_hangs_is_saved_and_not_repeated():
    class HangingAtTheSecond(Hanging):
        def is_to_hang(self, records: RecordBatch) -> bool:
            return bool(self.site.delivered)

    async def story():
        site = Trouble(hangs=1)
        worker = a_worker(site, HangingAtTheSecond, checkpoint_interval_seconds=3600)
        put = site.put(10)
        await until(site.payloads)
        put += site.put(10)
        await until(lambda: len(site.payloads()) == 20)
        assert site.payloads() == put
        assert len(worker.seen(ShardStalled)) == 1
        assert not worker.seen(CheckpointWritten)[1:], "one on the way out"
        await worker.drain()

    run(story())


def test_after_a_second_stall_another_worker_gets_the_shard_within_the_bound():
    async def story():
        site = Trouble()
        worker = a_worker(site, Hanging)
        await until(lambda: worker.seen(LeasePickedUp))
        rival = a_worker(site, Hanging, worker_id="w2")
        await asyncio.sleep(30)
        put = site.put(10)
        took = await until(lambda: site.payloads("w2"))
        assert took <= 2 * (VERDICT_SECONDS + PASS_ON_SECONDS)
        assert [event.is_restarted for event in worker.seen(ShardStalled)] == [True, False]
        (handed,) = worker.seen(LeaseHandedOver)
        assert handed.to.startswith("w2@")
        assert handed.checkpoint == worker.seen(LeasePickedUp)[0].checkpoint
        await asyncio.sleep(10 * STALL_SECONDS)
        assert site.payloads() == put
        assert len(worker.seen(LeasePickedUp)) == 2, "nobody gives it back"
        await rival.drain()
        await worker.drain()

    run(story())


def test_who_is_alone_goes_on_trying():
    async def story():
        site = Trouble()
        worker = a_worker(site, Hanging)
        put = site.put(10)
        await until(lambda: len(worker.seen(ShardStalled)) == 4)
        assert [event.is_restarted for event in worker.seen(ShardStalled)] == [True, False, True, False]
        assert len(worker.seen(LeaseGivenUp)) == 2
        site.hangs_left = 0
        await asyncio.sleep(30)
        assert site.payloads() == put
        await worker.drain()

    run(story())


def test_a_shard_that_stalls_now_and_then_is_always_begun_again():
    stalled: set[bytes] = set()

    class HangingAtTimes(Hanging):
        def is_to_hang(self, records: RecordBatch) -> bool:
            is_new = records[0].data not in stalled
            stalled.add(records[0].data)
            return is_new

    async def story():
        site = Trouble()
        worker = a_worker(site, HangingAtTimes)
        put = []
        for _ in range(4):
            put += site.put(5)
            await asyncio.sleep(3 * STALL_SECONDS)
        assert site.payloads() == put
        assert [event.is_restarted for event in worker.seen(ShardStalled)] == [True] * 4
        await worker.drain()

    run(story())


def test_the_other_shards_of_the_worker_go_on_meanwhile():
    async def story():
        site = Trouble(shards=2)
        worker = a_worker(site, Hanging)
        await asyncio.sleep(5)
        for _ in range(40):
            site.put(10)
            await asyncio.sleep(1)
        delivered = [event for event in worker.seen(BatchDone) if event.shard_id == SHARD_1]
        assert len(delivered) >= 35
        assert {event.shard_id for event in worker.seen(ShardStalled)} == {SHARD_0}
        assert len([event for event in worker.seen(LeasePickedUp) if event.shard_id == SHARD_1]) == 1
        await worker.drain()

    run(story())


@pytest.mark.parametrize("method", ["initialize", "shard_ended"])
def test_every_call_is_watched(method):
    async def hang(self, _argument: object) -> None:
        self.calls.append("hang")
        await asyncio.Event().wait()

    async def story():
        site = Trouble()
        worker = a_worker(site, type("Watched", (Recording,), {method: hang}))
        await asyncio.sleep(1)
        site.split()
        await until(lambda: worker.seen(ShardStalled), within=2 * STALL_SECONDS)
        assert worker.seen(ShardStalled)[0].method == method
        assert not (await site.row()).is_finished
        await worker.drain()

    run(story())


# -- a call that does not end ---------------------------------------------------------------------------------------


class Deaf(Hanging):
    """Swallows its cancellation, and goes on until all is over."""

    async def hang(self) -> None:
        while not self.site.is_over:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                self.calls.append("swallowed")


def test_a_call_that_swallows_its_cancellation_costs_the_lease_and_what_it_returns_later_counts_for_nothing():
    async def story():
        site = Trouble()
        worker = a_worker(site, Deaf)
        await until(lambda: worker.seen(LeasePickedUp))
        rival = a_worker(site, Deaf, worker_id="w2")
        await asyncio.sleep(30)
        put = site.put(10)
        await until(lambda: site.payloads("w2"), within=VERDICT_SECONDS + STALL_SECONDS / 20 + PASS_ON_SECONDS)
        assert worker.calls.count("swallowed") == 1
        assert [event.is_restarted for event in worker.seen(ShardStalled)] == [True, False]
        assert not worker.seen(CheckpointWritten)
        site.is_over, site.hangs_left = True, 0
        await asyncio.sleep(30)
        assert site.payloads("w2") == put
        assert not worker.seen(BatchDone)
        assert len(worker.seen(BatchDelivered)) == 1, "no other batch of the old epoch was begun (law S7)"
        await rival.drain()
        await until(lambda: len(worker.seen(LeasePickedUp)) == 2, within=20)  # its call has ended: it may have it again
        await worker.drain()

    run(story())


def test_while_a_call_goes_on_its_worker_does_not_pick_the_shard_up_again_even_if_it_is_alone():
    async def story():
        site = Trouble()
        worker = a_worker(site, Deaf)
        site.put(10)
        await until(lambda: worker.seen(LeaseGivenUp))
        await asyncio.sleep(100)
        assert len(worker.seen(LeasePickedUp)) == 1
        site.is_over, site.hangs_left = True, 0
        await until(lambda: len(worker.seen(LeasePickedUp)) == 2, within=20)
        await worker.drain()

    run(story())


def test_a_call_that_hangs_in_its_thread_costs_the_lease_and_is_never_doubled():
    release = threading.Event()
    contexts: list[ShardContext] = []

    class InThread(Recording):
        def initialize(self, context: ShardContext) -> None:  # type: ignore[override]
            contexts.append(context)

        def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:  # type: ignore[override]
            self.calls.append("process")
            release.wait(60)

        def lease_lost(self) -> None:  # type: ignore[override]
            self.calls.append("lease_lost")

        shard_ended = shutdown_requested = lambda self, checkpointer: None  # type: ignore[assignment]

    async def story():
        site = Site()
        # real threads in virtual time: they get seconds to be scheduled in
        worker = a_worker(site, InThread, stall_timeout_seconds=3600, failover_seconds=300)
        site.put(10)
        await until(lambda: "process" in worker.calls)
        await until(lambda: worker.seen(LeaseGivenUp))
        (stalled,) = worker.seen(ShardStalled)
        assert (stalled.method, stalled.is_restarted) == ("process_records", False)
        assert [context.is_cancelled for context in contexts] == [True], "a thread may look, and stop by itself"
        await asyncio.sleep(600)
        assert (len(worker.seen(LeasePickedUp)), worker.calls.count("process")) == (1, 1)
        assert not (await site.row()).checkpoint.is_number
        assert "lease_lost" not in worker.calls
        release.set()
        await until(lambda: len(worker.seen(LeasePickedUp)) == 2)
        await worker.drain()

    try:
        run(story())
    finally:
        release.set()


# -- what is no stall ---------------------------------------------------------------------------------------------


def no_stall(worker: BenchWorker) -> bool:
    return not worker.seen(ShardStalled) and not worker.seen(EventLoopBlocked) and len(worker.seen(LeasePickedUp)) == 1


def test_a_slow_shard_that_moves_is_never_cut():
    class Slow(Recording):
        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            await asyncio.sleep(0.99 * STALL_SECONDS)
            await super().process_records(records, checkpointer)

    async def story():
        site = Site()
        worker = a_worker(site, Slow, read_limit=1)
        put = site.put(100)
        await asyncio.sleep(105 * STALL_SECONDS)
        assert site.payloads() == put
        assert no_stall(worker)
        await worker.drain()

    run(story())


@pytest.mark.parametrize("checkpointing", ["manual", "automatic"])
def test_a_batch_may_take_any_time_if_it_checkpoints_within(checkpointing):
    class Long(Recording):
        async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
            for record in records:
                await asyncio.sleep(0.99 * STALL_SECONDS)
                await checkpointer.checkpoint(*([record] if checkpointing == "manual" else []))
            await super().process_records(records, checkpointer)

    async def story():
        site = Site()
        worker = a_worker(site, type("Long", (Long,), {"checkpointing": checkpointing}))
        await asyncio.sleep(5)
        put = site.put(20)
        await asyncio.sleep(25 * STALL_SECONDS)
        assert site.payloads() == put
        assert no_stall(worker)
        await worker.drain()

    run(story())


@pytest.mark.parametrize("method", ["initialize", "process_records"])
def test_a_shard_that_stands_still_because_its_processor_raises_is_never_cut(method):
    async def fail(self, *_arguments: object) -> None:
        raise ValueError

    async def story():
        site = Site()
        worker = a_worker(site, type("Raising", (Recording,), {method: fail}), retry_stopped_seconds=40 * STALL_SECONDS)
        site.put(10)
        await asyncio.sleep(200 * STALL_SECONDS)
        assert worker.seen(ShardStopped)
        assert no_stall(worker)
        await worker.drain()

    run(story())


def test_an_idle_shard_and_a_throttled_one_are_never_cut():
    async def story():
        site = Site()
        worker = a_worker(site, idle_read_interval_seconds=10 * STALL_SECONDS)
        await asyncio.sleep(100 * STALL_SECONDS)
        worker.stream.faults.append(StreamFault(effect=Refused(Throttled("slow down")), operation="read"))
        await asyncio.sleep(100 * STALL_SECONDS)
        assert no_stall(worker)
        await worker.drain()

    run(story())


def test_a_shard_whose_children_are_not_known_yet_is_never_cut():
    async def story():
        site = Site()
        worker = a_worker(site)
        await asyncio.sleep(5)
        worker.stream.faults += [
            StreamFault(effect=ChildShardsDropped(), operation="read"),
            StreamFault(effect=ListingStale(1e9), operation="list_shards"),
        ]
        site.split()
        await asyncio.sleep(50 * STALL_SECONDS)
        assert not (await site.row()).is_finished
        assert no_stall(worker)
        await worker.drain()

    run(story())


def test_a_shard_whose_end_cannot_be_written_is_never_cut():
    async def story():
        site = Site()
        worker = a_worker(site)
        await asyncio.sleep(5)
        worker.table.faults.append(Fault(kind="fail", operation="write", key=SHARD_0))
        site.split()
        await asyncio.sleep(20 * STALL_SECONDS)
        assert f"shard_ended {SHARD_0}" in worker.calls
        assert not (await site.row()).is_finished
        assert not worker.seen(ShardStalled)
        worker.table.faults.clear()
        await asyncio.sleep(10)
        assert (await site.row()).is_finished
        await worker.drain()

    run(story())


def test_who_waits_at_the_deadline_or_for_a_checkpoint_under_way_is_never_cut():
    async def story():
        site = Site()
        worker = a_worker(site, uncheckpointed_records_max=5)
        await asyncio.sleep(10)
        outage = Fault(kind="fail")
        worker.table.faults.append(outage)
        put = site.put(5)
        await asyncio.sleep(1)
        put += site.put(5)
        await asyncio.sleep(30 * STALL_SECONDS)
        assert len(site.payloads()) < len(put)
        worker.table.faults.remove(outage)
        await asyncio.sleep(30)
        assert site.payloads() == put
        assert no_stall(worker)
        await worker.drain()

    run(story())


def test_a_shard_that_waits_for_room_is_never_cut_because_another_one_hangs():
    async def story():
        site = Trouble(shards=2)
        site.put(50)
        worker = a_worker(site, Hanging, buffer_bytes_max=1, read_limit=2)
        await asyncio.sleep(6 * STALL_SECONDS)
        assert {event.shard_id for event in worker.seen(ShardStalled)} == {SHARD_0}
        await worker.drain()

    run(story())


def test_a_call_that_hangs_during_a_stop_has_the_grace_whatever_the_timeout():
    async def story():
        site = Trouble()
        worker = a_worker(site, Hanging, shutdown_grace_seconds=5 * STALL_SECONDS)
        put = site.put(10)
        await until(lambda: "hang" in worker.calls)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await worker.drain()
        assert 5 * STALL_SECONDS <= loop.time() - began < 5 * STALL_SECONDS + 5
        assert not worker.seen(ShardStalled)
        assert not worker.seen(EventLoopBlocked)
        assert not (await site.row()).checkpoint.is_number
        successor = a_worker(site, worker_id="w2")
        await asyncio.sleep(20)
        assert site.payloads() == put
        await successor.drain()

    run(story())


# -- not user code --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["open", "read"])
def test_a_service_that_never_answers_is_asked_anew(operation):
    async def story():
        site = Site()
        worker = a_worker(site)
        never = StreamFault(effect=Delayed(1e9), operation=operation, first=1, times=1)
        worker.stream.faults.append(never)
        put = site.put(10)
        await asyncio.sleep(2 * STALL_SECONDS)
        (stalled,) = worker.seen(ShardStalled)
        assert (stalled.method, stalled.is_restarted) == (None, True)
        assert site.payloads() == put
        await worker.drain()

    run(story())


# -- the loop itself is blocked ---------------------------------------------------------------------------------------


class TwoLoops:
    """A worker whose keeper and data plane are actors of their own: either can stand still."""

    def __init__(self, order: SeededOrder, site: Site, **settings: Any) -> None:
        self.order = order
        self.data_plane, self.keeper = Actor("data plane"), Actor("keeper")
        self.context = self.data_plane.context()
        planes = (self.keeper.context(), self.context)
        self.worker = a_worker(site, planes=planes, **settings)


def test_a_worker_whose_loop_is_blocked_leaves_the_fleet_and_ends_with_an_error():
    order = SeededOrder(1)

    async def story():
        site = Site(shards=2)
        put = site.put(20)
        two = TwoLoops(order, site, processor=SlowRecording)
        worker = two.worker
        await until(lambda: len(worker.seen(BatchDelivered)) == 2)
        rival = a_worker(site, worker_id="w2")
        order.hold(two.data_plane)
        took = await until(lambda: sorted(site.payloads("w2"), key=int) == put)
        assert STALL_SECONDS <= took <= 1.15 * STALL_SECONDS + PASS_ON_SECONDS
        (blocked,) = worker.seen(EventLoopBlocked)
        assert blocked.stall_timeout_seconds == STALL_SECONDS
        assert isinstance(worker.failure, WorkerStalled)
        assert "blocked" in str(worker.failure)
        assert [event.to.partition("@")[0] for event in worker.seen(LeaseHandedOver)] == ["w2", "w2"], "at once"
        assert {session.worker_id for session in (await site.memory.snapshot()).sessions} == {"w2"}
        delivered = len(worker.seen(BatchDelivered))
        order.let_go(two.data_plane)  # it comes back, in the middle of its batches
        site.put(20)
        await asyncio.sleep(30)
        assert len(worker.seen(BatchDelivered)) == delivered, "no other batch of the old epochs was begun (law S7)"
        assert isinstance(worker.data_plane.failure, WorkerStalled)
        assert worker.calls.count("done") == delivered, "the blocked calls came to their end"
        assert not worker.seen(CheckpointWritten), "which counts for nothing here: the successor has them again"
        await rival.drain()
        await worker.data_plane.close()

    run(story(), order)


def test_a_loop_that_runs_again_while_its_keeper_still_leaves_begins_no_other_batch():
    order = SeededOrder(6)

    async def story():
        site = Site()
        two = TwoLoops(order, site, processor=SlowRecording, read_limit=5)
        worker = two.worker
        put = site.put(20)
        await until(lambda: worker.seen(BatchDelivered))
        rival = a_worker(site, worker_id="w2")
        order.hold(two.data_plane)
        await asyncio.sleep(0.95 * STALL_SECONDS)
        worker.table.faults.append(Fault(kind="delay", operation="write_session", seconds=4))
        await until(lambda: rival.seen(LeasePickedUp), within=5 + PASS_ON_SECONDS)
        assert worker.seen(EventLoopBlocked)
        order.let_go(two.data_plane)
        assert worker.failure is None, "the keeper is still busy"
        await asyncio.sleep(30)
        assert len(worker.seen(BatchDelivered)) == 1
        assert site.payloads("w2") == put
        await rival.drain()
        await worker.data_plane.close()

    run(story(), order)


async def that_hangs_in_a_hand_off(site: Trouble, grace_seconds: float) -> tuple[BenchWorker, BenchWorker, list[str]]:
    """A worker with a call that hangs, the one that is to have the shard, and what was put."""
    worker = a_worker(site, Hanging, shutdown_grace_seconds=grace_seconds)
    await until(lambda: worker.seen(LeasePickedUp))
    rival = a_worker(site, Hanging, worker_id="w2")
    await asyncio.sleep(30)
    put = site.put(10)
    await until(lambda: "hang" in worker.calls)
    await site.offer("w2")
    return worker, rival, put


def test_a_call_that_outlasts_a_hand_off_is_cancelled_in_time_so_that_the_shard_may_come_back():
    async def story():
        site = Trouble(hangs=1)
        worker, rival, put = await that_hangs_in_a_hand_off(site, grace_seconds=1)
        await until(lambda: rival.seen(LeasePickedUp), within=10)
        assert [event.is_forced for event in worker.seen(LeaseHandedOver)] == [True]
        await rival.drain()
        await until(lambda: len(worker.seen(LeasePickedUp)) == 2, within=VERDICT_SECONDS + PASS_ON_SECONDS)
        await asyncio.sleep(5)
        assert sorted(set(site.payloads()), key=int) == put
        await worker.drain()

    run(story())


def test_a_call_that_hangs_in_a_hand_off_with_much_grace_is_cut_and_the_shard_goes_where_it_was_to_go():
    async def story():
        site = Trouble(hangs=1)
        worker, rival, put = await that_hangs_in_a_hand_off(site, grace_seconds=10 * STALL_SECONDS)
        await until(lambda: rival.seen(LeasePickedUp), within=VERDICT_SECONDS + PASS_ON_SECONDS)
        assert [event.is_restarted for event in worker.seen(ShardStalled)] == [False]
        assert not worker.seen(LeaseRestarted)
        await until(site.payloads, within=PASS_ON_SECONDS)
        assert site.payloads("w2") == put
        await rival.drain()
        await worker.drain()

    run(story())


class SlowRecording(Recording):
    async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        await asyncio.sleep(4)
        self.calls.append("done")


def test_a_loop_that_is_blocked_for_less_costs_nothing():
    order = SeededOrder(2)

    async def story():
        site = Site()
        two = TwoLoops(order, site)
        await asyncio.sleep(5)
        put = site.put(10)
        for _ in range(5):
            order.hold(two.data_plane)
            await asyncio.sleep(0.9 * STALL_SECONDS)
            order.let_go(two.data_plane)
            await asyncio.sleep(1)
        await asyncio.sleep(5)
        assert site.payloads() == put
        assert no_stall(two.worker)
        await two.worker.drain()

    run(story(), order)


def test_a_process_that_was_suspended_as_a_whole_was_not_blocked():
    order = SeededOrder(3)

    async def story():
        site = Site()
        two = TwoLoops(order, site)
        await asyncio.sleep(5)
        order.hold(two.keeper)
        order.hold(two.data_plane)
        await asyncio.sleep(100 * STALL_SECONDS)
        put = site.put(10)
        order.let_go(two.keeper)
        order.let_go(two.data_plane)
        await asyncio.sleep(30)
        assert site.payloads() == put
        assert not two.worker.seen(EventLoopBlocked)
        assert not two.worker.seen(ShardStalled)
        await two.worker.drain()

    run(story(), order)


def test_a_blocked_worker_whose_table_does_not_answer_ends_all_the_same():
    order = SeededOrder(4)

    async def story():
        site = Site()
        two = TwoLoops(order, site)
        await asyncio.sleep(5)
        two.worker.table.faults.append(Fault(kind="fail"))
        order.hold(two.data_plane)
        await until(lambda: two.worker.failure is not None, within=VERDICT_SECONDS + 15)
        assert isinstance(two.worker.failure, WorkerStalled)
        order.let_go(two.data_plane)
        await two.worker.data_plane.close()

    run(story(), order)


def test_a_worker_that_is_blocked_while_it_leaves_has_its_grace_first():
    order = SeededOrder(5)

    async def story():
        site = Trouble()
        two = TwoLoops(order, site, processor=Hanging, shutdown_grace_seconds=30)
        site.put(10)
        await until(lambda: "hang" in two.worker.calls)
        draining = asyncio.create_task(two.worker.drain(fails=True), context=two.context)
        await asyncio.sleep(1)
        order.hold(two.data_plane)
        took = await until(lambda: two.worker.seen(EventLoopBlocked))
        assert 30 + STALL_SECONDS <= took + 1 <= 30 + 1.2 * STALL_SECONDS
        order.let_go(two.data_plane)
        await draining

    run(story(), order)


# -- the setting ------------------------------------------------------------------------------------------------------


def test_no_timeout_means_never():
    for never in (0, 1, float("inf"), None):
        with pytest.raises(ConfigError, match="stall_timeout"):
            Config(stream="orders", application="app", stall_timeout_seconds=never)  # type: ignore[arg-type]
    assert Config(stream="orders", application="app").stall_timeout_seconds == 1800


# -- the pulse --------------------------------------------------------------------------------------------------------


def test_a_reader_that_goes_on_beside_a_call_does_not_speak_for_it():
    pulse = Pulse()
    with pulse.calling("process_records"):
        for looks in range(1, 5):
            with pulse.attempting(), pulse.waiting():
                assert pulse.looked_at() == looks
        with pulse.asking():
            assert pulse.looked_at() == 0
        assert pulse.looked_at() == 1
    assert pulse.looked_at() == 1
    with pulse.waiting():
        assert pulse.looked_at() == 0
    assert pulse.looked_at() == 1
