"""Tables that Java fleets left: known for what they are, read, and watched for signs of life."""

import json
from pathlib import Path
from typing import Any

import pytest

from kcl_py.aws.lease_table import DynamoDBLeaseTable
from kcl_py.core.checkpoint import SHARD_END, Checkpoint
from kcl_py.core.lease import Binding, Lease
from kcl_py.core.shard import HashRange
from kcl_py.core.table import TableKind
from tests.dynamodb_services import DynamoDBTable

ANN = "ann@0123abcd"
JAVA_ROW: dict[str, dict[str, Any]] = {
    "leaseKey": {"S": "shardId-000000000001"},
    "leaseOwner": {"S": "w1"},
    "leaseCounter": {"N": "3"},
    "ownerSwitchesSinceCheckpoint": {"N": "0"},
    "checkpoint": {"S": "TRIM_HORIZON"},
}
BINDING = Binding("arn:aws:kinesis:eu-west-1:123456789012:stream/orders@1700000000", "billing", "table-id")
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "kcl-3.1.3-tables.json").read_text())


@pytest.fixture
async def table(dynamodb_table: DynamoDBTable) -> DynamoDBLeaseTable:
    door = dynamodb_table.door()
    await door.prepare()
    return door


class TestAJavaFleet:
    """Tables that a real Java KCL 3.1.3 wrote, as tests/golden/ keeps them."""

    @pytest.fixture
    async def golden(self, dynamodb_table: DynamoDBTable) -> DynamoDBLeaseTable:
        for name, described in GOLDEN.items():
            table_name = name.replace("<app>", dynamodb_table.name)
            dynamodb_table.create_with(table_name, described["KeySchema"][0]["AttributeName"])
            for item in described["Items"]:
                dynamodb_table.client.put_item(TableName=table_name, Item=item)
        return dynamodb_table.door()

    async def test_is_recognised(self, dynamodb_table: DynamoDBTable, golden: DynamoDBLeaseTable) -> None:
        snapshot = await golden.snapshot()
        assert snapshot.kind == TableKind.LEGACY_3_X
        assert snapshot.legacy_tables == (
            f"{dynamodb_table.name}-CoordinatorState",
            f"{dynamodb_table.name}-WorkerMetricStats",
        )
        assert len(snapshot.untyped_leases) == 9

    async def test_left_rows_that_all_parse(self, golden: DynamoDBLeaseTable) -> None:
        snapshot = await golden.snapshot()
        assert snapshot.odd_rows == ()
        assert len(snapshot.leases) == 9
        assert [lease.is_finished for lease in snapshot.leases] == [True] * 5 + [False] * 4
        assert {lease.owner for lease in snapshot.leases} == {"w1"}
        assert snapshot.leases[4] == Lease(
            key="shardId-000000000004",
            owner="w1",
            counter=13,
            checkpoint=SHARD_END,
            parent_shard_ids=("shardId-000000000002", "shardId-000000000003"),
            child_shard_ids=("shardId-000000000007", "shardId-000000000008"),
            hash_range=HashRange(0, 170141183460469231731687303715884105726),
            throughput_kbps=0.000268,
        )
        assert snapshot.leases[8].checkpoint == Checkpoint("49680450583947076644445119161808940567983772030166106242")

    async def test_has_a_pulse_while_it_lives(self, dynamodb_table: DynamoDBTable, golden: DynamoDBLeaseTable) -> None:
        pulses = [await golden.foreign_pulse()]
        assert len(pulses[0]) == 9 + 1 + 1
        for table_name, key_name, key, attribute, value in (
            (dynamodb_table.name, "leaseKey", "shardId-000000000004", "leaseCounter", {"N": "14"}),
            (f"{dynamodb_table.name}-CoordinatorState", "key", "Leader", "recordVersionNumber", {"S": "next"}),
            (f"{dynamodb_table.name}-WorkerMetricStats", "wid", "w1", "lut", {"N": "1795324761"}),
        ):
            dynamodb_table.client.update_item(
                TableName=table_name,
                Key={key_name: {"S": key}},
                UpdateExpression="SET #a = :v",
                ExpressionAttributeNames={"#a": attribute},
                ExpressionAttributeValues={":v": value},
            )
            pulses.append(await golden.foreign_pulse())
        assert len({json.dumps(dict(pulse), sort_keys=True) for pulse in pulses}) == 4
        assert await golden.foreign_pulse() == pulses[-1]

    async def test_that_keeps_everything_in_one_table_is_recognised(
        self, dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable
    ) -> None:
        dynamodb_table.put(JAVA_ROW | {"entityType": {"S": "LEASE"}})
        assert (await table.snapshot()).kind == TableKind.JAVA_3_5
        dynamodb_table.put(
            {"leaseKey": {"S": "Leader"}, "entityType": {"S": "LEADER"}, "ownerName": {"S": "w1"}}
            | {"recordVersionNumber": {"S": "a"}, "leaseDuration": {"S": "120000"}}
        )
        dynamodb_table.put(
            {"leaseKey": {"S": "w1"}, "entityType": {"S": "WORKER_METRIC_STATS"}, "lut": {"N": "1"}}
            | {"sts": {"M": {}}, "opr": {"M": {}}}
        )
        snapshot = await table.snapshot()
        assert snapshot.kind == TableKind.JAVA_3_5
        assert snapshot.foreign_entries == ("Leader", "w1")
        assert len(await table.foreign_pulse()) == 3

    async def test_of_kcl_2_is_recognised_by_rows_without_a_type(
        self, dynamodb_table: DynamoDBTable, table: DynamoDBLeaseTable
    ) -> None:
        dynamodb_table.put(JAVA_ROW)
        assert (await table.snapshot()).kind == TableKind.KCL_2_X

    async def test_that_was_taken_over_leaves_a_native_table(self, golden: DynamoDBLeaseTable) -> None:
        for lease in (await golden.snapshot()).leases:
            await golden.write(lease.picked_up(ANN, BINDING))
        snapshot = await golden.snapshot()
        assert snapshot.kind == TableKind.NATIVE
        assert {lease.owner_switches for lease in snapshot.leases} == {1}
        # what is still moving is not ours: the leader lock and the worker metrics
        assert len(await golden.foreign_pulse()) == 2
