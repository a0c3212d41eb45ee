"""Settings: one schema, four places, and errors that say what to write instead."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kcl_py.config import SETTINGS, Config, default_of
from kcl_py.core.position import StartPosition
from kcl_py.errors import ConfigError
from kcl_py.setting import SIZE

STREAM = {"stream": "orders", "application": "billing"}


def loaded(
    tmp_path: Path, cli: dict[str, object] | None = None, env: dict[str, str] | None = None, file: str = ""
) -> Config:
    if file:
        (tmp_path / "kcl.toml").write_text(file)
    return Config.load(STREAM | (cli or {}), env or {}, tmp_path)


def test_a_stream_and_an_application_are_enough() -> None:
    config = Config(stream="orders", application="billing")

    assert config.table_name == "billing"
    assert config.start == StartPosition.TRIM_HORIZON
    assert config.failover_seconds == 10
    assert config.buffer_bytes_max == 64 * 1024 * 1024
    assert config.worker_id


def test_the_command_line_beats_the_environment_which_beats_the_file_which_beats_the_default(tmp_path: Path) -> None:
    file = 'failover = "20s"\nshutdown_grace = "20s"\nretry_backoff_max = "20s"\n'
    env = {"KCL_PY_FAILOVER": "30s", "KCL_PY_SHUTDOWN_GRACE": "30s"}

    config = loaded(tmp_path, {"failover": "40s"}, env, file)

    assert config.failover_seconds == 40
    assert config.shutdown_grace_seconds == 30
    assert config.retry_backoff_max_seconds == 20
    assert config.retry_stopped_seconds == 60


def test_an_option_that_was_not_given_hides_nothing(tmp_path: Path) -> None:
    assert loaded(tmp_path, {"region": None}, {"KCL_PY_REGION": "eu-west-1"}).region == "eu-west-1"


def test_settings_may_stand_in_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.kcl_py]\nstream = "orders"\napplication = "billing"\n')

    assert Config.load({}, {}, tmp_path).stream == "orders"


def test_a_pyproject_of_others_is_no_business_of_ours(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\nline-length = 120\n")

    assert loaded(tmp_path).application == "billing"


def test_two_files_with_settings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.kcl_py]\n")

    with pytest.raises(ConfigError, match="keep one of them"):
        loaded(tmp_path, file='region = "eu-west-1"')


def test_toml_values_keep_their_own_types(tmp_path: Path) -> None:
    file = "create_table = true\nread_limit = 500\nstart = 2026-03-01T09:00:00Z\n[table_tags]\nteam = 'data'\n"

    config = loaded(tmp_path, file=file)

    assert config.read_limit == 500
    assert config.start == StartPosition.at(datetime(2026, 3, 1, 9, tzinfo=UTC))
    assert config.table_tags == {"team": "data"}


@pytest.mark.parametrize(
    ("key", "text", "field", "value"),
    [
        ("failover", "2500ms", "failover_seconds", 2.5),
        ("failover", "2m", "failover_seconds", 120),
        ("failover", " 1 h ", "failover_seconds", 3600),
        ("buffer", "64MiB", "buffer_bytes_max", 64 * 2**20),
        ("buffer", "1GB", "buffer_bytes_max", 10**9),
        ("buffer", "1.5kib", "buffer_bytes_max", 1536),
        ("read_limit", "1_000", "read_limit", 1000),
        ("take_over", "yes", "take_over", True),
        ("take_over", "0", "take_over", False),
        ("start", "latest", "start", StartPosition.LATEST),
        ("start", "2026-03-01T09:00:00+00:00", "start", StartPosition.at(datetime(2026, 3, 1, 9, tzinfo=UTC))),
        ("table_tags", "team=data, env=prod", "table_tags", {"team": "data", "env": "prod"}),
        ("log_format", "json", "log_format", "json"),
    ],
)
def test_text_is_read_in_the_form_of_its_setting(
    tmp_path: Path, key: str, text: str, field: str, value: object
) -> None:
    assert getattr(loaded(tmp_path, env={SETTINGS[field].variable: text}), field) == value
    assert SETTINGS[field].key == key


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"KCL_PY_FAILOVER": "10"}, "KCL_PY_FAILOVER is '10'; expected a duration with its unit"),
        ({"KCL_PY_FAILOVER": "10 parsecs"}, "expected a duration"),
        ({"KCL_PY_FAILOVER": "-10s"}, "expected a duration"),
        ({"KCL_PY_FAILOVER": "1s"}, "KCL_PY_FAILOVER is 1s; expected at least 2s"),
        ({"KCL_PY_CHECKPOINT_INTERVAL": "0s"}, "expected at least 100ms"),
        ({"KCL_PY_BUFFER": "64"}, "KCL_PY_BUFFER is '64'; expected a size"),
        ({"KCL_PY_BUFFER": "0.1b"}, "expected a size"),
        ({"KCL_PY_READ_LIMIT": "10001"}, "expected at most 10000"),
        ({"KCL_PY_READ_LIMIT": "many"}, "expected a whole number"),
        ({"KCL_PY_CREATE_TABLE": "perhaps"}, "KCL_PY_CREATE_TABLE is 'perhaps'; expected true or false"),
        ({"KCL_PY_LOG_FORMAT": "xml"}, "expected text or json"),
        ({"KCL_PY_START": "yesterday"}, "KCL_PY_START is 'yesterday'; expected TRIM_HORIZON, LATEST or a time"),
        ({"KCL_PY_START": "2026-03-01T09:00:00"}, "a time with its zone"),
        ({"KCL_PY_TABLE_TAGS": "team"}, "expected names and values"),
        ({"KCL_PY_REGION": ""}, "KCL_PY_REGION is ''; expected text that is not empty"),
        ({"KCL_PY_FAILOVR": "10s"}, "'KCL_PY_FAILOVR'; the nearest setting is KCL_PY_FAILOVER"),
        ({"KCL_PY_FAILOVER_SECONDS": "10"}, "the nearest setting is KCL_PY_FAILOVER"),
    ],
)
def test_a_bad_variable_names_itself_its_value_and_what_was_expected(
    tmp_path: Path, env: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, env=env)

    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (
            "checkpoint-intervall = '5s'",
            "'checkpoint-intervall' in kcl.toml; the nearest setting is checkpoint_interval",
        ),
        ("failover = 10", "failover in kcl.toml is 10; expected a duration with its unit"),
        ("read_limit = true", "read_limit in kcl.toml is True; expected a whole number"),
        ("region = 5", "expected text that is not empty"),
        ("start = 2026-03-01", "expected TRIM_HORIZON"),
        ("start = 2026-03-01T09:00:00", "a time with its zone"),
        ("failover = ", "kcl.toml cannot be read"),
        ("[table_tags]\nteam = 1", "expected names and values"),
    ],
)
def test_a_bad_file_names_its_key(tmp_path: Path, file: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, file=file)

    assert message in str(refused.value)


def test_a_bad_option_is_named_as_it_is_typed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--checkpoint-interval is '5'"):
        loaded(tmp_path, {"checkpoint_interval": "5"})


def test_what_is_missing_is_named_in_every_place_it_could_stand(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no stream is given; use --stream, KCL_PY_STREAM, or stream = "):
        Config.load({}, {}, tmp_path)


def test_the_test_suites_own_switch_is_no_setting(tmp_path: Path) -> None:
    assert loaded(tmp_path, env={"KCL_PY_REQUIRE_ALL": "1"}).application == "billing"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"failover_seconds": 1.9}, "failover_seconds is 1.9; expected at least 2"),
        ({"failover_seconds": "10s"}, "failover_seconds is '10s'; expected a number of seconds"),
        ({"failover_seconds": float("nan")}, "expected a number of seconds"),
        ({"failover_seconds": True}, "expected a number of seconds"),
        ({"buffer_bytes_max": 1.5}, "expected a whole number of bytes"),
        ({"start": "LATEST"}, "expected a StartPosition"),
        ({"take_over": 1}, "expected true or false"),
        ({"table_tags": {"team": 1}}, "expected a mapping of text to text"),
        ({"stream": ""}, "stream is ''"),
        ({"stream": "two words"}, "expected a stream's name or ARN"),
        ({"stream": "arn:aws:dynamodb:eu-west-1:000000000000:table/orders"}, "expected a stream's name or ARN"),
        ({"application": "bil/ling"}, "application, which names the table too, is 'bil/ling'"),
        ({"application": "bil\x1bling", "table_name": "billing"}, "expected printable text"),
        ({"worker_id": "a@b"}, "cannot contain one"),
        ({"worker_id": ""}, "worker_id is ''"),
        ({"worker_id": " a"}, "without blanks around"),
        ({"worker_id": "a\nb"}, "printable"),
        ({"worker_id": "Leader"}, "keeps that key for itself"),
        ({"worker_id": "Migration3.0"}, "keeps that key for itself"),
        ({"worker_id": "TableMigration3.5"}, "keeps that key for itself"),
        ({"worker_id": "shardId-000000000001"}, "key of a shard's lease"),
        ({"worker_id": "000000000000:orders:1700000000:shardId-000000000001"}, "key of a shard's lease"),
        ({"endpoint_url": "http://kinesis.example"}, "plain http"),
        ({"endpoint_url": "kinesis.example"}, "expected a URL"),
        ({"endpoint_url": "ftp://127.0.0.1"}, "expected a URL"),
        ({"endpoint_url": "http://127.0.0.1:port"}, "expected a URL"),
        ({"endpoint_url": "https://me:secret@kinesis.example"}, "leave it out"),
        ({"fan_out_consumer": "other"}, "fan_out is off"),
        ({"fan_out_fallback": False}, "fan_out is off"),
        ({"fan_out": True, "fan_out_consumer": "not a name"}, "fan_out_consumer is 'not a name'"),
        ({"fan_out": True, "application": "two words", "table_name": "words"}, "application, which names the fan-out"),
        ({"create_table": False, "table_tags": {"a": "b"}}, "create_table is off"),
        (
            {"stream": "arn:aws:kinesis:eu-west-1:000000000000:stream/orders", "region": "us-east-1"},
            "the stream's ARN says eu-west-1",
        ),
    ],
)
def test_python_values_are_checked_as_well(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Config(**(STREAM | values))

    assert message in str(refused.value)


def test_a_password_in_an_endpoint_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as refused:
        Config(stream="orders", application="billing", endpoint_url="https://me:secret@kinesis.example")

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:4567", "http://localhost:4567", "http://[::1]:1", "https://kinesis.example"]
)
def test_https_and_loopback_are_good_endpoints(url: str) -> None:
    assert Config(stream="orders", application="billing", endpoint_url=url).endpoint_url == url


def test_plain_http_elsewhere_is_a_decision() -> None:
    config = Config(stream="orders", application="billing", endpoint_url="http://stub:4567", allow_plain_http=True)

    assert config.endpoint_url == "http://stub:4567"


def test_an_arn_names_its_stream() -> None:
    config = Config(stream="arn:aws:kinesis:eu-west-1:000000000000:stream/orders", application="billing")

    assert config.stream_name == "orders"


def test_the_default_worker_id_is_made_of_a_strange_hostname(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "höst@home;rm")
    monkeypatch.setattr("os.getpid", lambda: 7)

    assert Config(stream="orders", application="billing").worker_id == "h-st-home-rm-7"


@pytest.mark.parametrize("name", SETTINGS)
def test_every_default_survives_the_way_through_text(name: str) -> None:
    setting, default = SETTINGS[name], default_of(name)

    assert setting.reason.endswith(".")
    if default is not None and default != {}:
        assert setting.read(setting.form.shown(default), "text") == default


def test_odd_sizes_are_shown_in_bytes() -> None:
    assert SIZE.shown(1000) == "1000B"
