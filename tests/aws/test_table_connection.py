"""Which of a lease table's calls waits for which, and from when on a call's time counts."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from pynamodb.connection.base import Connection

from kcl_py.aws.lane import Lane
from kcl_py.aws.table_connection import TableConnection
from kcl_py.aws.table_life import INDEX
from kcl_py.core.checkpoint import SHARD_END
from kcl_py.core.leadership import LeaderLock
from kcl_py.core.lease import Lease
from kcl_py.core.session import Session
from kcl_py.errors import ServiceUnavailable
from tests.aws.gate import GIVE_UP_SECONDS, Gate
from tests.aws.scripted_dynamodb import NOWHERE, Door, ScriptedDynamoDB

SESSION = Session(key="ann@0123abcd")
LOCK = LeaderLock(owner=SESSION.key, version="a", duration_ms=10_000)
LEASE = Lease(key="shardId-000000000000", owner=SESSION.key, checkpoint=SHARD_END)


def held_at(gate: Gate, answer: dict[str, Any]) -> Callable[[object], dict[str, Any]]:
    """Gives the answer once the gate is open."""

    def held(_: object) -> dict[str, Any]:
        gate.pass_through()
        return answer

    return held


@pytest.fixture
async def one_thread(gate: Gate) -> AsyncIterator[TableConnection]:
    """A connection with one thread for what is not about sessions, and little time for a call."""
    with ThreadPoolExecutor(1) as executor:
        connection = TableConnection("leases", region="eu-west-1", executor=executor, call_timeout_seconds=0.2)
        yield connection
        gate.open()
        await connection.close()


async def test_what_is_about_sessions_and_the_lock_goes_ahead_of_a_queue_of_checkpoints(
    door: Door, scripted: ScriptedDynamoDB, gate: Gate
) -> None:
    for operation in ("PutItem", "UpdateItem", "DeleteItem", "GetItem"):
        scripted.answer(operation, {})
    table = door(session=scripted.session, endpoint_url=NOWHERE)
    queue = [asyncio.create_task(table._connection.call("UpdateItem", gate.pass_through)) for _ in range(500)]
    await gate.hold(Lane.ROW.threads_max)
    await table.write_session(None, SESSION)
    await table.write_session(SESSION, SESSION.beaten(1))
    await table.write_session(SESSION.beaten(1), None)
    assert await table.session(SESSION.key) is None
    await table.write_leader_lock(None, LOCK)
    await table.write_leader_lock(LOCK, msgspec.structs.replace(LOCK, version="b"))
    await table.write_leader_lock(LOCK, msgspec.structs.replace(LOCK, owner="bob@4567cdef"))
    await table.write_leader_lock(LOCK, None)
    assert await table.leader_lock() is None
    assert scripted.operations == [
        *("PutItem", "UpdateItem", "DeleteItem", "GetItem"),
        *("PutItem", "UpdateItem", "PutItem", "DeleteItem", "GetItem"),
    ]
    assert not any(call.done() for call in queue)
    gate.open()
    await asyncio.gather(*queue)


async def test_checkpoints_go_ahead_of_whatever_is_read_in_bulk(
    door: Door, scripted: ScriptedDynamoDB, gate: Gate
) -> None:
    for operation in ("PutItem", "UpdateItem", "DeleteItem", "GetItem"):
        scripted.answer(operation, {})
    for operation, answer in (("Scan", {"Items": []}), ("BatchGetItem", {"Responses": {}}), ("Query", {"Items": []})):
        scripted.answer_by(operation, held_at(gate, answer))
    scripted.answer("DescribeTable", {"Table": {"GlobalSecondaryIndexes": [{"IndexName": INDEX}]}})
    table = door(session=scripted.session, endpoint_url=NOWHERE)
    table._legacy_tables = ()
    keys = [f"worker-{number}@0123abcd" for number in range(1000)]
    queue = [asyncio.create_task(reading) for reading in (table.snapshot(), table.lease_keys_of("a"))]
    queue += [asyncio.create_task(table.sessions(keys)) for _ in range(10)]
    await gate.hold(Lane.BULK.threads_max)
    await table.create(LEASE)
    await table.write(LEASE.released())
    assert await table.lease(LEASE.key) is None
    await table.delete(LEASE)
    assert [
        operation for operation in scripted.operations if operation.endswith("Item") and "Batch" not in operation
    ] == [
        "PutItem",
        "UpdateItem",
        "GetItem",
        "DeleteItem",
    ]
    assert not any(reading.done() for reading in queue)
    gate.open()
    await asyncio.gather(*queue)


async def test_a_beat_that_hangs_leaves_a_thread_for_the_next(gate: Gate) -> None:
    connection = TableConnection("leases", region="eu-west-1", call_timeout_seconds=0.2)
    with pytest.raises(ServiceUnavailable):
        await connection.call("UpdateItem", gate.pass_through, lane=Lane.SESSION)
    assert await connection.call("UpdateItem", lambda _: "landed", lane=Lane.SESSION) == "landed"
    gate.open()
    await connection.close()


async def test_a_beat_is_given_up_in_time_though_every_thread_hangs(gate: Gate) -> None:
    connection = TableConnection("leases", region="eu-west-1", call_timeout_seconds=0.2)
    beats = [
        connection.call("UpdateItem", gate.pass_through, lane=Lane.SESSION) for _ in range(Lane.SESSION.threads_max + 1)
    ]
    outcomes = await asyncio.gather(*beats, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ServiceUnavailable] * len(beats)
    gate.open()
    await connection.close()


class TestACallThatWaitsForAThread:
    async def test_has_all_its_time_still_when_it_gets_one(self, one_thread: TableConnection, gate: Gate) -> None:
        first = asyncio.create_task(one_thread.call("UpdateItem", gate.pass_through))
        second = asyncio.create_task(one_thread.call("UpdateItem", lambda _: "landed"))
        with pytest.raises(ServiceUnavailable, match="TimeoutError"):
            await first
        assert not second.done()  # though it was called when the first was, whose time is up
        gate.open()
        assert await second == "landed"

    async def test_is_still_given_up_if_it_then_hangs(self, one_thread: TableConnection, gate: Gate) -> None:
        hanging = Gate()
        first = asyncio.create_task(one_thread.call("UpdateItem", gate.pass_through))
        second = asyncio.create_task(one_thread.call("UpdateItem", hanging.pass_through))
        with pytest.raises(ServiceUnavailable):
            await first
        gate.open()
        with pytest.raises(ServiceUnavailable):
            await second
        hanging.open()

    async def test_is_not_made_once_it_is_cancelled(self, one_thread: TableConnection, gate: Gate) -> None:
        made: list[str] = []
        first = asyncio.create_task(one_thread.call("UpdateItem", gate.pass_through))
        waiting = asyncio.create_task(one_thread.call("UpdateItem", lambda _: made.append("cancelled")))
        await gate.hold(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.open()
        await asyncio.wait([first])
        await one_thread.call("UpdateItem", lambda _: made.append("next"))
        assert made == ["next"]

    async def test_may_be_cancelled_just_when_it_gets_one(
        self, one_thread: TableConnection, gate: Gate, caplog: pytest.LogCaptureFixture
    ) -> None:
        late = Gate()
        first = asyncio.create_task(one_thread.call("UpdateItem", gate.pass_through))
        waiting = asyncio.create_task(one_thread.call("UpdateItem", late.pass_through))
        await gate.hold(1)
        waiting.cancel()
        gate.open()
        assert late.arrived.acquire(timeout=GIVE_UP_SECONDS)  # before the loop, held up here, takes it off the queue
        with pytest.raises(asyncio.CancelledError):
            await waiting
        late.open()
        await asyncio.wait([first])
        assert caplog.messages == []


async def test_a_connection_that_is_closed_leaves_no_thread_of_its_own() -> None:
    connection = TableConnection("leases", region="eu-west-1")
    threads: list[threading.Thread] = []

    def note(_: Connection) -> None:
        threads.append(threading.current_thread())

    for lane in Lane:
        await connection.call("GetItem", note, lane=lane)
    await connection.close()
    assert len(set(threads)) == len(Lane)
    assert not any(thread.is_alive() for thread in threads)


async def test_what_takes_long_is_done_beside_the_loop_where_no_beat_waits_for_it() -> None:
    connection = TableConnection("leases", region="eu-west-1")
    loop_goes_on = asyncio.Event()
    loop = asyncio.get_running_loop()

    def work() -> str:
        loop.call_soon_threadsafe(loop_goes_on.set)
        asyncio.run_coroutine_threadsafe(loop_goes_on.wait(), loop).result(GIVE_UP_SECONDS)
        return threading.current_thread().name

    assert (await connection.aside(work)).startswith("kcl_py-bulk")
    await connection.close()
