"""Fixtures that several folders of tests share."""

from collections.abc import AsyncIterator, Iterator

import pytest

from kcl_py.local.dynamodb_server import DynamoDBServer
from tests import dynamodb_services
from tests.dynamodb_services import DynamoDBTable, MemoryTable, TableUnderTest


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """Our own DynamoDB endpoint."""
    with DynamoDBServer() as server:
        yield server.url


@pytest.fixture(scope="session")
def dynamodb_local_url() -> Iterator[str]:
    """AWS's DynamoDBLocal."""
    with dynamodb_services.dynamodb_local() as url:
        yield url


@pytest.fixture(params=["moto", "dynamodb-local"])
async def dynamodb_table(request: pytest.FixtureRequest) -> AsyncIterator[DynamoDBTable]:
    """A table that does not exist yet, at each DynamoDB endpoint."""
    table = DynamoDBTable(_url(request), request.node.name)
    yield table
    await table.close()


@pytest.fixture(params=["memory", "moto", "dynamodb-local"])
async def any_table(request: pytest.FixtureRequest) -> AsyncIterator[TableUnderTest]:
    """A table that does not exist yet, in every implementation of the door."""
    in_memory = request.param == "memory"
    table: TableUnderTest = MemoryTable() if in_memory else DynamoDBTable(_url(request), request.node.name)
    yield table
    await table.close()


def _url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue({"moto": "moto_url", "dynamodb-local": "dynamodb_local_url"}[request.param])
    return url
