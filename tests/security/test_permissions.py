"""Each IAM action is asked for by somebody, named when it is denied, and no other is used."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from kcl_py.aws.kinesis import KinesisStream
from kcl_py.aws.lease_table import DynamoDBLeaseTable
from kcl_py.aws.producer import Entry, Producer
from kcl_py.core.checkpoint import SHARD_END, TRIM_HORIZON
from kcl_py.core.lease import Binding, Lease
from kcl_py.core.position import ReadFrom
from kcl_py.core.session import Session
from kcl_py.errors import AccessDenied
from tests.aws.scripted_dynamodb import ScriptedDynamoDB
from tests.aws.scripted_kinesis import connected, refuses, scripted_kinesis

ME = "ann@0123abcd"
ROW = Lease(key="s", checkpoint=TRIM_HORIZON)
SESSION = Session(key=ME)
DENIAL = "User: arn:aws:iam::123456789012:user/somebody is not authorized"

OF_THE_TABLE: dict[str, Callable[[DynamoDBLeaseTable], Any]] = {
    "DescribeTable": lambda table: table.prepare(),
    "Scan": lambda table: table.snapshot(),
    "GetItem": lambda table: table.lease("s"),
    "BatchGetItem": lambda table: table.sessions([ME]),
    "PutItem": lambda table: table.create(ROW),
    "UpdateItem": lambda table: table.write(ROW.bound(Binding("arn@1", "billing", None))),
    "DeleteItem": lambda table: table.delete(msgspec.structs.replace(ROW, checkpoint=SHARD_END)),
    "CreateTable": lambda table: table.prepare(),
}
OF_THE_STREAM: dict[str, Callable[[KinesisStream], Any]] = {
    "DescribeStreamSummary": lambda stream: stream.describe(),
    "ListShards": lambda stream: stream.list_shards(),
    "GetShardIterator": lambda stream: stream.open("s", ReadFrom("TRIM_HORIZON")),
    "GetRecords": lambda stream: stream.read("s i", 1),
    "PutRecords": lambda stream: Producer(stream._connection).put([Entry(data=b"x", partition_key="k")]),
}
KEYS = {
    "TableName": "orders", "TableStatus": "ACTIVE", "KeySchema": [{"AttributeName": "leaseKey", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "leaseKey", "AttributeType": "S"}], "TableId": "id",
}  # fmt: skip


@pytest.mark.parametrize("operation", OF_THE_TABLE)
async def test_an_action_that_is_denied_on_the_table_is_named(operation: str) -> None:
    scripted = ScriptedDynamoDB()
    if operation == "CreateTable":
        scripted.refuse("DescribeTable", "ResourceNotFoundException")
    else:
        scripted.answer("DescribeTable", {"Table": KEYS})
    if operation == "DescribeTable":
        scripted = ScriptedDynamoDB()
    scripted.refuse(operation, "AccessDeniedException", text=DENIAL)
    table = DynamoDBLeaseTable("orders", session=scripted.session)
    with pytest.raises(AccessDenied, match=f"dynamodb:{operation} on table orders.*allow dynamodb:{operation}"):
        await OF_THE_TABLE[operation](table)
    await table.close()


@pytest.mark.parametrize("operation", OF_THE_STREAM)
async def test_an_action_that_is_denied_on_the_stream_is_named(monkeypatch: pytest.MonkeyPatch, operation: str) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with scripted_kinesis() as service:
        service.will(operation, refuses("AccessDeniedException", DENIAL))
        stream = connected(service)
        with pytest.raises(AccessDenied, match=f"kinesis:{operation} on stream orders.*allow kinesis:{operation}"):
            await OF_THE_STREAM[operation](stream)
        await stream.close()
