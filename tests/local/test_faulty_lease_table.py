"""The fault wrapper does what its rules say, to the calls that they name."""

import asyncio

import pytest

from kcl_py.core.checkpoint import TRIM_HORIZON
from kcl_py.core.lease import Lease
from kcl_py.core.session import Session
from kcl_py.errors import ServiceUnavailable, TableMissing, Throttled
from kcl_py.local.faulty_lease_table import Fault, FaultyLeaseTable
from kcl_py.local.memory_lease_table import MemoryLeaseTable

ANN = "ann@0123abcd"
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
    assert table.calls == [
        ("prepare", None),
        ("create", "shardId-1"),
        ("write_session", ANN),
        ("lease", "shardId-1"),
        ("session", ANN),
        ("snapshot", None),
        ("foreign_pulse", None),
        ("lease_keys_of", ANN),
    ]


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
