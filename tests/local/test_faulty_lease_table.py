"""The fault wrapper does what its rules say, to the calls that they name."""

import asyncio

import pytest

from kcl_py.core.checkpoint import TRIM_HORIZON
from kcl_py.core.leadership import LeaderLock
from kcl_py.core.lease import Lease
from kcl_py.core.session import Session
from kcl_py.errors import ConditionFailed, ServiceUnavailable, TableMissing, Throttled
from kcl_py.local.faulty_lease_table import Fault, FaultyLeaseTable
from kcl_py.local.memory_lease_table import MemoryLeaseTable

ANN, BOB = "ann@0123abcd", "bob@4567cdef"
FIRST = Lease(key="shardId-1", owner=ANN, checkpoint=TRIM_HORIZON)
SECOND = Lease(key="shardId-2", owner=ANN, checkpoint=TRIM_HORIZON)


@pytest.fixture
def memory() -> MemoryLeaseTable:
    return MemoryLeaseTable(exists=True)


async def test_without_rules_everything_passes(memory: MemoryLeaseTable) -> None:
    table = FaultyLeaseTable(memory)
    await table.prepare()
    await table.create(FIRST)
    await table.write_session(None, Session(key=ANN))
    assert await table.lease("shardId-1") == FIRST
    assert await table.session(ANN) == Session(key=ANN)
    assert (await table.snapshot()).leases == (FIRST,)
    assert await table.foreign_pulse() == {}
    assert await table.lease_keys_of(ANN) == ("shardId-1",)
    await table.close()
    assert [(call.operation, call.key) for call in table.calls] == [
        ("prepare", None),
        ("create", "shardId-1"),
        ("write_session", ANN),
        ("lease", "shardId-1"),
        ("session", ANN),
        ("snapshot", None),
        ("foreign_pulse", None),
        ("lease_keys_of", ANN),
    ]


async def test_what_calls_read_and_write_is_counted_as_dynamodb_bills_it(memory: MemoryLeaseTable) -> None:
    table = FaultyLeaseTable(memory)
    lock = LeaderLock(owner=ANN, version="a", duration_ms=10_000)
    await table.create(FIRST)
    await table.create(FIRST)
    await table.write_session(None, Session(key=ANN))
    await table.write_leader_lock(None, lock)
    with pytest.raises(ConditionFailed):
        await table.write_leader_lock(None, lock)
    released = FIRST.released()
    await table.write(released)
    await table.write(released.after.assigned(ANN))
    await table.write(released.after.assigned(ANN).after.assigned(BOB))
    await table.write(released.after.assigned(ANN).after.assigned(BOB).after.caught_up(1))
    await table.create(SECOND)
    await table.lease_keys_of(ANN)
    await table.snapshot()
    await table.sessions([ANN, BOB, BOB])
    await table.leader_lock()
    assert [(call.operation, call.rows, call.index_rows) for call in table.calls] == [
        ("create", 1, 1),
        ("create", 1, 0),
        ("write_session", 1, 0),
        ("write_leader_lock", 1, 0),
        ("write_leader_lock", 1, 0),
        ("write", 1, 1),
        ("write", 1, 1),
        ("write", 1, 2),
        ("write", 1, 0),
        ("create", 1, 1),
        ("lease_keys_of", 0, 1),
        ("snapshot", 4, 0),
        ("sessions", 2, 0),
        ("leader_lock", 1, 0),
    ]


async def test_a_call_that_never_arrived_costs_nothing_and_one_whose_answer_was_lost_does(
    memory: MemoryLeaseTable,
) -> None:
    table = FaultyLeaseTable(memory, [Fault(kind="fail", key="shardId-1"), Fault(kind="lose_answer", key="shardId-2")])
    for lease in (FIRST, SECOND):
        with pytest.raises(ServiceUnavailable):
            await table.create(lease)
    assert [call.rows for call in table.calls] == [0, 1]


async def test_a_failed_call_does_nothing_and_a_lost_answer_hides_what_was_done(memory: MemoryLeaseTable) -> None:
    table = FaultyLeaseTable(memory, [Fault(kind="fail", key="shardId-1"), Fault(kind="lose_answer", key="shardId-2")])
    for lease in (FIRST, SECOND):
        with pytest.raises(ServiceUnavailable):
            await table.create(lease)
    assert (await memory.snapshot()).leases == (SECOND,)


async def test_a_rule_hits_the_calls_that_it_names_and_no_others(memory: MemoryLeaseTable) -> None:
    table = FaultyLeaseTable(memory, [Fault(kind="throttle", operation="lease", key="shardId-1", nth=2)])
    await table.lease("shardId-1")
    await table.lease("shardId-2")
    await table.create(FIRST)
    with pytest.raises(Throttled):
        await table.lease("shardId-1")
    assert await table.lease("shardId-1") == FIRST


async def test_a_rule_wears_out_after_so_many_times(memory: MemoryLeaseTable) -> None:
    table = FaultyLeaseTable(memory, [Fault(kind="fail", times=2)])
    for _ in range(2):
        with pytest.raises(ServiceUnavailable):
            await table.snapshot()
    assert (await table.snapshot()).leases == ()


async def test_a_late_call_is_done_late_and_a_late_answer_is_of_something_done(memory: MemoryLeaseTable) -> None:
    table = FaultyLeaseTable(
        memory,
        [
            Fault(kind="delay", key="shardId-1", seconds=3600),
            Fault(kind="delay_answer", key="shardId-2", seconds=3600),
        ],
    )
    waiting = [asyncio.create_task(table.create(lease)) for lease in (FIRST, SECOND)]
    await asyncio.sleep(0)
    assert (await memory.snapshot()).leases == (SECOND,)
    for task in waiting:
        task.cancel()
    assert all(
        isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*waiting, return_exceptions=True)
    )


async def test_a_stale_index_answers_as_it_did_before(memory: MemoryLeaseTable) -> None:
    table = FaultyLeaseTable(memory)
    await table.create(FIRST)
    assert await table.lease_keys_of(ANN) == ("shardId-1",)
    table.faults.append(Fault(kind="stale_index", times=1))
    await table.create(SECOND)
    assert await table.lease_keys_of(ANN) == ("shardId-1",)
    assert await table.lease_keys_of(ANN) == ("shardId-1", "shardId-2")
    assert await table.lease_keys_of("bob@0123abcd") == ()


async def test_a_dropped_table_is_missing_and_comes_back_as_another(memory: MemoryLeaseTable) -> None:
    table_id = await memory.prepare()
    await memory.create(FIRST)
    memory.drop()
    with pytest.raises(TableMissing):
        await memory.lease("shardId-1")
    assert (await memory.snapshot()).leases == ()
    assert await memory.prepare() != table_id
    assert await memory.lease("shardId-1") is None


async def test_foreign_things_can_be_put_beside_the_leases(memory: MemoryLeaseTable) -> None:
    memory.odd_rows["shardId-1"] = "no counter"
    memory.foreign_entries["Leader"] = "version-1"
    memory.legacy_tables = ("leases-CoordinatorState",)
    assert not await memory.create(FIRST)
    snapshot = await memory.snapshot()
    assert [row.key for row in snapshot.odd_rows] == ["shardId-1"]
    assert snapshot.foreign_entries == ("Leader",)
    assert snapshot.legacy_tables == ("leases-CoordinatorState",)
    assert await memory.foreign_pulse() == {"Leader": "version-1"}
