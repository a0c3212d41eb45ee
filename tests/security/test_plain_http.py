"""Plain http leaves this machine only where somebody said so, wherever the address comes from."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kcl_py import endpoint
from kcl_py.aws.connection import Connection
from kcl_py.aws.kinesis import KinesisStream
from kcl_py.aws.lease_table import DynamoDBLeaseTable
from kcl_py.cli import main
from kcl_py.config import Config
from kcl_py.errors import ConfigError

ELSEWHERE = "http://192.0.2.1:4567"
HERE = (
    "http://127.0.0.1",
    "http://127.0.0.1:4567/",
    "http://127.8.9.10:1",
    "http://127.255.255.255",
    "http://[::1]",
    "http://[::1]:4567/path",
    "http://localhost:4567",
    "HTTP://LOCALHOST",
)
LOOK_ALIKES = (
    "http://localhost.evil.example",
    "HTTP://evil.localhost",
    "http://localhost.",
    "http://127.0.0.1.evil.example",
    "http://127.0.0.1%2eevil.example",
    "http://127.0.0.1\\.evil.example",
    "http://127.0.0.1\t.evil.example",
    "http://127.0.0.1\n.evil.example",
    "http://evil.example\\.localhost",
    "http://evil.example#@127.0.0.1",
    "http://evil.example?127.0.0.1",
    "HTTP://0x7f.1",
    "http://0x7f000001",
    "http://0177.0.0.1",
    "http://2130706433",
    "http://127.1",
    "http://127.0.0.01",
    "http://\u2460\uff127.0.0.1",
    "http://128.0.0.1",
    "http://0.0.0.0",
    "http://[::]",
    "http://[::2]",
    "http://[::ffff:192.0.2.1]",
    "http://[::1]evil.example",
    "http://[::1].evil.example:80",
    "http://evil.example[::1]",
    "http://[::1%25evil.example]",
    "http://user@127.0.0.1",
    "http://user:password@localhost",
    "http://127.0.0.1@evil.example",
    "http:evil.example",
    "http:///evil.example",
    "//evil.example",
    "127.0.0.1:4567",
)
Service = Callable[..., Any]


def kinesis(**options: object) -> Any:
    return KinesisStream(Connection("orders", region="eu-west-1", **options)).list_shards  # type: ignore[arg-type]


def dynamodb(**options: object) -> Any:
    return DynamoDBLeaseTable("orders", region="eu-west-1", **options).snapshot  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("", "_KINESIS", "_DYNAMODB"):
        monkeypatch.delenv(f"AWS_ENDPOINT_URL{name}", raising=False)
    for name in ("AWS_PROFILE", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "KCL_PY_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


@pytest.mark.parametrize("url", HERE)
def test_this_machine_needs_no_decision(url: str) -> None:
    endpoint.check(url, "endpoint_url", is_plain_http_allowed=False)


@pytest.mark.parametrize("url", LOOK_ALIKES)
def test_what_only_looks_like_this_machine_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        endpoint.check(url, "endpoint_url", is_plain_http_allowed=False)


@given(
    st.lists(st.sampled_from(["127.0.0.1", "localhost", "::1", "[", "]", "evil.example", *".:@/\\%#?\t "]), max_size=6)
)
@example(["evil.example", "[", "::1", "]"])
@settings(deadline=None)
def test_only_this_machine_s_own_names_pass_whatever_surrounds_them(parts: list[str]) -> None:
    host, url = "".join(parts), "http://" + "".join(parts)
    try:
        endpoint.check(url, "endpoint_url", is_plain_http_allowed=False)
    except ConfigError:
        return
    authority = host.replace("/", "?").replace("#", "?").partition("?")[0]
    names = ("127.0.0.1", "localhost", "[::1]")
    assert any(authority in (name, f"{name}:") for name in names)


@pytest.mark.parametrize(
    "url",
    [
        "http://ann:sesame@127.0.0.1",
        "https://ann:sesame@kinesis.example",
        "http://ann:sesame@host:99999",
        "ftp://ann:sesame@host",
        "http://ann:sesame@ho st",
        "ann:sesame@host",
    ],
)
def test_a_password_in_an_address_is_refused_and_never_repeated(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        endpoint.check(url, "endpoint_url", is_plain_http_allowed=True)
    assert "sesame" not in str(refused.value)


@pytest.mark.parametrize("service", [kinesis, dynamodb])
@pytest.mark.parametrize("url", ["http://ann:sesame@ho st:1", "http://ann:sesame@host:99999", "ann:sesame@host"])
async def test_nor_is_it_when_the_sdk_refuses_the_address_first(service: Service, url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        await service(endpoint_url=url)()
    assert "sesame" not in str(refused.value)


def by_argument(monkeypatch: pytest.MonkeyPatch, folder: Path, service: str) -> dict[str, str]:
    return {"endpoint_url": ELSEWHERE}


def by_variable(monkeypatch: pytest.MonkeyPatch, folder: Path, service: str) -> dict[str, str]:
    monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service.upper()}", ELSEWHERE)
    return {}


def by_variable_of_all(monkeypatch: pytest.MonkeyPatch, folder: Path, service: str) -> dict[str, str]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", ELSEWHERE)
    return {}


def by_profile(monkeypatch: pytest.MonkeyPatch, folder: Path, service: str) -> dict[str, str]:
    (folder / "config").write_text(f"[default]\nendpoint_url = {ELSEWHERE}\n")
    return {}


def by_profile_of_one_service(monkeypatch: pytest.MonkeyPatch, folder: Path, service: str) -> dict[str, str]:
    there = f"[services there]\n{service} =\n  endpoint_url = {ELSEWHERE}\n"
    (folder / "config").write_text(f"[profile elsewhere]\nservices = there\n\n{there}")
    monkeypatch.setenv("AWS_PROFILE", "elsewhere")
    return {}


@pytest.mark.parametrize("service", [kinesis, dynamodb])
@pytest.mark.parametrize(
    "setting", [by_argument, by_variable, by_variable_of_all, by_profile, by_profile_of_one_service]
)
async def test_both_services_refuse_another_host_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, service: Service, setting: Callable[..., dict[str, str]]
) -> None:
    call = service(**setting(monkeypatch, tmp_path, service.__name__))
    with pytest.raises(ConfigError, match=r"http://192\.0\.2\.1:4567.*plain http"):
        await asyncio.wait_for(call(), 5)


def test_a_worker_s_configuration_is_refused_unless_it_says_so() -> None:
    with pytest.raises(ConfigError, match="plain http"):
        Config(stream="orders", application="billing", endpoint_url=ELSEWHERE)
    assert Config(stream="orders", application="billing", endpoint_url=ELSEWHERE, allow_plain_http=True)


@pytest.mark.parametrize(
    "words",
    [
        ("tail", "orders"),
        ("put", "orders", "x"),
        ("leases", "--application", "orders"),
        ("leases", "--application", "orders", "--stream", "orders", "--lag"),
    ],
)
@pytest.mark.parametrize("variable", ["KCL_PY_ENDPOINT_URL", "AWS_ENDPOINT_URL"])
def test_every_command_refuses_it_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], variable: str
) -> None:
    monkeypatch.setenv(variable, ELSEWHERE)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    result = CliRunner().invoke(main, list(words))
    assert result.exit_code == 2
    assert "plain http" in result.stderr
