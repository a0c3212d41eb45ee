"""Fixtures of the tests of what talks to AWS."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from kcl_py.aws.fan_out import KinesisFanOut
from kcl_py.aws.kinesis import KinesisStream
from kcl_py.aws.lease_table import DynamoDBLeaseTable
from tests.aws.fan_out_answers import opened
from tests.aws.gate import Gate
from tests.aws.kinesis_answers import summary
from tests.aws.scripted_dynamodb import Door, ScriptedDynamoDB
from tests.aws.scripted_kinesis import ScriptedKinesis, connected, says, scripted_kinesis
from tests.unmocked import builtin_handlers


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedKinesis]:
    """A Kinesis whose every answer is scripted."""
    monkeypatch.setattr("kcl_py.aws.calls._PAUSE", lambda attempt: 0.0)
    monkeypatch.setattr("botocore.handlers.BUILTIN_HANDLERS", builtin_handlers())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with scripted_kinesis() as scripted:
        yield scripted


@pytest.fixture
async def stream(service: ScriptedKinesis) -> AsyncIterator[KinesisStream]:
    """A door on it."""
    door = connected(service)
    yield door
    await door.close()


@pytest.fixture
async def fan_out(service: ScriptedKinesis, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KinesisFanOut]:
    """A door to its fan-out; the stream stands."""
    monkeypatch.setattr("kcl_py.aws.fan_out._REGISTRATION_POLL_SECONDS", 0.0)
    service.will("DescribeStreamSummary", says(summary()))
    door = opened(service)
    yield door
    await door.close()


@pytest.fixture
def scripted() -> ScriptedDynamoDB:
    return ScriptedDynamoDB()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    """Makes doors, and closes them when the test is over."""
    doors: list[DynamoDBLeaseTable] = []

    def make(name: str = "leases", **options: Any) -> DynamoDBLeaseTable:
        doors.append(DynamoDBLeaseTable(name, **options))
        return doors[-1]

    yield make
    for table in doors:
        await table.close()
