"""Fixtures of the tests of what talks to AWS."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from kcl_py.aws.lease_table import DynamoDBLeaseTable
from tests.aws.scripted_dynamodb import Door, ScriptedDynamoDB


@pytest.fixture
def scripted() -> ScriptedDynamoDB:
    return ScriptedDynamoDB()


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
