"""What each write of the DynamoDB door requires and says, as it is sent."""

import json
import re
from typing import Any

import msgspec
import pytest

from kcl_py.core.checkpoint import SHARD_END, Checkpoint
from kcl_py.core.leadership import LeaderLock
from kcl_py.core.lease import Lease
from kcl_py.core.session import Session
from tests.aws.scripted_dynamodb import NOWHERE, Door, ScriptedDynamoDB

ANN, BOB, CAT = "ann@0123abcd", "bob@4567cdef", "cat@89abef01"
KEY = "shardId-1"
ROW = f'a leaseKey AND leaseOwner = "{ANN}" AND no checkpointOwner'
OWNERS = f'a leaseKey AND leaseOwner = "{BOB}" AND checkpointOwner = "{ANN}"'
HELD = Lease(key=KEY, owner=ANN, held_by=ANN, counter=7, checkpoint=Checkpoint("100"))
FINISHED = Lease(key=KEY, owner=BOB, checkpoint_owner=ANN, counter=7, checkpoint=SHARD_END)
LOCK = LeaderLock(owner=ANN, version="one", duration_ms=10_000, standby=BOB)
RENEWED = msgspec.structs.replace(LOCK, version="two")
TAKEN = LeaderLock(owner=CAT, version="two", duration_ms=5_000)
SESSION = Session(key=ANN, beat=3)


def sent(scripted: ScriptedDynamoDB) -> tuple[str, str, str]:
    """The one request: its operation, its condition and its update, with names and values in their places."""
    (request,) = scripted.requests
    body = json.loads(request.body)
    names = body.get("ExpressionAttributeNames", {})
    values = body.get("ExpressionAttributeValues", {})

    def spelt(expression: str) -> str:
        expression = re.sub(r"#\w+", lambda match: names[match[0]], expression)
        expression = re.sub(r":\w+", lambda match: json.dumps(*values[match[0]].values()), expression)
        expression = re.sub(r"attribute_not_exists \((\w+)\)", r"no \1", expression)
        expression = re.sub(r"attribute_exists \((\w+)\)", r"a \1", expression)
        return expression.replace("(", "").replace(")", "")

    assert body["TableName"] == "leases"
    update = spelt(body.get("UpdateExpression", ""))
    return scripted.operations[0], spelt(body["ConditionExpression"]), update


@pytest.fixture
def table(door: Door, scripted: ScriptedDynamoDB):
    for operation in ("PutItem", "UpdateItem", "DeleteItem"):
        scripted.answer(operation, {})
    return door(session=scripted.session, endpoint_url=NOWHERE)


@pytest.mark.parametrize(
    ("change", "condition", "update"),
    [
        (
            HELD.checkpointed(Checkpoint("200"), throughput_kbps=1.5),
            f'{ROW} AND leaseCounter = "7"',
            'SET leaseCounter = "8", checkpoint = "200", throughputKBps = "1.5"',
        ),
        (
            HELD.offered(BOB),
            f'{ROW} AND kclPyHeld = "{ANN}"',
            f'SET leaseOwner = "{BOB}", checkpointOwner = "{ANN}"',
        ),
    ],
)
async def test_a_row_is_guarded_by_its_counter_or_by_who_holds_it(
    table: Any, scripted: ScriptedDynamoDB, change: Any, condition: str, update: str
) -> None:
    await table.write(change)
    assert sent(scripted) == ("UpdateItem", condition, update)


async def test_a_row_that_nobody_holds_is_readdressed_while_nobody_holds_it(
    table: Any, scripted: ScriptedDynamoDB
) -> None:
    await table.write(msgspec.structs.replace(FINISHED, checkpoint=Checkpoint("1")).readdressed(CAT))
    assert sent(scripted) == (
        "UpdateItem",
        f"{OWNERS} AND no kclPyHeld",
        f'SET leaseOwner = "{CAT}"',
    )


async def test_a_row_is_deleted_if_it_is_as_seen_and_finished(table: Any, scripted: ScriptedDynamoDB) -> None:
    await table.delete(FINISHED)
    assert sent(scripted) == (
        "DeleteItem",
        f'{OWNERS} AND leaseCounter = "7" AND checkpoint = "SHARD_END"',
        "",
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, LOCK, ("PutItem", "no leaseKey", "")),
        (
            LOCK,
            RENEWED,
            (
                "UpdateItem",
                f'recordVersionNumber = "one" AND ownerName = "{ANN}"',
                'SET recordVersionNumber = "two", leaseDuration = "10000"',
            ),
        ),
        (
            LOCK,
            msgspec.structs.replace(RENEWED, standby=None, duration_ms=5_000),
            (
                "UpdateItem",
                f'recordVersionNumber = "one" AND ownerName = "{ANN}"',
                'SET leaseDuration = "5000", recordVersionNumber = "two" REMOVE kclPyStandby',
            ),
        ),
        (LOCK, TAKEN, ("PutItem", f'recordVersionNumber = "one" AND ownerName = "{ANN}"', "")),
        *(
            (
                msgspec.structs.replace(LOCK, is_released=True),
                after,
                ("PutItem", f'recordVersionNumber = "one" AND ownerName = "{ANN}" AND isReleased = "1"', ""),
            )
            for after in (TAKEN, RENEWED)
        ),
        (LOCK, None, ("DeleteItem", f'recordVersionNumber = "one" AND ownerName = "{ANN}"', "")),
    ],
)
async def test_the_lock_is_guarded_as_the_java_client_does_and_by_its_owner(
    table: Any,
    scripted: ScriptedDynamoDB,
    before: LeaderLock | None,
    after: LeaderLock | None,
    expected: tuple[str, str, str],
) -> None:
    await table.write_leader_lock(before, after)
    assert sent(scripted) == expected


async def test_a_lock_that_is_taken_is_written_whole(table: Any, scripted: ScriptedDynamoDB) -> None:
    await table.write_leader_lock(LOCK, TAKEN)
    assert json.loads(scripted.requests[0].body)["Item"] == {
        "leaseKey": {"S": "Leader"},
        "entityType": {"S": "LEADER"},
        "ownerName": {"S": CAT},
        "leaseDuration": {"S": "5000"},
        "recordVersionNumber": {"S": "two"},
    }


@pytest.mark.parametrize(
    ("before", "condition"),
    [
        (SESSION, 'kclPyBeat = "3" AND no kclPyRevoked'),
        (SESSION.revoked(), 'kclPyBeat = "3" AND kclPyRevoked = true'),
    ],
)
async def test_an_entry_is_guarded_by_its_beat_and_its_revocation(
    table: Any, scripted: ScriptedDynamoDB, before: Session, condition: str
) -> None:
    await table.write_session(before, None)
    assert sent(scripted) == ("DeleteItem", condition, "")


async def test_nothing_that_becomes_nothing_is_not_sent(table: Any, scripted: ScriptedDynamoDB) -> None:
    await table.write_leader_lock(None, None)
    await table.write_session(None, None)
    assert scripted.requests == []
