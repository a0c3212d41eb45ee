"""Fleets in which something fails for ever: the dead are still judged, and whoever leads still plans."""

import asyncio
from collections.abc import Callable

import pytest

from kcl_py.errors import Throttled
from kcl_py.interfaces import ShardFilter
from kcl_py.local.faulty_lease_table import Fault
from tests import virtual_time
from tests.runtime.bench import BenchWorker, Site
from tests.runtime.fleet import joined, seconds_until, shares

Trouble = Callable[[BenchWorker], None]


def every_fourth_index_query(worker: BenchWorker) -> None:
    worker.table.faults += [Fault(kind="throttle", operation="lease_keys_of", nth=nth) for nth in range(1, 400, 4)]


def looks_at_entries(worker: BenchWorker) -> None:
    worker.table.faults.append(Fault(kind="throttle", operation="sessions"))


def slow_scans(worker: BenchWorker) -> None:
    worker.table.faults.append(Fault(kind="delay_answer", operation="snapshot", seconds=6.0))


def listings(worker: BenchWorker) -> None:
    async def list_shards(_filter: ShardFilter | None = None) -> object:
        raise Throttled("kinesis:ListShards")

    worker.stream.list_shards = list_shards  # type: ignore[method-assign, assignment]


async def roles(site: Site, workers: dict[str, BenchWorker]) -> tuple[str, str]:
    """The worker that leads, and one that neither leads nor stands by."""
    lock = await site.memory.leader_lock()
    assert lock is not None
    leader, standby = lock.owner.rpartition("@")[0], (lock.standby or "").rpartition("@")[0]
    return leader, next(name for name in workers if name not in (leader, standby))


@pytest.mark.parametrize("trouble", [every_fourth_index_query, looks_at_entries, slow_scans, listings])
@pytest.mark.parametrize("is_leader", [True, False], ids=["leader", "other"])
def test_a_death_is_seen_whatever_else_goes_wrong_for_ever(trouble: Trouble, *, is_leader: bool) -> None:
    async def main() -> None:
        site = Site(shards=8)
        workers = await joined(site, "w1", "w2", "w3", "w4", shard_listing_interval_seconds=4.0)
        leader, other = await roles(site, workers)
        victim = leader if is_leader else other
        for worker in workers.values():
            trouble(worker)
        await workers.pop(victim).crash()

        async def is_taken_over() -> bool:
            owned = await shares(site)
            return victim not in owned and "" not in owned

        assert await seconds_until(is_taken_over, within=60) < 40
        for worker in workers.values():
            assert worker.failure is None
            await worker.crash()

    virtual_time.run(main())


def test_the_leases_of_the_dead_move_though_the_row_of_one_cannot_be_written() -> None:
    async def main() -> None:
        site = Site(shards=12)
        workers = await joined(site, "w1", "w2", "w3", "w4")
        _, victim = await roles(site, workers)
        stuck, *others = (await shares(site))[victim]
        for worker in workers.values():
            worker.table.faults.append(Fault(kind="throttle", operation="write", key=stuck))
        await workers.pop(victim).crash()

        async def are_others_taken_over() -> bool:
            owned = await shares(site)
            return not set(others) & set(owned.get(victim, ()))

        await seconds_until(are_others_taken_over, within=30)
        assert (await site.row(stuck)).owner is not None
        for worker in workers.values():
            await worker.crash()

    virtual_time.run(main())


def test_one_lost_read_beside_the_pick_up_of_another_lease_leaves_no_shard_undelivered() -> None:
    async def main() -> None:
        site = Site(shards=12)
        workers = await joined(site, "w1", "w2", "w3")
        theirs = (await shares(site))["w3"]
        for name in ("w1", "w2"):
            faults = workers[name].table.faults
            faults += [Fault(kind="delay_answer", operation="write", key=key, times=1, seconds=0.5) for key in theirs]
            faults += [Fault(kind="throttle", operation="lease", key=theirs[-1], times=2)]
            faults += [Fault(kind="delay", operation="lease_keys_of", seconds=2.0)]  # several are found at once
        await workers.pop("w3").crash()
        await asyncio.sleep(60)
        site.put(300)
        await asyncio.sleep(20)
        assert len({shard_id for _, shard_id, _, _ in site.delivered}) == 12
        for worker in workers.values():
            await worker.crash()

    virtual_time.run(main())
