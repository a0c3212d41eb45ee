"""No write of the lease table lands on what is not as it was seen: each condition by itself."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
import pytest

from kcl_py.aws.lease_table import DynamoDBLeaseTable
from kcl_py.core.checkpoint import TRIM_HORIZON, Checkpoint
from kcl_py.core.leadership import LeaderLock
from kcl_py.core.lease import Change, Lease
from kcl_py.core.session import Session
from kcl_py.errors import ConditionFailed
from tests.sdk.furnished_table import ANN, BOB, DONE, LOCK, ROW, SESSION, FurnishedTable
from tests.virtual_time import run

CAT = "cat@89abef01"
GIVEN = Lease(key="shardId-5", owner=BOB, checkpoint_owner=ANN, held_by=ANN, counter=4, checkpoint=Checkpoint("1"))
ASSIGNED = Lease(key="shardId-6", owner=BOB, counter=4, checkpoint=Checkpoint("1"))
UNHELD = msgspec.structs.replace(GIVEN, key="shardId-7", held_by=None)
FREE = Lease(key="shardId-8", counter=4, checkpoint=Checkpoint("1"))
BESIDE_NOBODY = msgspec.structs.replace(FREE, owner=CAT)
REVOKED = Session(key=BOB, beat=5, is_revoked=True)
RELEASED = msgspec.structs.replace(LOCK, is_released=True)
RENEWED = LeaderLock(owner=ANN, version="two", duration_ms=10_000)
TAKEN = LeaderLock(owner=BOB, version="two", duration_ms=10_000)
Attributes = dict[str, Any]  # None: the attribute is taken away
GONE: Attributes = {}

ANOTHER_OWNER = {"leaseOwner": {"S": CAT}}
NO_OWNER = {"leaseOwner": None}
A_GIVER = {"checkpointOwner": {"S": CAT}}
NO_GIVER = {"checkpointOwner": None}
ANOTHER_COUNTER = {"leaseCounter": {"N": "77"}}
ANOTHER_HOLDER = {"kclPyHeld": {"S": CAT}}
NO_HOLDER = {"kclPyHeld": None}
ANOTHER_BEAT = {"kclPyBeat": {"N": "77"}}
MARKED = {"kclPyRevoked": {"BOOL": True}}
UNMARKED = {"kclPyRevoked": None}
ANOTHER_VERSION = {"recordVersionNumber": {"S": "nine"}}
ANOTHER_LEADER = {"ownerName": {"S": CAT}}
TAKEN_BACK = {"isReleased": None}


class Write(NamedTuple):
    """A write, and each thing that, if somebody else did it first, must keep the write from landing."""

    key: str
    call: Callable[[DynamoDBLeaseTable], Awaitable[object]]
    obstacles: tuple[Attributes, ...]


WRITES = {
    "checkpoint": Write(
        ROW.key,
        lambda door: door.write(ROW.checkpointed(Checkpoint("200"))),
        (ANOTHER_OWNER, NO_OWNER, A_GIVER, ANOTHER_COUNTER, GONE),
    ),
    "checkpoint of a giver": Write(
        GIVEN.key,
        lambda door: door.write(GIVEN.handed_over()),
        (ANOTHER_OWNER, NO_OWNER, A_GIVER, NO_GIVER, ANOTHER_COUNTER, GONE),
    ),
    "assignment of what nobody has": Write(
        DONE.key, lambda door: door.write(DONE.assigned(CAT)), (ANOTHER_OWNER, A_GIVER, ANOTHER_COUNTER, GONE)
    ),
    "pick-up": Write(
        ASSIGNED.key,
        lambda door: door.write(ASSIGNED.released()),
        (ANOTHER_OWNER, NO_OWNER, A_GIVER, ANOTHER_COUNTER, GONE),
    ),
    "start of a hand-off": Write(
        ROW.key,
        lambda door: door.write(ROW.offered(BOB)),
        (ANOTHER_OWNER, NO_OWNER, A_GIVER, ANOTHER_HOLDER, NO_HOLDER, GONE),
    ),
    "another receiver": Write(
        GIVEN.key,
        lambda door: door.write(GIVEN.readdressed(CAT)),
        (ANOTHER_OWNER, NO_OWNER, A_GIVER, NO_GIVER, ANOTHER_HOLDER, NO_HOLDER, GONE),
    ),
    "another receiver of what nobody holds": Write(
        UNHELD.key,
        lambda door: door.write(UNHELD.readdressed(CAT)),
        (ANOTHER_OWNER, NO_OWNER, A_GIVER, NO_GIVER, ANOTHER_HOLDER, GONE),
    ),
    "change of what nobody has, and that asks for no counter": Write(  # only that the row is there can tell
        FREE.key, lambda door: door.write(Change(FREE, BESIDE_NOBODY, is_counter_free=True)), (ANOTHER_OWNER, GONE)
    ),
    "deletion": Write(
        DONE.key,
        lambda door: door.delete(DONE),
        (ANOTHER_OWNER, A_GIVER, ANOTHER_COUNTER, {"checkpoint": {"S": "100"}}, {"checkpoint": None}, GONE),
    ),
    "beat": Write(ANN, lambda door: door.write_session(SESSION, SESSION.beaten(1)), (ANOTHER_BEAT, MARKED, GONE)),
    "revocation": Write(ANN, lambda door: door.write_session(SESSION, SESSION.revoked()), (ANOTHER_BEAT, MARKED, GONE)),
    "deletion of one's entry": Write(ANN, lambda door: door.write_session(SESSION, None), (ANOTHER_BEAT, MARKED, GONE)),
    "deletion of a dead entry": Write(
        BOB, lambda door: door.write_session(REVOKED, None), (ANOTHER_BEAT, UNMARKED, GONE)
    ),
    "renewal of the lock": Write(
        "Leader", lambda door: door.write_leader_lock(LOCK, RENEWED), (ANOTHER_VERSION, ANOTHER_LEADER, GONE)
    ),
    "taking of the lock": Write(
        "Leader", lambda door: door.write_leader_lock(LOCK, TAKEN), (ANOTHER_VERSION, ANOTHER_LEADER, GONE)
    ),
    "deletion of the lock": Write(
        "Leader", lambda door: door.write_leader_lock(LOCK, None), (ANOTHER_VERSION, ANOTHER_LEADER, GONE)
    ),
}
OF_RELEASED_LOCK = {
    "taking of a released lock": Write(
        "Leader",
        lambda door: door.write_leader_lock(RELEASED, TAKEN),
        (ANOTHER_VERSION, ANOTHER_LEADER, TAKEN_BACK, GONE),
    ),
    "deletion of a released lock": Write(
        "Leader",
        lambda door: door.write_leader_lock(RELEASED, None),
        (ANOTHER_VERSION, ANOTHER_LEADER, TAKEN_BACK, GONE),
    ),
}
CREATIONS: dict[str, Callable[[DynamoDBLeaseTable], Awaitable[object]]] = {
    "session": lambda door: door.write_session(None, Session(key=ANN)),
    "lock": lambda door: door.write_leader_lock(None, TAKEN),
    "row": lambda door: door.create(Lease(key=ROW.key, checkpoint=TRIM_HORIZON)),
}


def cases(writes: dict[str, Write]) -> list[Any]:
    """Each write with each of its obstacles."""
    return [
        pytest.param(write, obstacle, id=f"{name}-" + (" ".join(f"{k}={v}" for k, v in obstacle.items()) or "gone"))
        for name, write in writes.items()
        for obstacle in write.obstacles
    ]


@pytest.fixture
def door(table: FurnishedTable) -> DynamoDBLeaseTable:
    """The table has more rows than usual."""

    async def furnish() -> None:
        for lease in (GIVEN, ASSIGNED, UNHELD, FREE):
            assert await table.door.create(lease)
        await table.door.write_session(None, Session(key=BOB, beat=5))
        await table.door.write_session(Session(key=BOB, beat=5), REVOKED)

    run(furnish())
    return table.door


@pytest.mark.parametrize(("write", "obstacle"), cases(WRITES))
def test_a_write_changes_nothing_if_one_thing_is_not_as_it_was_seen(
    table: FurnishedTable, door: DynamoDBLeaseTable, write: Write, obstacle: Attributes
):
    run(refused(table, write, obstacle))


@pytest.mark.parametrize(("write", "obstacle"), cases(OF_RELEASED_LOCK))
def test_a_lock_that_was_released_is_not_taken_once_it_is_held_again(
    table: FurnishedTable, write: Write, obstacle: Attributes
):
    table.dynamodb.tamper("Leader", {"isReleased": {"S": "1"}})
    run(refused(table, write, obstacle))


async def refused(table: FurnishedTable, write: Write, obstacle: Attributes) -> None:
    """The write lands as it is meant, and not if somebody else was there first."""
    meant = table.dynamodb.remembered()
    await write.call(table.door)
    table.dynamodb.recall(meant)
    table.dynamodb.tamper(write.key, obstacle)
    before = await table.door.snapshot()
    with pytest.raises(ConditionFailed):
        await write.call(table.door)
    assert await table.door.snapshot() == before


@pytest.mark.parametrize("name", CREATIONS)
def test_what_stands_there_is_not_created_again(table: FurnishedTable, name: str):
    async def story():
        before = await table.door.snapshot()
        if name == "row":
            assert not await CREATIONS[name](table.door)
        else:
            with pytest.raises(ConditionFailed):
                await CREATIONS[name](table.door)
        assert await table.door.snapshot() == before

    run(story())


@pytest.mark.parametrize("name", ["start of a hand-off", "another receiver"])
def test_what_happens_beside_the_holder_does_not_ask_how_often_it_wrote(
    table: FurnishedTable, door: DynamoDBLeaseTable, name: str
):
    write = WRITES[name]
    table.dynamodb.tamper(write.key, ANOTHER_COUNTER)

    async def story():
        await write.call(door)
        row = await door.lease(write.key)
        assert row is not None
        assert row.counter == 77, "the holder's next write must find its own counter"

    run(story())
