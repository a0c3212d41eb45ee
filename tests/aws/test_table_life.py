"""How the DynamoDB door waits for its table and index, against answers that no local endpoint gives."""

from typing import Any

import pytest

from kcl_py.aws import owner_index
from kcl_py.aws.table_life import TableOptions
from kcl_py.errors import (
    AccessDenied,
    ServiceUnavailable,
    TableError,
    TableRefused,
)
from tests.aws.scripted_dynamodb import NOWHERE, Door, ScriptedDynamoDB

KEY = "shardId-000000000000"
ANN = "ann@0123abcd"
DESCRIBED: dict[str, Any] = {
    "TableName": "leases",
    "TableStatus": "ACTIVE",
    "TableId": "11111111-2222-3333-4444-555555555555",
    "KeySchema": [{"AttributeName": "leaseKey", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "leaseKey", "AttributeType": "S"}],
    "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "LeaseOwnerToLeaseKeyIndex",
            "IndexStatus": "ACTIVE",
            "KeySchema": [
                {"AttributeName": "leaseOwner", "KeyType": "HASH"},
                {"AttributeName": "leaseKey", "KeyType": "RANGE"},
            ],
        }
    ],
}


class TestPreparing:
    async def test_returns_the_tables_id(self, door: Door, scripted: ScriptedDynamoDB) -> None:
        scripted.answer("DescribeTable", {"Table": DESCRIBED})
        table = door(session=scripted.session, endpoint_url=NOWHERE)
        assert await table.prepare() == "11111111-2222-3333-4444-555555555555"
        assert scripted.operations == ["DescribeTable"]

    async def test_waits_until_a_table_that_somebody_creates_or_deletes_is_there(
        self, door: Door, scripted: ScriptedDynamoDB
    ) -> None:
        scripted.answer("DescribeTable", {"Table": DESCRIBED | {"TableStatus": "DELETING"}})
        scripted.refuse("DescribeTable", "ResourceNotFoundException")
        scripted.refuse("CreateTable", "ResourceInUseException")
        scripted.answer("DescribeTable", {"Table": DESCRIBED | {"TableStatus": "CREATING"}})
        scripted.answer("DescribeTable", {"Table": DESCRIBED | {"TableStatus": "UPDATING"}})
        await door(session=scripted.session, endpoint_url=NOWHERE).prepare()
        assert scripted.operations == ["DescribeTable"] * 2 + ["CreateTable"] + ["DescribeTable"] * 2

    async def test_does_not_wait_for_ever(self, door: Door, scripted: ScriptedDynamoDB) -> None:
        scripted.answer("DescribeTable", {"Table": DESCRIBED | {"TableStatus": "CREATING"}})
        options = TableOptions(ready_timeout_seconds=0.15)
        with pytest.raises(ServiceUnavailable, match=r"become ACTIVE within 0\.15 s"):
            await door(session=scripted.session, endpoint_url=NOWHERE, options=options).prepare()

    async def test_names_a_status_that_nothing_will_come_of(self, door: Door, scripted: ScriptedDynamoDB) -> None:
        scripted.answer("DescribeTable", {"Table": DESCRIBED | {"TableStatus": "ARCHIVED"}})
        with pytest.raises(TableError, match="ARCHIVED"):
            await door(session=scripted.session, endpoint_url=NOWHERE).prepare()

    async def test_refuses_an_index_of_another_shape(self, door: Door, scripted: ScriptedDynamoDB) -> None:
        index = DESCRIBED["GlobalSecondaryIndexes"][0] | {
            "KeySchema": [{"AttributeName": "leaseKey", "KeyType": "HASH"}]
        }
        scripted.answer("DescribeTable", {"Table": DESCRIBED | {"GlobalSecondaryIndexes": [index]}})
        with pytest.raises(TableRefused, match="LeaseOwnerToLeaseKeyIndex"):
            await door(session=scripted.session, endpoint_url=NOWHERE).prepare()
        assert scripted.operations == ["DescribeTable"]

    async def test_names_the_permission_that_is_missing(self, door: Door, scripted: ScriptedDynamoDB) -> None:
        scripted.refuse("DescribeTable", "ResourceNotFoundException")
        scripted.refuse("CreateTable", "AccessDeniedException", text="User: arn:x is not authorized")
        with pytest.raises(AccessDenied, match=r"allow dynamodb:CreateTable to this identity \(User: arn:x"):
            await door(session=scripted.session, endpoint_url=NOWHERE).prepare()

    async def test_tags_and_protects_what_it_creates(
        self, door: Door, scripted: ScriptedDynamoDB, moto_url: str
    ) -> None:
        options = TableOptions(tags={"team": "billing"}, deletion_protection=True, point_in_time_recovery=True)
        table = door("tagged", session=scripted.session, endpoint_url=moto_url, options=options)
        await table.prepare()
        await table.equip()
        client = scripted.session.client("dynamodb", endpoint_url=moto_url)
        described = client.describe_table(TableName="tagged")["Table"]
        tags = client.list_tags_of_resource(ResourceArn=described["TableArn"])["Tags"]
        backups = client.describe_continuous_backups(TableName="tagged")["ContinuousBackupsDescription"]
        client.close()
        assert tags == [{"Key": "team", "Value": "billing"}]
        assert described["DeletionProtectionEnabled"]
        assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"

    async def test_waits_for_backups_of_a_new_table(self, door: Door, scripted: ScriptedDynamoDB) -> None:
        scripted.answer("DescribeTable", {"Table": DESCRIBED})
        scripted.refuse("UpdateContinuousBackups", "ContinuousBackupsUnavailableException")
        scripted.answer("UpdateContinuousBackups", {})
        options = TableOptions(point_in_time_recovery=True)
        table = door(session=scripted.session, endpoint_url=NOWHERE, options=options)
        await table.prepare()
        assert scripted.operations == ["DescribeTable"]
        await table.equip()
        assert scripted.operations == ["DescribeTable"] + ["UpdateContinuousBackups"] * 2

    async def test_leaves_an_index_to_the_worker_that_is_adding_it(
        self, door: Door, scripted: ScriptedDynamoDB
    ) -> None:
        scripted.answer("DescribeTable", {"Table": DESCRIBED | {"GlobalSecondaryIndexes": []}})
        scripted.refuse("UpdateTable", "ResourceInUseException")
        table = door(session=scripted.session, endpoint_url=NOWHERE)
        await table.prepare()
        assert scripted.operations == ["DescribeTable"]
        await table.equip()
        assert scripted.operations == ["DescribeTable", "UpdateTable"]


class TestTheIndex:
    @pytest.fixture(autouse=True)
    def scans_are_not_remembered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(owner_index, "SCAN_SECONDS", 0.0)

    async def test_is_scanned_for_every_few_seconds_at_most_while_it_is_not_there(
        self, door: Door, scripted: ScriptedDynamoDB, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(owner_index, "SCAN_SECONDS", 60.0)
        scripted.answer("DescribeTable", {"Table": DESCRIBED | {"GlobalSecondaryIndexes": []}})
        scripted.answer("Scan", {"Items": [{"leaseKey": {"S": KEY}}], "Count": 1})
        table = door(session=scripted.session, endpoint_url=NOWHERE)
        for _ in range(3):
            assert await table.lease_keys_of(ANN) == (KEY,)
        assert scripted.operations == ["DescribeTable", "Scan"]

    async def test_is_asked_only_once_it_is_active(self, door: Door, scripted: ScriptedDynamoDB) -> None:
        index = DESCRIBED["GlobalSecondaryIndexes"][0]
        scripted.answer(
            "DescribeTable",
            {"Table": DESCRIBED | {"GlobalSecondaryIndexes": [index | {"IndexStatus": "CREATING"}]}},
        )
        scripted.answer("DescribeTable", {"Table": DESCRIBED})
        found = {"Items": [{"leaseKey": {"S": KEY}}], "Count": 1}
        scripted.answer("Scan", found)
        scripted.answer("Query", found)
        table = door(session=scripted.session, endpoint_url=NOWHERE)
        for _ in range(3):
            assert await table.lease_keys_of(ANN) == (KEY,)
        assert scripted.operations == ["DescribeTable", "Scan", "DescribeTable", "Query", "Query"]

    async def test_that_vanishes_is_scanned_around(self, door: Door, scripted: ScriptedDynamoDB) -> None:
        scripted.answer("DescribeTable", {"Table": DESCRIBED})
        scripted.answer("DescribeTable", {"Table": DESCRIBED | {"GlobalSecondaryIndexes": []}})
        scripted.refuse("Query", "ValidationException", text="The table does not have the specified index")
        scripted.answer("Scan", {"Items": [{"leaseKey": {"S": KEY}}], "Count": 1})
        table = door(session=scripted.session, endpoint_url=NOWHERE)
        assert await table.lease_keys_of(ANN) == (KEY,)
        assert await table.lease_keys_of(ANN) == (KEY,)
        assert scripted.operations == ["DescribeTable", "Query", "Scan", "DescribeTable", "Scan"]
