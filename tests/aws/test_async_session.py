"""Requests are signed with the user's own session, however it came by its credentials."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aioboto3
import boto3
import botocore.session
import pytest
from botocore.credentials import RefreshableCredentials

from kcl_py.aws.connection import Connection
from kcl_py.errors import CredentialsError
from tests.aws.scripted_kinesis import ScriptedKinesis, says, scripted_kinesis


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture
def service() -> Iterator[ScriptedKinesis]:
    with scripted_kinesis() as scripted:
        scripted.will("ListShards", says({"Shards": []}))
        yield scripted


async def signed_by(service: ScriptedKinesis, session: Any, requests: int = 1) -> list[str]:
    """The credential scopes of some requests made with a session: key id, date, region."""
    connection = Connection("orders", session=session, endpoint_url=service.endpoint_url, patience_seconds=0)
    for _ in range(requests):
        await connection.once("ListShards", connection.address, lambda answer: answer)
    await connection.close()
    scopes = [headers["Authorization"].partition("Credential=")[2] for headers in service.headers]
    return [f"{key} {region}" for key, _, region, *_ in (scope.split("/") for scope in scopes)]


def session_that_refreshes(lifetime_seconds: int) -> boto3.Session:
    """A session as STS makes it: every refresh draws another key."""
    drawn = iter(range(1, 100))

    def refresh() -> dict[str, str]:
        return {
            "access_key": f"key{next(drawn)}",
            "secret_key": "secret",
            "token": "token",
            "expiry_time": (datetime.now(UTC) + timedelta(seconds=lifetime_seconds)).isoformat(),
        }

    core = botocore.session.get_session()
    core._credentials = RefreshableCredentials.create_from_metadata(refresh(), refresh, "assume-role")
    return boto3.Session(botocore_session=core, region_name="eu-west-1")


async def test_a_boto3_session_brings_its_keys_and_region(service: ScriptedKinesis) -> None:
    session = boto3.Session("key1", "secret", region_name="eu-west-1")

    assert await signed_by(service, session) == ["key1 eu-west-1"]


async def test_a_boto3_session_with_a_profile_brings_what_the_profile_says(
    service: ScriptedKinesis, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text(
        "[profile data]\nregion = eu-west-2\naws_access_key_id = key2\naws_secret_access_key = secret\n"
    )

    assert await signed_by(service, boto3.Session(profile_name="data")) == ["key2 eu-west-2"]


async def test_an_aioboto3_session_is_used_as_it_is(service: ScriptedKinesis) -> None:
    session = aioboto3.Session("key3", "secret", region_name="eu-west-3")

    assert await signed_by(service, session) == ["key3 eu-west-3"]


async def test_without_a_session_the_usual_chain_is_asked(
    service: ScriptedKinesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key4")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")

    assert await signed_by(service, None) == ["key4 us-east-1"]


async def test_role_credentials_are_refreshed_while_they_are_used(service: ScriptedKinesis) -> None:
    session = session_that_refreshes(lifetime_seconds=30)  # within the window in which a refresh must come first

    signers = await signed_by(service, session, requests=3)

    assert len(set(signers)) == 3


async def test_role_credentials_that_are_still_good_are_kept(service: ScriptedKinesis) -> None:
    session = session_that_refreshes(lifetime_seconds=3600)

    assert await signed_by(service, session, requests=3) == ["key1 eu-west-1"] * 3


async def test_the_session_token_goes_along(service: ScriptedKinesis) -> None:
    await signed_by(service, session_that_refreshes(lifetime_seconds=3600))

    assert service.headers[0]["X-Amz-Security-Token"] == "token"
    assert "token" not in json.dumps(service.requests)


@pytest.mark.parametrize("session", [None, boto3.Session(region_name="eu-west-1")])
async def test_no_credentials_are_named_as_such(
    service: ScriptedKinesis, session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")

    with pytest.raises(CredentialsError, match="no usable AWS credentials"):
        await signed_by(service, session)
