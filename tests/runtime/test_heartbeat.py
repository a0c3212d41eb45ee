"""The deadline that a beat earns counts from its first sending, whatever the answer took."""

import asyncio

import pytest

from kcl_py.local.faulty_lease_table import Fault, FaultyLeaseTable
from kcl_py.local.memory_lease_table import MemoryLeaseTable
from kcl_py.runtime.heartbeat import Heartbeat
from tests.virtual_time import run

FAILOVER_SECONDS = 10.0
EARNED_SECONDS = FAILOVER_SECONDS * 0.95
FAULTS = [
    Fault(kind="delay_answer", operation="write_session", times=1, seconds=4),
    Fault(kind="delay", operation="write_session", times=1, seconds=4),
    Fault(kind="fail", operation="write_session", times=3),
    Fault(kind="lose_answer", operation="write_session", times=1),
]


def make(table: FaultyLeaseTable, deadlines: list[float]) -> Heartbeat:
    return Heartbeat(
        table,
        worker_id="w1",
        process=None,
        failover_seconds=FAILOVER_SECONDS,
        clock=asyncio.get_running_loop().time,
        on_deadline=deadlines.append,
        on_trouble=lambda _: None,
    )


def copy(fault: Fault) -> Fault:
    return Fault(kind=fault.kind, operation=fault.operation, times=fault.times, seconds=fault.seconds)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind)
def test_a_beat_earns_nothing_for_the_time_that_its_answer_took(fault):
    async def story():
        deadlines: list[float] = []
        table = FaultyLeaseTable(MemoryLeaseTable(exists=True))
        heartbeat = make(table, deadlines)
        await heartbeat.join()
        table.faults.append(copy(fault))
        sent_at = asyncio.get_running_loop().time()
        await heartbeat.beat()
        assert asyncio.get_running_loop().time() > sent_at
        assert deadlines[-1] == pytest.approx(sent_at + EARNED_SECONDS)
        assert heartbeat.deadline == deadlines[-1]

    run(story())


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind)
def test_a_join_earns_nothing_for_the_time_that_its_answer_took(fault):
    async def story():
        deadlines: list[float] = []
        sent_at = asyncio.get_running_loop().time()
        await make(FaultyLeaseTable(MemoryLeaseTable(exists=True), [copy(fault)]), deadlines).join()
        assert asyncio.get_running_loop().time() > sent_at
        assert deadlines == [pytest.approx(sent_at + EARNED_SECONDS)]

    run(story())
