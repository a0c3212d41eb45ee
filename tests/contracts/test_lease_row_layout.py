"""What stands in a DynamoDB lease table, seen with plain boto3, and how it gets on with what others put there.

Runs on our local endpoint and on AWS's DynamoDBLocal. Section numbers are those of the protocol reference.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from kcl_py.aws.lease_table import DynamoDBLeaseTable
from kcl_py.core.checkpoint import TRIM_HORIZON, Checkpoint
from kcl_py.core.lease import Binding, Change, Lease
from kcl_py.core.session import Process, Session
from kcl_py.core.shard import HASH_KEY_MAX, HashRange
from kcl_py.errors import ConditionFailed, TableError
from tests.dynamodb_services import DynamoDBTable

KEY = "shardId-000000000001"
ANN = "ann@0123abcd"
BINDING = Binding("arn:aws:kinesis:eu-west-1:123456789012:stream/orders@1700000000", "billing", "table-id")
NEW = Lease(
    key=KEY,
    checkpoint=TRIM_HORIZON,
    hash_range=HashRange(0, HASH_KEY_MAX),
    parent_shard_ids=("shardId-000000000000",),
)
NEW_ITEM: dict[str, dict[str, Any]] = {
    "leaseKey": {"S": KEY},
    "leaseCounter": {"N": "0"},
    "ownerSwitchesSinceCheckpoint": {"N": "0"},
    "checkpoint": {"S": "TRIM_HORIZON"},
    "checkpointSubSequenceNumber": {"N": "0"},
    "parentShardId": {"SS": ["shardId-000000000000"]},
    "startingHashKey": {"S": "0"},
    "endingHashKey": {"S": "340282366920938463463374607431768211455"},
    "entityType": {"S": "LEASE"},
}
BINDING_ITEM = {
    "kclPyStream": {"S": BINDING.stream},
    "kclPyApplication": {"S": "billing"},
    "kclPyTable": {"S": "table-id"},
}


@pytest.fixture
async def table(dynamodb_table: DynamoDBTable) -> DynamoDBLeaseTable:
    door = dynamodb_table.door()
    await door.prepare()
    return door


class TestTheLayout:
    """Section 1.1, read back with plain boto3."""

    async def test_of_a_new_row_is_that_of_kcl_3_5(
        self, dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable
    ) -> None:
        await table.create(NEW)
        assert dynamodb_table.item(KEY) == NEW_ITEM

    async def test_of_a_held_row_adds_the_owner_and_private_attributes(
        self, dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable
    ) -> None:
        await table.create(NEW)
        await table.write(NEW.picked_up(ANN, BINDING))
        assert dynamodb_table.item(KEY) == NEW_ITEM | BINDING_ITEM | {
            "leaseCounter": {"N": "1"},
            "leaseOwner": {"S": ANN},
            "kclPyHeld": {"S": ANN},
        }

    async def test_of_a_checkpoint_is_a_number_and_a_sub_sequence_number(
        self, dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable
    ) -> None:
        await table.create(NEW)
        prepared = NEW.prepared(Checkpoint("200", 7), b"\x00state")
        await table.write(prepared)
        assert dynamodb_table.item(KEY) == NEW_ITEM | {
            "leaseCounter": {"N": "1"},
            "pendingCheckpoint": {"S": "200"},
            "pendingCheckpointSubSequenceNumber": {"N": "7"},
            "pendingCheckpointState": {"B": b"\x00state"},
        }
        await table.write(prepared.after.checkpointed(Checkpoint("200", 7)))
        assert dynamodb_table.item(KEY) == NEW_ITEM | {
            "leaseCounter": {"N": "2"},
            "checkpoint": {"S": "200"},
            "checkpointSubSequenceNumber": {"N": "7"},
        }

    async def test_of_a_finished_row_names_its_children(
        self, dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable
    ) -> None:
        await table.create(NEW)
        await table.write(NEW.ended(["shardId-000000000003", "shardId-000000000002"]))
        item = dynamodb_table.item(KEY)
        assert sorted(item.pop("childShardIds")["SS"]) == ["shardId-000000000002", "shardId-000000000003"]
        assert item == NEW_ITEM | {"leaseCounter": {"N": "1"}, "checkpoint": {"S": "SHARD_END"}}

    async def test_of_a_released_row_has_no_owner_at_all(
        self, dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable
    ) -> None:
        await table.create(NEW)
        held = NEW.picked_up(ANN, BINDING)
        await table.write(held)
        await table.write(held.after.released())
        assert dynamodb_table.item(KEY) == NEW_ITEM | BINDING_ITEM | {"leaseCounter": {"N": "2"}}

    async def test_of_a_session_is_a_worker_entry_without_metrics(
        self, dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable
    ) -> None:
        """Section 1.3: the maps must be there, though empty, for a Java leader to count the worker as alive."""
        process = Process(boot_id="2f1c", pid_namespace="4026531836", pid=17, started_ticks=12345)
        session = Session(key=ANN, process=process, updated_at_seconds=1_700_000_000)
        await table.write_session(None, session)
        item: dict[str, dict[str, Any]] = {
            "leaseKey": {"S": ANN},
            "entityType": {"S": "WORKER_METRIC_STATS"},
            "lut": {"N": "1700000000"},
            "sts": {"M": {}},
            "opr": {"M": {}},
            "sup": {"N": "1"},
            "slu": {"N": "1700000000"},
            "kclPyBeat": {"N": "0"},
            "kclPyProtocol": {"N": "1"},
            "kclPyProcess": {
                "M": {
                    "bootId": {"S": "2f1c"},
                    "pidNamespace": {"S": "4026531836"},
                    "pid": {"N": "17"},
                    "startedTicks": {"N": "12345"},
                }
            },
        }
        assert dynamodb_table.item(ANN) == item
        beaten = session.beaten(1_700_000_003)
        await table.write_session(session, beaten)
        await table.write_session(beaten, beaten.leaving().revoked())
        assert dynamodb_table.item(ANN) == item | {
            "lut": {"N": "1700000003"},
            "slu": {"N": "1700000003"},
            "kclPyBeat": {"N": "1"},
            "kclPyLeaving": {"BOOL": True},
            "kclPyRevoked": {"BOOL": True},
        }


class TestForeignAttributes:
    FOREIGN: ClassVar[dict[str, dict[str, Any]]] = {
        "futureNumber": {"N": "0.016799"},
        "futureMap": {"M": {"a": {"L": [{"NULL": True}, {"BS": [b"x"]}]}}},
        "futureText": {"S": ""},
    }

    async def test_of_a_row_survive_every_write(self, dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable) -> None:
        await table.create(NEW)
        dynamodb_table.set(KEY, **self.FOREIGN)
        row = NEW
        transitions: list[Callable[[Lease], Change]] = [
            lambda row: row.picked_up(ANN, BINDING),
            lambda row: row.prepared(Checkpoint("100"), b"state"),
            lambda row: row.checkpointed(Checkpoint("100")),
            lambda row: row.caught_up(1),
            lambda row: row.released(),
            lambda row: row.bound(BINDING),
            lambda row: row.ended(["shardId-000000000002"]),
        ]
        for transition in transitions:
            change = transition(row)
            await table.write(change)
            row = change.after
            item = dynamodb_table.item(KEY)
            assert {name: item[name] for name in self.FOREIGN} == self.FOREIGN
        assert await table.lease(KEY) == row

    async def test_of_an_entry_survive_every_beat(
        self, dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable
    ) -> None:
        session = Session(key=ANN)
        await table.write_session(None, session)
        dynamodb_table.set(ANN, **self.FOREIGN)
        await table.write_session(session, session.beaten(3))
        item = dynamodb_table.item(ANN)
        assert {name: item[name] for name in self.FOREIGN} == self.FOREIGN

    async def test_that_a_write_does_not_change_are_not_written(
        self, dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable
    ) -> None:
        """An attribute of ours that an outsider set stays unless the change is about it."""
        await table.create(NEW)
        outside: dict[str, dict[str, Any]] = {
            "childShardIds": {"SS": ["shardId-000000000009"]},
            "kclPyStartAt": {"N": "5"},
        }
        dynamodb_table.set(KEY, **outside)
        await table.write(NEW.picked_up(ANN, BINDING).with_checkpoint(Checkpoint("100")))
        item = dynamodb_table.item(KEY)
        assert {name: item[name] for name in outside} == outside


class TestOddRows:
    async def test_hide_no_others_and_are_reported(
        self, dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable
    ) -> None:
        await table.create(NEW)
        await table.write_session(None, Session(key=ANN))
        odd = {
            "a-checkpoint": NEW_ITEM | {"checkpoint": {"S": "somewhere"}},
            "b-counter": {name: value for name, value in NEW_ITEM.items() if name != "leaseCounter"},
            "c-range": NEW_ITEM | {"startingHashKey": {"S": "9"}, "endingHashKey": {"S": "3"}},
            "d-beat": {"entityType": {"S": "WORKER_METRIC_STATS"}, "kclPyBeat": {"S": "often"}},
        }
        for key, item in odd.items():
            dynamodb_table.put(item | {"leaseKey": {"S": key}})
        snapshot = await table.snapshot()
        assert snapshot.leases == (NEW,)
        assert snapshot.sessions == (Session(key=ANN),)
        assert [row.key for row in snapshot.odd_rows] == list(odd)
        assert [row.reason.split()[0] for row in snapshot.odd_rows] == [
            "checkpoint",
            "leaseCounter",
            "the",
            "kclPyBeat",
        ]

    async def test_are_refused_one_by_one(self, dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable) -> None:
        dynamodb_table.put(NEW_ITEM | {"leaseCounter": {"N": "-1"}})
        dynamodb_table.put({"leaseKey": {"S": "w1"}, "entityType": {"S": "WORKER_METRIC_STATS"}, "lut": {"N": "1"}})
        with pytest.raises(TableError, match=r"shardId-000000000001.*leaseCounter"):
            await table.lease(KEY)
        with pytest.raises(TableError, match="w1"):
            await table.session("w1")

    async def test_are_not_overwritten(self, dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable) -> None:
        item = {"leaseKey": {"S": KEY}, "note": {"S": "hands off"}}
        dynamodb_table.put(item)
        assert not await table.create(NEW)
        with pytest.raises(ConditionFailed):
            await table.write_session(None, Session(key=KEY))
        assert dynamodb_table.item(KEY) == item
