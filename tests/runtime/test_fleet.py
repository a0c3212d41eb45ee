"""Workers that share a stream: they join, leave and die, and shards move between them."""

import asyncio
import contextlib
from itertools import pairwise

import pytest

from kcl_py.core.session import Process
from kcl_py.errors import ServiceUnavailable
from kcl_py.events import (
    HandOffBegun,
    HandOffCalledOff,
    HandOffOpened,
    LeaseHandedOver,
    LeasePickedUp,
    LeaseRemoved,
    LeaseWasLost,
)
from kcl_py.local.faulty_lease_table import Fault, Operation
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.trouble import through_trouble
from tests.runtime.bench import SHARD_0, BenchWorker, Recording, Site
from tests.runtime.fleet import PowerCut, joined, load, rows, seconds_until, shares
from tests.virtual_time import VirtualTimeLoop, run

F = 10.0
HOST = Process(boot_id="boot", pid_namespace="1", pid=1, started_ticks=1)


def assert_each_shard_is_in_order(site: Site) -> None:
    """Within one epoch deliveries strictly increase (law S3)."""
    epochs: dict[tuple[str, int], list[int]] = {}
    for _, shard, token, payload in site.delivered:
        epochs.setdefault((shard, token), []).append(int(payload))
    assert not [epoch for epoch, numbers in epochs.items() if any(b <= a for a, b in pairwise(numbers))]


def test_shards_move_to_a_worker_that_joins_and_nothing_is_repeated():
    async def story():
        site = Site(shards=8)
        loading = asyncio.create_task(load(site, 20))
        workers = await joined(site, "a", "b", "c", "d")
        assert sorted(map(len, (await shares(site)).values())) == [2, 2, 2, 2]
        moved = [event.shard_id for worker in workers.values() for event in worker.seen(LeaseHandedOver)]
        assert len(moved) == len(set(moved)) == 6
        opened = sum(len(worker.seen(HandOffOpened)) for worker in workers.values())
        await asyncio.sleep(300)
        assert sum(len(worker.seen(HandOffOpened)) for worker in workers.values()) == opened, "it is quiet afterwards"
        loading.cancel()
        for worker in workers.values():
            await worker.drain()
        payloads = site.payloads()
        assert sorted(map(int, payloads)) == list(range(len(payloads)))
        assert_each_shard_is_in_order(site)

    run(story())


def test_a_worker_that_leaves_passes_its_shards_on_and_they_go_on_within_a_second_or_so():
    async def story():
        site = Site(shards=9)
        workers = await joined(site, "a", "b", "c")
        site.put(90)
        await asyncio.sleep(2)
        (leaving,) = [worker for name, worker in workers.items() if name == "b"]
        heirs = {row.key for row in await rows(site) if (row.owner or "").startswith("b@")}
        await leaving.drain()
        assert set(await shares(site)) == {"a", "c"}

        async def is_picked_up() -> bool:
            return all(row.held_by == row.owner for row in await rows(site) if row.key in heirs)

        assert await seconds_until(is_picked_up, 10) < 1.5
        site.put(90)
        await asyncio.sleep(3)
        for name in "ac":
            await workers[name].drain()
        payloads = site.payloads()
        assert sorted(map(int, payloads)) == list(range(180))

    run(story())


def test_a_fleet_that_stops_at_once_leaves_no_owner_no_entry_and_no_lock():
    async def story():
        site = Site(shards=8)
        workers = await joined(site, "a", "b", "c", "d")
        site.put(80)
        await asyncio.sleep(1.2)
        await asyncio.gather(*(worker.drain() for worker in workers.values()))
        left = await site.memory.snapshot()
        assert {row.effective_owner for row in left.leases} == {None}
        assert (left.sessions, left.lock) == ((), None)
        assert sorted(map(int, site.payloads())) == list(range(len(site.payloads())))

    run(story())


@pytest.mark.parametrize("delay", [0.05, 0.3, 1.1])
def test_a_fleet_that_stops_at_once_on_a_slow_table_leaves_no_owner_either(delay: float):
    async def story():
        site = Site(shards=8)
        workers = await joined(site, "a", "b", "c", "d")
        for number, worker in enumerate(workers.values()):
            worker.table.faults.append(Fault(kind="delay", seconds=delay * (1 + number / 3)))
            worker.table.faults.append(Fault(kind="delay_answer", seconds=delay))
        await asyncio.gather(*(worker.drain() for worker in workers.values()))
        left = await site.memory.snapshot()
        assert {row.effective_owner for row in left.leases} == {None}
        assert left.sessions == ()

    run(story())


def test_the_leader_and_then_its_successor_die_and_each_time_all_shards_go_on_within_the_failover_time():
    async def story():
        site = Site(shards=8)
        workers = await joined(site, "a", "b", "c", "d")
        loading = asyncio.create_task(load(site, 16))
        for _ in range(2):
            lock = await site.memory.leader_lock()
            assert lock is not None
            leader = lock.owner.rpartition("@")[0]
            await workers.pop(leader).crash()

            async def is_taken(dead: str = leader) -> bool:
                return not any((row.effective_owner or "").startswith(f"{dead}@") for row in await rows(site))

            assert await seconds_until(is_taken, 60) < F + 3
        await asyncio.sleep(30)
        assert sorted(map(len, (await shares(site)).values())) == [4, 4]
        loading.cancel()
        await asyncio.sleep(3)
        for worker in workers.values():
            await worker.drain()
        assert set(map(int, site.payloads())) == set(range(max(map(int, site.payloads())) + 1))
        assert_each_shard_is_in_order(site)

    run(story())


def test_leader_and_standby_die_together_and_the_others_take_over_within_two_failover_times():
    async def story():
        site = Site(shards=8)
        workers = await joined(site, "a", "b", "c", "d")
        lock = await site.memory.leader_lock()
        assert lock is not None
        assert lock.standby is not None
        dead = [key.rpartition("@")[0] for key in (lock.owner, lock.standby)]
        await asyncio.gather(*(workers.pop(name).crash() for name in dead))

        async def is_taken() -> bool:
            return not set(dead) & set(await shares(site))

        assert await seconds_until(is_taken, 60) < 2 * F + 3
        for worker in workers.values():
            await worker.drain()

    run(story())


def test_all_die_and_one_comes_back_which_takes_everything_after_the_failover_time():
    async def story():
        site = Site(shards=6)
        workers = await joined(site, "a", "b", "c")
        for worker in workers.values():
            await worker.crash()
        alone = BenchWorker(site, worker_id="d")

        async def is_all_taken() -> bool:
            return set(await shares(site)) == {"d"}

        assert await seconds_until(is_all_taken, 60) < F + 2
        await alone.drain()

    run(story())


def test_all_die_and_one_comes_back_on_the_same_host_which_takes_everything_at_once():
    async def story():
        site = Site(shards=6)
        workers = await joined(site, "a", "b", "c", process=HOST)
        for worker in workers.values():
            await worker.crash()
        alone = BenchWorker(site, worker_id="d", gone=[HOST])

        async def is_all_taken() -> bool:
            return set(await shares(site)) == {"d"}

        assert await seconds_until(is_all_taken, 60) < 1
        await alone.drain()

    run(story())


@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("victim", ["leader", "giver", "receiver"])
def test_a_hand_off_survives_a_death_at_any_write(victim: str, is_done: bool):
    """`a` leads and has one shard; `b` has two, and hands one over to `c`."""

    async def story(nth: int) -> bool:
        site = Site(shards=3)
        leader = BenchWorker(site, worker_id="a", leases_max=1)
        await asyncio.sleep(1)
        giver = BenchWorker(site, worker_id="b")
        await asyncio.sleep(20)
        loading = asyncio.create_task(load(site, 12))
        receiver = BenchWorker(site, worker_id="c")
        await asyncio.sleep(5)
        workers = {"leader": leader, "giver": giver, "receiver": receiver}
        while not (leader.table.calls and leader.seen(HandOffOpened)) and victim != "leader":
            await asyncio.sleep(0.01)
        cut = PowerCut(workers[victim], nth, is_done=is_done)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(cut.has_happened.wait(), 8)
        was_cut = cut.has_happened.is_set() and len(receiver.seen(LeasePickedUp)) == 0
        await workers.pop(victim).crash()
        await asyncio.sleep(2 * F + 20)
        loading.cancel()
        await asyncio.sleep(3)
        assert "" not in await shares(site), "every shard has an owner"
        for worker in workers.values():
            assert worker.failure is None
            await worker.drain()
        delivered = set(map(int, site.payloads()))
        assert delivered == set(range(max(delivered) + 1)), "nothing is lost"
        assert_each_shard_is_in_order(site)
        return was_cut

    cut_before_the_end = [run(story(nth)) for nth in range(1, 9)]
    assert any(cut_before_the_end), "a cut before the receiver had the lease"


def test_a_receiver_that_leaves_during_a_hand_off_costs_nothing():
    class Slow(Recording):
        async def process_records(self, records, checkpointer):
            await super().process_records(records, checkpointer)
            await asyncio.sleep(4)

    async def story():
        site = Site(shards=2)
        giver = BenchWorker(site, Slow, worker_id="a")
        await asyncio.sleep(1)
        loading = asyncio.create_task(load(site, 10))
        receiver = BenchWorker(site, worker_id="b")
        while not giver.seen(HandOffBegun):
            await asyncio.sleep(0.01)
        await receiver.drain()
        await asyncio.sleep(30)
        assert set(await shares(site)) == {"a"}
        loading.cancel()
        await asyncio.sleep(12)
        await giver.drain()
        payloads = site.payloads()
        assert sorted(map(int, payloads)) == list(range(len(payloads)))

    run(story())


def test_a_hand_off_to_a_worker_that_is_gone_is_called_off_and_the_epoch_goes_on():
    async def story():
        site = Site(shards=2)
        giver = BenchWorker(site, worker_id="a")
        await asyncio.sleep(3)
        row = await site.row()
        await site.memory.write(row.offered("nobody@00000000"))
        await asyncio.sleep(3)
        assert [event.to for event in giver.seen(HandOffCalledOff)] == ["nobody@00000000"]
        after = await site.row()
        assert (after.owner, after.checkpoint_owner, after.held_by) == (row.owner, None, row.owner)
        put = site.put(10)
        await asyncio.sleep(3)
        assert len(giver.seen(LeasePickedUp)) == 2
        assert not giver.seen(LeaseWasLost)
        assert sorted(site.payloads(), key=int) == put
        await giver.drain()

    run(story())


def test_a_batch_that_outlasts_the_grace_is_overtaken_and_only_its_records_are_repeated():
    class Stuck(Recording):
        async def process_records(self, records, checkpointer):
            await super().process_records(records, checkpointer)
            if "50" in [record.data.decode() for record in records] and self.context.worker_id == "a":
                await asyncio.sleep(60)

    async def story():
        site = Site(shards=1)
        giver = BenchWorker(site, Stuck, worker_id="a", shutdown_grace_seconds=5)
        site.put(50)
        await asyncio.sleep(8)
        receiver = BenchWorker(site, Stuck, worker_id="b")
        await asyncio.sleep(2)
        site.put(20)
        await asyncio.sleep(2)
        await site.offer("b")
        await asyncio.sleep(9)
        (handed_over,) = giver.seen(LeaseHandedOver)
        assert handed_over.is_forced
        assert len(receiver.seen(LeasePickedUp)) == 1
        await asyncio.sleep(5)
        assert sorted(map(int, site.payloads("b"))) == list(range(50, 70))
        await receiver.drain()
        await giver.drain()

    run(story())


def test_a_table_that_throttles_everybody_for_two_failover_times_moves_no_lease():
    async def story():
        site = Site(shards=8)
        workers = await joined(site, "a", "b", "c", "d")
        before = await shares(site)
        throttles = Fault(kind="throttle")
        for worker in workers.values():
            worker.table.faults.insert(0, throttles)
        await asyncio.sleep(2 * F)
        for worker in workers.values():
            worker.table.faults.remove(throttles)
        put = site.put(40)
        await asyncio.sleep(3 * F)
        assert await shares(site) == before
        assert not [worker for worker in workers.values() if worker.seen(LeaseWasLost)]
        assert sorted(site.payloads(), key=int) == put
        for worker in workers.values():
            await worker.drain()

    run(story())


def test_an_index_that_is_stale_for_good_costs_time_and_no_shard():
    async def story():
        site = Site(shards=4)
        first = BenchWorker(site, worker_id="a")
        await asyncio.sleep(1)
        blind = BenchWorker(site, worker_id="b")
        blind.table.faults.append(Fault(kind="stale_index"))
        await asyncio.sleep(60)
        put = site.put(40)
        await asyncio.sleep(5)
        assert sorted(set(site.payloads()), key=int) == put
        blind.table.faults.clear()
        await asyncio.sleep(320)
        assert sorted(map(len, (await shares(site)).values())) == [2, 2]
        await first.drain()
        await blind.drain()

    run(story())


def test_the_ender_of_a_shard_goes_on_with_its_children_within_a_second():
    async def story():
        site = Site(shards=2)
        workers = await joined(site, "a", "b")
        site.split(at=2**126)
        await asyncio.sleep(3)
        site.put(40)
        await asyncio.sleep(2)
        assert len(site.payloads()) == 40
        for worker in workers.values():
            await worker.drain()
        assert sorted(map(int, site.payloads())) == list(range(40))

    run(story())


def test_a_worker_is_given_no_more_than_it_wants():
    async def story():
        site = Site(shards=8)
        small = BenchWorker(site, worker_id="small", leases_max=1)
        await asyncio.sleep(1)
        big = BenchWorker(site, worker_id="big")
        await asyncio.sleep(25)
        assert {name: len(keys) for name, keys in (await shares(site)).items()} == {"small": 1, "big": 7}
        await small.drain()
        await asyncio.sleep(2)
        assert {name: len(keys) for name, keys in (await shares(site)).items()} == {"big": 8}
        await big.drain()

    run(story())


def test_a_burst_of_joins_and_a_burst_of_leaves_move_each_lease_at_most_once_and_repeat_nothing():
    async def story():
        site = Site(shards=42)
        first = BenchWorker(site, worker_id="first")
        loading = asyncio.create_task(load(site, 42))
        await asyncio.sleep(8)
        others = []
        for number in range(20):
            others.append(BenchWorker(site, worker_id=f"w{number}"))
            await asyncio.sleep(0.5)
        await asyncio.sleep(45)
        assert sorted(map(len, (await shares(site)).values())) == [2] * 21
        joined_moves = [event.shard_id for event in first.seen(LeaseHandedOver)]
        assert len(joined_moves) == len(set(joined_moves)) == 40
        assert not [worker for worker in others if worker.seen(LeaseHandedOver)]
        await asyncio.gather(*(worker.drain() for worker in others[1:]))
        moves = [event.shard_id for worker in others for event in worker.seen(LeaseHandedOver)]
        assert len(moves) == len(set(moves)) == 38
        await asyncio.sleep(30)
        assert sorted(map(len, (await shares(site)).values())) == [21, 21]
        loading.cancel()
        await first.drain()
        await asyncio.sleep(3)
        await others[0].drain()
        payloads = site.payloads()
        assert sorted(map(int, payloads)) == list(range(len(payloads)))
        assert_each_shard_is_in_order(site)

    run(story())


async def slept_through(hours: float) -> None:
    """A laptop that is closed for so long, and then works for a while."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.now += hours * 3600
    await asyncio.sleep(300)


def test_finished_rows_go_once_the_stream_has_forgotten_their_shards_and_not_before():
    async def story():
        site = Site()
        workers = await joined(site, "a", "b")
        site.put(5)
        site.split()
        await asyncio.sleep(5)
        site.put(20)
        await slept_through(20)
        assert (await site.row()).is_finished
        site.put(20)
        await slept_through(8)
        assert SHARD_0 not in {row.key for row in await rows(site)}
        assert [event.shard_id for worker in workers.values() for event in worker.seen(LeaseRemoved)] == [SHARD_0]
        assert len(await rows(site)) == 2
        for worker in workers.values():
            await worker.drain()
        assert sorted(map(int, site.payloads())) == list(range(45))

    run(story())


def test_a_write_whose_answer_is_lost_is_settled_in_every_step_of_a_fleets_life():
    async def story(nth: int, operation: Operation) -> int:
        site = Site(shards=4)
        workers = [BenchWorker(site, worker_id="a")]
        workers[0].table.faults.append(Fault(kind="lose_answer", operation=operation, nth=nth))
        await asyncio.sleep(1)
        workers.append(BenchWorker(site, worker_id="b"))
        workers[1].table.faults.append(Fault(kind="lose_answer", operation=operation, nth=nth))
        loading = asyncio.create_task(load(site, 8))
        await asyncio.sleep(30)
        await workers[0].drain()
        await asyncio.sleep(5)
        loading.cancel()
        await asyncio.sleep(3)
        await workers[1].drain()
        payloads = site.payloads()
        assert sorted(map(int, payloads)) == list(range(len(payloads)))
        assert {row.effective_owner for row in await rows(site)} == {None}
        return sum(fault.hits for worker in workers for fault in worker.table.faults)

    operations: list[tuple[Operation, int]] = [("write", 24), ("write_session", 6), ("write_leader_lock", 4)]
    for operation, count in operations:
        assert all(run(story(nth, operation)) for nth in range(1, count)), "every fault struck"


def test_trouble_does_not_swallow_the_end_of_the_keeper():
    async def fails_when_it_is_cut_off() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ServiceUnavailable("cut off") from None

    async def work() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fails_when_it_is_cut_off())

    async def story():
        doing = asyncio.create_task(through_trouble("work", work(), Emitter([])))
        await asyncio.sleep(1)
        doing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await doing

    run(story())
