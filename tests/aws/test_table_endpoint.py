"""Which addresses the DynamoDB door talks to, wherever they are set."""

from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

from kcl_py.errors import ConfigError
from tests.aws.scripted_dynamodb import Door, ScriptedDynamoDB

ELSEWHERE = "http://192.0.2.1:8000"
KEY = "shardId-000000000000"
PROFILE = f"""
[profile elsewhere]
services = there

[services there]
dynamodb =
  endpoint_url = {ELSEWHERE}
"""

Setting = Callable[[pytest.MonkeyPatch, Path], dict[str, str]]


def argument(monkeypatch: pytest.MonkeyPatch, folder: Path) -> dict[str, str]:
    return {"endpoint_url": ELSEWHERE}


def environment(monkeypatch: pytest.MonkeyPatch, folder: Path) -> dict[str, str]:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", ELSEWHERE)
    return {}


def environment_of_all_services(monkeypatch: pytest.MonkeyPatch, folder: Path) -> dict[str, str]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", ELSEWHERE)
    return {}


def profile(monkeypatch: pytest.MonkeyPatch, folder: Path) -> dict[str, str]:
    (folder / "config").write_text(PROFILE)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    monkeypatch.setenv("AWS_PROFILE", "elsewhere")
    return {}


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("setting", [argument, environment, environment_of_all_services, profile])
class TestPlainHttpToAnotherHost:
    async def test_is_refused_at_every_call_before_anything_is_sent(
        self, door: Door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: Setting
    ) -> None:
        options = setting(monkeypatch, tmp_path)
        scripted = ScriptedDynamoDB()
        scripted.answer("GetItem", {})
        table = door(session=scripted.session, **options)
        for attempt in (table.prepare, table.snapshot, lambda: table.lease(KEY)):
            with pytest.raises(ConfigError, match=r"the DynamoDB endpoint is .*http://192\.0\.2\.1:8000.*plain http"):
                await attempt()
        assert scripted.requests == []

    async def test_is_a_decision(
        self, door: Door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: Setting
    ) -> None:
        options = setting(monkeypatch, tmp_path)
        scripted = ScriptedDynamoDB()
        scripted.answer("GetItem", {})
        assert await door(session=scripted.session, is_plain_http_allowed=True, **options).lease(KEY) is None
        assert [request.url for request in scripted.requests] == [f"{ELSEWHERE}/"]


async def test_plain_http_to_another_host_is_refused_without_a_session_too(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", ELSEWHERE)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(ConfigError, match="plain http"):
        await door(region="eu-west-1").prepare()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://localhost:9", "https://dynamodb.example"])
async def test_this_machine_and_https_need_no_decision(
    door: Door, monkeypatch: pytest.MonkeyPatch, scripted: ScriptedDynamoDB, url: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", url)
    scripted.answer("GetItem", {})
    assert await door(session=scripted.session).lease(KEY) is None
    assert [request.url for request in scripted.requests] == [f"{url}/"]


async def test_a_password_in_the_address_is_refused_and_not_repeated(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = boto3.Session("key", "secret", region_name="eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "https://ann:sesame@dynamodb.example")
    with pytest.raises(ConfigError, match="user name or password") as caught:
        await door(session=session).lease(KEY)
    assert "sesame" not in str(caught.value)
