"""The leader lock in a DynamoDB table, seen with plain boto3, and how it gets on with the Java lock client.

Runs on our local endpoint and on AWS's DynamoDBLocal. Section numbers are those of the protocol reference.
"""

import json
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from kcl_py.aws.lease_table import DynamoDBLeaseTable
from kcl_py.core.leadership import LeaderLock
from kcl_py.core.session import Session
from kcl_py.errors import ConditionFailed, RowUnreadable
from tests.dynamodb_services import DynamoDBTable

ANN, BOB = "ann@0123abcd", "bob@4567cdef"
LOCK = LeaderLock(owner=ANN, version="version-1", duration_ms=10_000)
ITEM: dict[str, dict[str, Any]] = {
    "leaseKey": {"S": "Leader"},
    "entityType": {"S": "LEADER"},
    "ownerName": {"S": ANN},
    "leaseDuration": {"S": "10000"},
    "recordVersionNumber": {"S": "version-1"},
}
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "kcl-3.1.3-tables.json").read_text())
(GOLDEN_LOCK,) = (item for item in GOLDEN["<app>-CoordinatorState"]["Items"] if item["key"]["S"] == "Leader")


@pytest.fixture
async def table(dynamodb_table: DynamoDBTable) -> DynamoDBLeaseTable:
    door = dynamodb_table.door()
    await door.prepare()
    return door


class TestTheLayout:
    """Section 3.5: all strings, the duration in milliseconds."""

    async def test_of_a_lock_is_the_java_lock_clients(
        self, dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable
    ) -> None:
        await table.write_leader_lock(None, LOCK)
        assert dynamodb_table.item("Leader") == ITEM

    async def test_of_a_renewal_changes_the_version_and_names_the_standby(
        self, dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable
    ) -> None:
        await table.write_leader_lock(None, LOCK)
        renewed = msgspec.structs.replace(LOCK, version="version-2", duration_ms=9_000, standby=BOB)
        await table.write_leader_lock(LOCK, renewed)
        item = ITEM | {"leaseDuration": {"S": "9000"}, "recordVersionNumber": {"S": "version-2"}}
        assert dynamodb_table.item("Leader") == item | {"kclPyStandby": {"S": BOB}}
        await table.write_leader_lock(renewed, msgspec.structs.replace(renewed, standby=None))
        assert dynamodb_table.item("Leader") == item

    async def test_of_a_release_is_the_string_that_java_clients_look_for(
        self, dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable
    ) -> None:
        await table.write_leader_lock(None, LOCK)
        released = msgspec.structs.replace(LOCK, is_released=True)
        await table.write_leader_lock(LOCK, released)
        assert dynamodb_table.item("Leader") == ITEM | {"isReleased": {"S": "1"}}
        await table.write_leader_lock(released, LOCK)
        assert dynamodb_table.item("Leader") == ITEM


class TestForeignAttributes:
    FOREIGN: ClassVar[dict[str, dict[str, Any]]] = {"data": {"B": b"\x00"}, "futureMap": {"M": {"a": {"NULL": True}}}}

    async def test_survive_the_renewals_of_one_leader(
        self, dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable
    ) -> None:
        await table.write_leader_lock(None, LOCK)
        dynamodb_table.set("Leader", **self.FOREIGN)
        await table.write_leader_lock(LOCK, msgspec.structs.replace(LOCK, version="version-2", standby=BOB))
        item = dynamodb_table.item("Leader")
        assert {name: item[name] for name in self.FOREIGN} == self.FOREIGN

    async def test_go_with_the_leader_that_they_belonged_to(
        self, dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable
    ) -> None:
        bobs = LeaderLock(owner=BOB, version="version-1", duration_ms=10_000, standby="cat@89abef01")
        await table.write_leader_lock(None, bobs)
        dynamodb_table.set("Leader", **self.FOREIGN)
        await table.write_leader_lock(bobs, LOCK)
        assert dynamodb_table.item("Leader") == ITEM


class TestAJavaLock:
    @pytest.fixture
    def java(self, dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable) -> LeaderLock:
        """What a real Java KCL 3.1.3 wrote, in the one table that 3.5 keeps it in."""
        item = {"leaseKey" if name == "key" else name: value for name, value in GOLDEN_LOCK.items()}
        dynamodb_table.put(item)
        return LeaderLock(owner="w1", version=item["recordVersionNumber"]["S"], duration_ms=120_000)

    async def test_is_read(self, table: DynamoDBLeaseTable, java: LeaderLock) -> None:
        assert await table.leader_lock() == java
        assert (await table.snapshot()).lock == java

    async def test_is_not_taken_after_a_heartbeat(
        self, dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable, java: LeaderLock
    ) -> None:
        dynamodb_table.set("Leader", recordVersionNumber={"S": "next"}, leaseDuration={"S": "120000"})
        with pytest.raises(ConditionFailed):
            await table.write_leader_lock(java, LOCK)
        assert dynamodb_table.item("Leader")["ownerName"] == {"S": "w1"}

    async def test_is_not_taken_as_released_if_it_is_not(
        self, dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable, java: LeaderLock
    ) -> None:
        with pytest.raises(ConditionFailed):
            await table.write_leader_lock(msgspec.structs.replace(java, is_released=True), LOCK)
        dynamodb_table.set("Leader", isReleased={"S": "1"})
        released = await table.leader_lock()
        assert released == msgspec.structs.replace(java, is_released=True)
        await table.write_leader_lock(released, LOCK)
        assert dynamodb_table.item("Leader") == ITEM

    async def test_is_written_whole_when_it_is_taken(
        self, dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable, java: LeaderLock
    ) -> None:
        await table.write_leader_lock(java, LOCK)
        assert dynamodb_table.item("Leader") == ITEM


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        ({"leaseDuration": {"N": "10000"}}, "leaseDuration is not of type S"),
        ({"leaseDuration": {"S": "-1"}}, "not a number of milliseconds"),
        ({"ownerName": {"NULL": True}}, "ownerName is not of type S"),
        ({"entityType": {"S": "STREAM"}}, "entityType is not LEADER"),
        ({"entityType": {"S": "LEASE"}}, "entityType is not LEADER"),
        ({"kclPyStandby": {"N": "1"}}, "kclPyStandby is not of type S"),
    ],
)
async def test_an_item_that_is_no_lock_is_called_that_and_left_alone(
    dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable, odd: dict[str, Any], reason: str
) -> None:
    dynamodb_table.put(ITEM | odd)
    with pytest.raises(RowUnreadable, match=reason):
        await table.leader_lock()
    with pytest.raises(ConditionFailed):
        await table.write_leader_lock(None, LOCK)
    assert dynamodb_table.item("Leader") == ITEM | odd


async def test_a_worker_with_metrics_is_what_a_java_leader_balances_by(
    dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable
) -> None:
    """Section 1.3: averages oldest first, and the utilisation up to which a worker is loaded."""
    session = Session(key=ANN, updated_at_seconds=1_700_000_000, leases_max=12, cpu_percents=(-1, 12.5, 99.8768))
    await table.write_session(None, session)
    item: dict[str, dict[str, Any]] = {
        "leaseKey": {"S": ANN},
        "entityType": {"S": "WORKER_METRIC_STATS"},
        "lut": {"N": "1700000000"},
        "sts": {"M": {"C": {"L": [{"N": "-1"}, {"N": "12.5"}, {"N": "99.877"}]}}},
        "opr": {"M": {"C": {"L": [{"N": "100"}]}}},
        "sup": {"N": "1"},
        "slu": {"N": "1700000000"},
        "kclPyBeat": {"N": "0"},
        "kclPyProtocol": {"N": "1"},
        "kclPyLeasesMax": {"N": "12"},
    }
    assert dynamodb_table.item(ANN) == item
    bare = Session(key=ANN, beat=1, updated_at_seconds=1_700_000_000)
    await table.write_session(session, bare)
    del item["kclPyLeasesMax"]
    assert dynamodb_table.item(ANN) == item | {"sts": {"M": {}}, "opr": {"M": {}}, "kclPyBeat": {"N": "1"}}
