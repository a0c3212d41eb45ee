"""The lease table's door through pynamodb and botocore: every fault in every call, in virtual time."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from kcl_py.aws.lease_table import DynamoDBLeaseTable
from kcl_py.aws.table_life import TableOptions
from kcl_py.core.checkpoint import TRIM_HORIZON, Checkpoint
from kcl_py.core.leadership import LeaderLock
from kcl_py.core.lease import Lease
from kcl_py.core.session import Session
from kcl_py.core.table import TableSnapshot
from kcl_py.errors import ServiceUnavailable
from tests.sdk.furnished_table import ANN, BOB, DONE, LOCK, ROW, SESSION, STANDING, FurnishedTable, standing
from tests.sdk.wire import ERROR_OF_KIND, KINDS, SLOW_SECONDS, UNAPPLIED, Fault, Kind
from tests.virtual_time import run

NEW = Lease(key="shardId-2", checkpoint=TRIM_HORIZON)
JOINING = Session(key=BOB)
RENEWED = LeaderLock(owner=ANN, version="two", duration_ms=10_000)
TAKEN = LeaderLock(owner=BOB, version="two", duration_ms=10_000)
READ_TIMEOUT_SECONDS, CALL_TIMEOUT_SECONDS = 4.0, 8.0
SECONDS_MIN: dict[Kind, float] = {
    "slow": SLOW_SECONDS,
    "read timeout": READ_TIMEOUT_SECONDS,
    "request lost": READ_TIMEOUT_SECONDS,
    "dripping": CALL_TIMEOUT_SECONDS,
}
Call = Callable[[DynamoDBLeaseTable], Awaitable[object]]
CHECKPOINTED, OFFERED, ENDED = ROW.checkpointed(Checkpoint("200")), ROW.offered(BOB), ROW.ended(["shardId-2"])


WRITES: dict[str, tuple[str, Call, TableSnapshot]] = {
    "create": ("PutItem", lambda door: door.create(NEW), standing(leases=(DONE, ROW, NEW))),
    "checkpoint": ("UpdateItem", lambda door: door.write(CHECKPOINTED), standing(leases=(DONE, CHECKPOINTED.after))),
    "offer": ("UpdateItem", lambda door: door.write(OFFERED), standing(leases=(DONE, OFFERED.after))),
    "end": ("UpdateItem", lambda door: door.write(ENDED), standing(leases=(DONE, ENDED.after))),
    "delete": ("DeleteItem", lambda door: door.delete(DONE), standing(leases=(ROW,))),
    "join": ("PutItem", lambda door: door.write_session(None, JOINING), standing(sessions=(SESSION, JOINING))),
    "beat": (
        "UpdateItem",
        lambda door: door.write_session(SESSION, SESSION.beaten(9)),
        standing(sessions=(SESSION.beaten(9),)),
    ),
    "revoke": (
        "UpdateItem",
        lambda door: door.write_session(SESSION, SESSION.revoked()),
        standing(sessions=(SESSION.revoked(),)),
    ),
    "leave": ("DeleteItem", lambda door: door.write_session(SESSION, None), standing(sessions=())),
    "renew the lock": ("UpdateItem", lambda door: door.write_leader_lock(LOCK, RENEWED), standing(lock=RENEWED)),
    "take the lock": ("PutItem", lambda door: door.write_leader_lock(LOCK, TAKEN), standing(lock=TAKEN)),
    "delete the lock": ("DeleteItem", lambda door: door.write_leader_lock(LOCK, None), standing(lock=None)),
}
READS: dict[str, tuple[str, Call, object]] = {
    "row": ("GetItem", lambda door: door.lease(ROW.key), ROW),
    "entry": ("GetItem", lambda door: door.session(ANN), SESSION),
    "entries": ("BatchGetItem", lambda door: door.sessions([ANN, BOB]), (SESSION,)),
    "lock": ("GetItem", lambda door: door.leader_lock(), LOCK),
    "whole table": ("Scan", lambda door: door.snapshot(), STANDING),
    "index": ("Query", lambda door: door.lease_keys_of(ANN), (ROW.key,)),
    "pulse": ("Scan", lambda door: door.foreign_pulse(), {}),
}


async def suffer(call: Call, door: DynamoDBLeaseTable, fault: Fault) -> object:
    """Make a call that the fault strikes once; its answer, if there is one. It must fail as it should, and in time."""
    began = asyncio.get_running_loop().time()
    expected, answer = ERROR_OF_KIND[fault.kind], None
    if expected is None:
        answer = await call(door)
    else:
        with pytest.raises(expected) as caught:
            await call(door)
        assert type(caught.value) is expected
    passed = asyncio.get_running_loop().time() - began
    at_least = SECONDS_MIN.get(fault.kind, 0)
    assert at_least <= passed < at_least + 0.1
    assert fault.hits == fault.matches == 1, "the SDK tried again by itself"
    return answer


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", WRITES)
def test_what_became_of_a_write_is_what_a_consistent_read_says(
    table: FurnishedTable, name: str, kind: Kind, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    operation, write, applied = WRITES[name]

    async def story():
        fault = Fault(kind=kind, operations=frozenset({operation}))
        table.dynamodb.wire.faults.append(fault)
        await suffer(write, table.door, fault)
        assert await table.door.snapshot() == (STANDING if kind in UNAPPLIED else applied)

    run(story())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", READS)
def test_a_read_says_what_stands_there_or_fails(table: FurnishedTable, name: str, kind: Kind):
    operation, read, expected = READS[name]

    async def story():
        fault = Fault(kind=kind, operations=frozenset({operation}))
        table.dynamodb.wire.faults.append(fault)
        answer = await suffer(read, table.door, fault)
        assert answer == (None if ERROR_OF_KIND[kind] else expected)
        assert await read(table.door) == expected

    run(story())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("operation", ["DescribeTable", "CreateTable"])
def test_a_table_is_made_once_whatever_becomes_of_the_first_attempt(table: FurnishedTable, operation: str, kind: Kind):
    dynamodb = table.dynamodb

    async def story():
        fault = Fault(kind=kind, operations=frozenset({operation}))
        dynamodb.wire.faults.append(fault)
        door = dynamodb.door("other")
        with pytest.raises(ERROR_OF_KIND[kind] or AssertionError):
            await door.prepare()
            raise AssertionError("prepared")
        await door.prepare()
        await door.equip()
        assert await door.create(NEW)
        assert await door.snapshot() == TableSnapshot(leases=(NEW,))
        attempts = 1 + (operation == "CreateTable" and kind in UNAPPLIED)
        assert dynamodb.wire.sent.count("CreateTable") == attempts
        await door.close()

    run(story())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("operation", ["UpdateTable", "UpdateContinuousBackups"])
def test_a_table_is_equipped_once_whatever_becomes_of_the_first_attempt(
    table: FurnishedTable, operation: str, kind: Kind
):
    dynamodb = table.dynamodb

    async def story():
        dynamodb.create_bare("other")
        fault = Fault(kind=kind, operations=frozenset({operation}))
        dynamodb.wire.faults.append(fault)
        door = dynamodb.door("other", options=TableOptions(point_in_time_recovery=True))
        await door.prepare()
        with pytest.raises(ERROR_OF_KIND[kind] or AssertionError):
            await door.equip()
            raise AssertionError("equipped")
        await door.prepare()  # as a worker does that tries again
        await door.equip()
        await door.create(ROW)
        assert await door.lease_keys_of(ANN) == (ROW.key,)
        assert dynamodb.wire.sent[-1] == "Query", "the index answers"
        attempts = 1 + (operation == "UpdateTable" and kind in UNAPPLIED)
        assert dynamodb.wire.sent.count("UpdateTable") == attempts
        assert dynamodb.is_recoverable("other")
        await door.close()

    run(story())


@pytest.mark.parametrize("kind", ["answer lost", "garbled", "cut off", "empty"])
@pytest.mark.parametrize("name", WRITES)
def test_a_refusal_that_was_lost_or_spoilt_is_no_answer(table: FurnishedTable, name: str, kind: Kind):
    operation, write, applied = WRITES[name]

    async def story():
        await write(table.door)
        table.dynamodb.wire.faults.append(Fault(kind=kind, operations=frozenset({operation})))
        with pytest.raises(ServiceUnavailable):
            await write(table.door)
        assert await table.door.snapshot() == applied

    run(story())


def test_a_quarter_of_an_hour_of_trouble_takes_no_time_and_no_thread(table: FurnishedTable):
    async def story():
        table.dynamodb.wire.faults.append(Fault(kind="dripping", times=None))
        for _ in range(100):
            with pytest.raises(ServiceUnavailable):
                await table.door.lease(ROW.key)
        table.dynamodb.wire.faults.clear()
        assert await table.door.lease(ROW.key) == ROW
        assert asyncio.get_running_loop().time() > 1_000 + 100 * CALL_TIMEOUT_SECONDS

    before = set(threading.enumerate())
    run(story())
    assert set(threading.enumerate()) == before
