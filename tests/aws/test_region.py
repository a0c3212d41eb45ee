"""Which region a client is made for."""

import boto3
import pytest

from kcl_py.aws import region
from kcl_py.aws.connection import Connection
from kcl_py.aws.lease_table import DynamoDBLeaseTable


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")


def test_what_is_given_beats_the_session_which_beats_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert region.chosen(None, None) is None
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert region.chosen(None, None) == "eu-north-1"
    assert region.chosen(None, "ap-south-1") == "ap-south-1"
    assert region.chosen("us-west-2", "ap-south-1") == "us-west-2"


async def test_aws_region_alone_is_enough_for_both_doors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    connection = Connection("orders")
    client = await connection._opened()
    table = DynamoDBLeaseTable("leases")
    assert client.meta.region_name == "eu-north-1"
    assert table._connection._connection.client.meta.region_name == "eu-north-1"
    await connection.close()
    await table.close()


async def test_a_session_keeps_its_own_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    session = boto3.Session("key", "secret", region_name="ap-south-1")
    connection = Connection("orders", session=session)
    client = await connection._opened()
    assert client.meta.region_name == "ap-south-1"
    await connection.close()
