"""The lease table is throttled, loses answers, is tampered with; or the stream is another one."""

from collections.abc import Callable, Coroutine
from typing import Any

from kcl_py.local.faulty_lease_table import Fault, Operation
from tests.simulation.laws.history import worker_of
from tests.simulation.sabotage.scenes.scene import (
    FAILOVER_SECONDS,
    Scene,
    at_rest,
    part,
    recruit,
    scene,
    settled,
    slow,
    spoil,
    spoil_for,
    under_load,
)
from tests.simulation.simulation import Simulation


def throttled(*operations: Operation) -> Callable[[Simulation], Coroutine[Any, Any, None]]:
    """A table that throttles everybody for two failover times, the leader three seconds less."""

    async def play(fleet: Simulation) -> None:
        await settled(fleet, 3)
        leader = part(fleet, "leader")
        for worker in fleet.everybody:
            seconds = 2 * FAILOVER_SECONDS - 3 * (worker.name == leader)
            spoil_for(fleet, worker, seconds, "throttle", *operations)
        await under_load(fleet, 2 * FAILOVER_SECONDS + 20)
        await at_rest(fleet)

    return play


WRITES: tuple[Operation, ...] = ("write", "create", "delete", "write_session", "write_leader_lock")
throttled_writes = Scene(throttled(*WRITES), shards=6)


@scene(shards=3)
async def lost_answers(fleet: Simulation) -> None:
    """Answers of writes are lost now and then, while shards move and one is split."""
    await settled(fleet, 2)
    for worker in fleet.everybody:
        for nth in range(2, 60, 3):
            spoil(worker, "lose_answer", "write", nth=nth)
            spoil(worker, "lose_answer", "write_session", nth=nth)
    fleet.trouble("lose_answer", 90)
    recruit(fleet, "late")
    await under_load(fleet, 20)
    await fleet.split((await fleet.open_shards())[0])
    await under_load(fleet, 30)
    await fleet.leave("w0")
    await under_load(fleet, 30)
    for worker in fleet.everybody:
        worker.table.faults.clear()
    await at_rest(fleet)


@scene(shards=3)
async def lost_requests(fleet: Simulation) -> None:
    """Writes get lost on their way, while shards move and one is split."""
    await settled(fleet, 2)
    for worker in fleet.everybody:
        for nth in range(2, 60, 3):
            spoil(worker, "fail", "write", nth=nth)
            spoil(worker, "fail", "write_session", nth=nth)
    fleet.trouble("fail", 90)
    recruit(fleet, "late")
    await under_load(fleet, 20)
    await fleet.split((await fleet.open_shards())[0])
    await under_load(fleet, 30)
    await fleet.leave("w0")
    await under_load(fleet, 30)
    for worker in fleet.everybody:
        worker.table.faults.clear()
    await at_rest(fleet)


@scene(shards=4)
async def late_writes(fleet: Simulation) -> None:
    """A worker's lease writes and beats are done seconds late, longer than it takes to be declared dead."""
    await settled(fleet, 3)
    worker = fleet.workers["w1"]
    for nth in range(2, 30, 4):
        worker.table.faults.append(Fault(kind="delay", operation="write", nth=nth, seconds=14.0))
        worker.table.faults.append(Fault(kind="delay", operation="write_session", nth=nth, seconds=14.0))
    fleet.trouble("requests late", 60, "w1")
    await under_load(fleet, 60)
    worker.table.faults.clear()
    await under_load(fleet, 20)
    await at_rest(fleet)


@scene(shards=4)
async def cut_off(fleet: Simulation) -> None:
    """One worker does not reach the table for three failover times; its processors go on as long as they may."""
    await settled(fleet, 3)
    spoil_for(fleet, fleet.workers["w1"], 3 * FAILOVER_SECONDS, "fail")
    await under_load(fleet, 3 * FAILOVER_SECONDS + 15)
    await at_rest(fleet)


@scene(shards=4)
async def slow_beats(fleet: Simulation) -> None:
    """The answers to one worker's beats take seven seconds; then it does not reach the table any more."""
    await settled(fleet, 2)
    slow(fleet, 0.1)
    worker = fleet.workers["w1"]
    worker.table.faults.append(Fault(kind="delay_answer", operation="write_session", seconds=7.0))
    fleet.trouble("answers late", 60, "w1")
    await under_load(fleet, 22)
    spoil(worker, "fail")
    worker.table.faults.reverse()
    await under_load(fleet, 30)
    worker.table.faults.clear()
    slow(fleet, 0.0)
    await at_rest(fleet)


@scene(audit_seconds=10)
async def erased(fleet: Simulation) -> None:
    """An operator deletes rows: one whose holder lives, and one whose holder dies at the same time."""
    await settled(fleet, 3, shard_listing_interval_seconds=10.0)
    rows = await fleet.rows()
    held = {worker_of(row.held_by or ""): key for key, row in rows.items()}
    fleet.erase_row(held["w0"])
    await under_load(fleet, 10)
    fleet.erase_row(held["w1"])
    fleet.crash("w1")
    await under_load(fleet, 40)
    await fleet.leave("w0")
    await under_load(fleet, 20)
    await at_rest(fleet)


@scene(shards=2)
async def erased_again(fleet: Simulation) -> None:
    """An operator deletes a row while nobody runs, then under its holder, and again while nobody runs."""
    erased = (await fleet.open_shards())[0].shard_id
    for name in "abc":
        recruit(fleet, name)
        await under_load(fleet, 20)
        if name == "b":
            fleet.erase_row(erased)
            await under_load(fleet, 20)
        await fleet.leave(name)
        if name != "b":
            fleet.erase_row(erased)
    recruit(fleet, "d")
    await under_load(fleet, 20)
    await at_rest(fleet)


@scene(audit_seconds=10)
async def table_restored(fleet: Simulation) -> None:
    """The table is put back to an earlier state while workers use it, and another one starts."""
    await settled(fleet, 2, shard_listing_interval_seconds=10.0)
    await fleet.back_up_table()
    await under_load(fleet, 20)
    await fleet.restore_table()
    await under_load(fleet, 30)
    recruit(fleet, "late")
    await under_load(fleet, 30)


@scene(audit_seconds=10)
async def table_dropped(fleet: Simulation) -> None:
    """The table is deleted while workers use it, and another one starts."""
    await settled(fleet, 2, shard_listing_interval_seconds=10.0)
    fleet.drop_table()
    await under_load(fleet, 30)
    recruit(fleet, "late")
    await under_load(fleet, 30)


@scene(audit_seconds=10)
async def stream_replaced(fleet: Simulation) -> None:
    """The stream is deleted and made again while workers read it, and another one starts."""
    await settled(fleet, 2, shard_listing_interval_seconds=10.0)
    fleet.replace_stream(4)
    await under_load(fleet, 40)
    recruit(fleet, "late")
    await under_load(fleet, 30)
