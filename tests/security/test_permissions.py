"""Each IAM action is asked for by somebody, named when it is denied, and no other is used."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from kcl_py.aws.fan_out import KinesisFanOut
from kcl_py.aws.kinesis import KinesisStream
from kcl_py.aws.lease_table import DynamoDBLeaseTable
from kcl_py.aws.producer import Entry, Producer
from kcl_py.aws.table_life import TableOptions
from kcl_py.core.checkpoint import SHARD_END, TRIM_HORIZON
from kcl_py.core.lease import Binding, Lease
from kcl_py.core.position import ReadFrom
from kcl_py.core.session import Session
from kcl_py.errors import AccessDenied, EncryptionKeyError
from tests.aws.fan_out_answers import CONSUMER_ARN, MISSING, described, opened
from tests.aws.kinesis_answers import ARN, SHARD
from tests.aws.scripted_dynamodb import ScriptedDynamoDB
from tests.aws.scripted_kinesis import connected, refuses, scripted_kinesis
from tests.policies import allowed

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
OF_FAN_OUT: dict[str, Callable[[KinesisFanOut], Any]] = {
    "DescribeStreamConsumer": lambda fan_out: fan_out.register("billing"),
    "RegisterStreamConsumer": lambda fan_out: fan_out.register("billing"),
    "SubscribeToShard": lambda fan_out: fan_out.subscribe(CONSUMER_ARN, SHARD, ReadFrom("TRIM_HORIZON")),
    "ListStreamConsumers": lambda fan_out: fan_out.consumers(),
    "DeregisterStreamConsumer": lambda fan_out: fan_out.deregister("billing"),
}
KEYS = {
    "TableName": "orders", "TableStatus": "ACTIVE", "KeySchema": [{"AttributeName": "leaseKey", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "leaseKey", "AttributeType": "S"}], "TableId": "id",
    "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
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


@pytest.mark.parametrize("operation", OF_FAN_OUT)
async def test_an_action_that_is_denied_to_fan_out_is_named(monkeypatch: pytest.MonkeyPatch, operation: str) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with scripted_kinesis() as service:
        service.will("DescribeStreamConsumer", MISSING if operation == "RegisterStreamConsumer" else described())
        service.will(operation, refuses("AccessDeniedException", DENIAL))
        fan_out = opened(service, ARN)
        with pytest.raises(AccessDenied, match=f"kinesis:{operation} on stream orders.*allow kinesis:{operation}"):
            await OF_FAN_OUT[operation](fan_out)
        await fan_out.close()


def test_the_fan_out_policy_allows_what_a_worker_asks_and_nothing_else() -> None:
    of_the_command = {"ListStreamConsumers", "DeregisterStreamConsumer"}
    assert allowed("fan-out") == {f"kinesis:{operation}" for operation in OF_FAN_OUT.keys() - of_the_command}


EQUIPMENT = TableOptions(tags={"team": "billing"}, deletion_protection=True, point_in_time_recovery=True)


def made_from_nothing() -> ScriptedDynamoDB:
    """There is no table, and then there is one that lacks the index: all that is ever made is made."""
    scripted = ScriptedDynamoDB()
    scripted.refuse("DescribeTable", "ResourceNotFoundException")
    scripted.answer("DescribeTable", {"Table": KEYS})
    for operation in ("CreateTable", "UpdateTable", "UpdateContinuousBackups"):
        scripted.answer(operation, {})
    return scripted


async def equip(scripted: ScriptedDynamoDB) -> None:
    table = DynamoDBLeaseTable("orders", session=scripted.session, options=EQUIPMENT)
    try:
        await table.prepare()
        await table.equip()
    finally:
        await table.close()


async def test_a_table_is_made_with_the_provision_policy_and_no_more() -> None:
    scripted = made_from_nothing()
    await equip(scripted)
    used = {f"dynamodb:{operation}" for operation in scripted.operations}
    (creation,) = (request for request in scripted.requests if b"BillingMode" in request.body)
    tagging = {"dynamodb:TagResource"} if "Tags" in json.loads(creation.body) else set()
    assert used | tagging == allowed("provision")


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("CreateTable", "CreateTable"),
        ("CreateTable", "TagResource"),
        ("UpdateTable", "UpdateTable"),
        ("UpdateContinuousBackups", "UpdateContinuousBackups"),
    ],
)
async def test_what_is_denied_when_a_table_is_made_is_named(operation: str, action: str) -> None:
    scripted = made_from_nothing()
    scripted._replies[operation].clear()
    text = f"{DENIAL} to perform: dynamodb:{action} on resource: arn:aws:dynamodb:eu-west-1:123456789012:table/orders"
    scripted.refuse(operation, "AccessDeniedException", text=text)
    with pytest.raises(AccessDenied, match=f"dynamodb:{operation} on table orders.*allow dynamodb:{action} to"):
        await equip(scripted)


@pytest.mark.parametrize(
    ("code", "kind"), [("KMSAccessDeniedException", EncryptionKeyError), ("AccessDeniedException", AccessDenied)]
)
async def test_a_key_that_may_not_be_used_is_named_however_the_service_says_it(
    monkeypatch: pytest.MonkeyPatch, code: str, kind: type[Exception]
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with scripted_kinesis() as service:
        service.will("GetRecords", refuses(code, f"{DENIAL} to perform: kms:Decrypt on the resource"))
        stream = connected(service)
        with pytest.raises(kind, match=r"kinesis:GetRecords on stream orders.*kms:Decrypt"):
            await stream.read("s i", 1)
        await stream.close()


def test_the_run_policy_allows_what_the_doors_ask_and_nothing_else() -> None:
    of_the_table = {f"dynamodb:{operation}" for operation in OF_THE_TABLE} - {"dynamodb:CreateTable"}
    of_the_stream = {f"kinesis:{operation}" for operation in OF_THE_STREAM} - {"kinesis:PutRecords"}
    assert allowed("run") == of_the_table | of_the_stream | {"dynamodb:Query", "kms:Decrypt"}
