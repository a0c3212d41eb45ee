"""How a lease table in DynamoDB is made, found or refused; on our local endpoint and on AWS's DynamoDBLocal."""

import asyncio

import boto3
import pytest

from kcl_py.aws.lease_table import DynamoDBLeaseTable
from kcl_py.aws.table_life import INDEX, TableOptions
from kcl_py.core.checkpoint import TRIM_HORIZON
from kcl_py.core.lease import Lease
from kcl_py.errors import TableRefused
from kcl_py.interfaces import LeaseTable
from tests.dynamodb_services import DynamoDBTable, session_of

KEY = "shardId-000000000001"
ANN = "ann@0123abcd"


@pytest.fixture
async def table(dynamodb_table: DynamoDBTable) -> DynamoDBLeaseTable:
    door = dynamodb_table.door()
    await door.prepare()
    return door


class TestTheTablesShape:
    async def test_is_a_key_and_an_index_made_together_on_demand(
        self, dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable
    ) -> None:
        described = dynamodb_table.client.describe_table(TableName=dynamodb_table.name)["Table"]
        assert described["KeySchema"] == [{"AttributeName": "leaseKey", "KeyType": "HASH"}]
        assert described["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
        (index,) = described["GlobalSecondaryIndexes"]
        assert index["IndexName"] == "LeaseOwnerToLeaseKeyIndex"
        assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}
        assert index["KeySchema"] == [
            {"AttributeName": "leaseOwner", "KeyType": "HASH"},
            {"AttributeName": "leaseKey", "KeyType": "RANGE"},
        ]
        assert not described.get("DeletionProtectionEnabled")

    async def test_may_be_protected_from_deletion(self, dynamodb_table: DynamoDBTable) -> None:
        await dynamodb_table.door(options=TableOptions(deletion_protection=True)).prepare()
        described = dynamodb_table.client.describe_table(TableName=dynamodb_table.name)["Table"]
        assert described["DeletionProtectionEnabled"]

    async def test_with_another_key_is_refused_and_left_alone(self, dynamodb_table: DynamoDBTable) -> None:
        dynamodb_table.create_with(dynamodb_table.name, key="orderId")
        before = dynamodb_table.client.describe_table(TableName=dynamodb_table.name)["Table"]
        with pytest.raises(TableRefused, match=r"orderId \(S\)"):
            await dynamodb_table.door(options=TableOptions(point_in_time_recovery=True)).prepare()
        assert dynamodb_table.client.describe_table(TableName=dynamodb_table.name)["Table"] == before

    async def test_with_a_sort_key_is_refused(self, dynamodb_table: DynamoDBTable) -> None:
        dynamodb_table.client.create_table(
            TableName=dynamodb_table.name,
            AttributeDefinitions=[
                {"AttributeName": "leaseKey", "AttributeType": "S"},
                {"AttributeName": "at", "AttributeType": "N"},
            ],
            KeySchema=[
                {"AttributeName": "leaseKey", "KeyType": "HASH"},
                {"AttributeName": "at", "KeyType": "RANGE"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        with pytest.raises(TableRefused, match=r"leaseKey \(S\), at \(N\)"):
            await dynamodb_table.door().prepare()

    async def test_without_the_index_is_given_it_and_scanned_until_it_is_there(
        self, dynamodb_table: DynamoDBTable
    ) -> None:
        dynamodb_table.create_with(dynamodb_table.name)
        table = dynamodb_table.door()
        # before the index is added: DynamoDBLocal answers writes with InternalFailure while one is CREATING
        for number, owner in enumerate([ANN, "bob@4567cdef", ANN]):
            await table.create(Lease(key=f"shardId-{number}", owner=owner, checkpoint=TRIM_HORIZON))
        await table.prepare()
        described = dynamodb_table.client.describe_table(TableName=dynamodb_table.name)["Table"]
        assert not described.get("GlobalSecondaryIndexes"), "nothing is changed before the table is accepted"
        await table.equip()
        assert await table.lease_keys_of(ANN) == ("shardId-0", "shardId-2")
        described = dynamodb_table.client.describe_table(TableName=dynamodb_table.name)["Table"]
        assert [index["IndexName"] for index in described["GlobalSecondaryIndexes"]] == [INDEX]

    async def test_is_never_changed_where_somebody_else_provisions_it(self, dynamodb_table: DynamoDBTable) -> None:
        dynamodb_table.create_with(dynamodb_table.name)
        table = dynamodb_table.door(options=TableOptions(create_table=False, point_in_time_recovery=True))
        await table.prepare()
        await table.equip()
        await table.create(Lease(key=KEY, owner=ANN, checkpoint=TRIM_HORIZON))
        assert await table.lease_keys_of(ANN) == (KEY,)
        described = dynamodb_table.client.describe_table(TableName=dynamodb_table.name)["Table"]
        assert not described.get("GlobalSecondaryIndexes")

    async def test_with_provisioned_capacity_lends_it_to_the_index(self, dynamodb_table: DynamoDBTable) -> None:
        dynamodb_table.client.create_table(
            TableName=dynamodb_table.name,
            AttributeDefinitions=[{"AttributeName": "leaseKey", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "leaseKey", "KeyType": "HASH"}],
            ProvisionedThroughput={"ReadCapacityUnits": 7, "WriteCapacityUnits": 3},
        )
        table = dynamodb_table.door()
        await table.prepare()
        await table.equip()
        (index,) = dynamodb_table.client.describe_table(TableName=dynamodb_table.name)["Table"][
            "GlobalSecondaryIndexes"
        ]
        assert index["ProvisionedThroughput"]["ReadCapacityUnits"] == 7
        assert index["ProvisionedThroughput"]["WriteCapacityUnits"] == 3


class TestPages:
    async def test_of_a_large_table_are_all_read(
        self, dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable
    ) -> None:
        """An answer ends at 1 MB, so rows of 300 KB make several pages."""
        for number in range(8):
            lease = Lease(
                key=f"shardId-{number}", owner=ANN, checkpoint=TRIM_HORIZON, pending_checkpoint_state=bytes(300_000)
            )
            await table.create(lease)
        for _ in range(3):  # the first scan sees how large the table is; the others are made in segments
            keys = [lease.key for lease in (await table.snapshot()).leases]
            assert keys == [f"shardId-{number}" for number in range(8)]
        assert table._scan.segments > 1
        assert len(await table.lease_keys_of(ANN)) == 8


async def test_two_tables_with_sessions_of_their_own_share_nothing(dynamodb_local_url: str, moto_url: str) -> None:
    """DynamoDBLocal keeps tables apart by access key, so each door must sign with the key that it was given."""

    def door(url: str, session: boto3.Session) -> DynamoDBLeaseTable:
        return DynamoDBLeaseTable("same-name", session=session, endpoint_url=url)

    doors: list[LeaseTable] = [
        door(dynamodb_local_url, session_of("AKIAFIRST")),
        door(dynamodb_local_url, session_of("AKIASECOND")),
        door(moto_url, session_of("AKIAFIRST")),
    ]
    try:
        await asyncio.gather(*(table.prepare() for table in doors))
        rows = [Lease(key=KEY, checkpoint=TRIM_HORIZON, owner_switches=number) for number in range(3)]
        assert await asyncio.gather(*(table.create(row) for table, row in zip(doors, rows, strict=True))) == [True] * 3
        for table, row in zip(doors, rows, strict=True):
            assert (await table.snapshot()).leases == (row,)
    finally:
        for table in doors:
            await table.close()
