"""`kcl-py run`: what reaches the worker, and what is refused before it."""

import logging
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import pytest

from kcl_py import events
from kcl_py.config import SETTINGS, Config
from kcl_py.errors import AccessDenied
from kcl_py.log import LogListener
from tests.cli.conftest import Shell

BASIC = ("--stream", "orders", "--application", "billing")
PROCESSORS = """
import kcl_py.processor


class Good(kcl_py.processor.RecordProcessor):
    def process_records(self, records, checkpointer):
        pass

    class Inner(kcl_py.processor.RecordProcessor):
        async def process_records(self, records, checkpointer):
            pass


class Idle(kcl_py.processor.RecordProcessor):
    pass


class Mixed(Good):
    async def initialize(self, context):
        pass


class Wanting(Good):
    def __init__(self, table, *, key, other=None):
        pass


class Unrelated:
    def process_records(self, records, checkpointer):
        pass


def make():
    return Good()


def make_from(table):
    return Good()


number = 5
"""


class FakeWorker:
    """Takes the place of the worker, notes what it was given, and logs as a worker does."""

    made: ClassVar[list[Any]] = []
    failure: Exception | None = None

    def __init__(self, processor: Any, config: Config) -> None:
        self.processor, self.config = processor, config
        self.made.append(self)

    def run(self) -> None:
        log = LogListener(self.config.application, self.config.stream_name, self.config.worker_id)
        log(events.SessionStarted(session="host-1@00000000"))
        log(events.CheckpointWritten(shard_id="shardId-000000000000", checkpoint="21/0", fencing_token=1))
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def worker(shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[FakeWorker]:
    class Fake(FakeWorker):
        made: ClassVar[list[Any]] = []

    module = types.ModuleType("kcl_py.worker")
    module.Worker = Fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kcl_py.worker", module)
    monkeypatch.setattr("sys.path", list(sys.path))
    for name in ("processors", "broken", "leaving"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "processors.py").write_text(PROCESSORS)
    (tmp_path / "broken.py").write_text("import nothing_of_the_kind\n")
    (tmp_path / "leaving.py").write_text("raise SystemExit(0)\n")
    return Fake


def test_a_class_of_the_current_directory_is_run(shell: Shell, worker: type[FakeWorker]) -> None:
    result = shell.run("run", "processors:Good", *BASIC, "--failover", "20s", "--no-create-table")

    assert result.exit_code == 0, result.output
    (made,) = worker.made
    assert made.processor.__name__ == "Good"
    assert made.config.failover_seconds == 20
    assert made.config.create_table is False
    assert made.config.stream == "orders"


@pytest.mark.parametrize("name", ["Good.Inner", "make"])
def test_whatever_makes_a_processor_may_be_named(shell: Shell, worker: type[FakeWorker], name: str) -> None:
    assert shell.run("run", f"processors:{name}", *BASIC).exit_code == 0
    assert len(worker.made) == 1


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("processors", "'processors' is not MODULE:PROCESSOR"),
        (":Good", "is not MODULE:PROCESSOR"),
        ("processors:God", "processors:God is not there; did you mean Good?"),
        ("processors:Good.inner", "did you mean Inner?"),
        ("processors:number", "processors:number is neither a class nor a callable"),
        ("processors:Idle", "Idle lacks process_records"),
        ("processors:Mixed", "mixes def and async def"),
        ("processors:Unrelated", "is not a RecordProcessor"),
        ("processors:Wanting", "processors:Wanting needs arguments (table, key)"),
        ("processors:make_from", "processors:make_from needs arguments (table)"),
        ("absent:Good", "absent does not import: ModuleNotFoundError"),
        ("broken:Good", "broken does not import: ModuleNotFoundError: No module named 'nothing_of_the_kind'"),
        ("leaving:Good", "leaving does not import: SystemExit"),
        ("processors.py:Good", "write a module as Python imports it"),
    ],
)
def test_what_is_no_processor_is_one_line(shell: Shell, worker: type[FakeWorker], path: str, message: str) -> None:
    result = shell.run("run", path, *BASIC)

    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert worker.made == []


def test_a_failed_import_has_its_traceback_when_asked_for(shell: Shell, worker: type[FakeWorker]) -> None:
    result = shell.run("run", "broken:Good", *BASIC, "--verbose")

    assert result.exit_code == 2
    assert "import nothing_of_the_kind" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no stream is given; use --stream"),
        ((*BASIC, "--failover", "10"), "--failover is '10'; expected a duration with its unit"),
        ((*BASIC, "--failovr", "10s"), "--failovr"),
        ((*BASIC, "--worker-id", "Leader"), "worker_id is 'Leader'"),
        ((*BASIC, "--endpoint-url", "http://kinesis.example"), "plain http"),
    ],
)
def test_bad_settings_are_one_line(
    shell: Shell, worker: type[FakeWorker], words: tuple[str, ...], message: str
) -> None:
    result = shell.run("run", "processors:Good", *words)

    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_environment_and_file_are_read(
    shell: Shell, worker: type[FakeWorker], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "kcl.toml").write_text('stream = "orders"\napplication = "filed"\nbuffer = "1MiB"\n')
    monkeypatch.setenv("KCL_PY_APPLICATION", "billing")

    assert shell.run("run", "processors:Good").exit_code == 0
    assert worker.made[0].config.application == "billing"
    assert worker.made[0].config.buffer_bytes_max == 2**20


def test_every_setting_is_an_option_with_its_reason_and_its_variable(shell: Shell) -> None:
    text = " ".join(shell.run("run", "--help").output.split())

    for setting in SETTINGS.values():
        assert setting.option in text
        assert setting.variable in text
        assert setting.reason[:20] in text


def test_a_refusal_by_aws_is_code_3_after_the_log(
    shell: Shell, worker: type[FakeWorker], capfd: pytest.CaptureFixture[str]
) -> None:
    worker.failure = AccessDenied("kinesis:ListShards on stream orders was denied")

    result = shell.run("run", "processors:Good", *BASIC)

    assert result.exit_code == 3
    assert result.stderr == "kcl-py: error: kinesis:ListShards on stream orders was denied\n"
    log = capfd.readouterr().err
    assert "INFO session started session=host-1@00000000 | application=billing stream=orders worker=" in log
    assert "checkpoint written" not in log
    assert logging.getLogger("kcl_py").propagate


def test_verbose_logs_at_debug_level(shell: Shell, worker: type[FakeWorker], capfd: pytest.CaptureFixture[str]) -> None:
    shell.run("run", "processors:Good", *BASIC, "--verbose", "--log-format", "json")

    assert '"event": "checkpoint written"' in capfd.readouterr().err


def test_a_bug_is_not_dressed_up(shell: Shell, worker: type[FakeWorker]) -> None:
    worker.failure = ZeroDivisionError("a bug")

    result = shell.run("run", "processors:Good", *BASIC)

    assert result.exit_code == 1
    assert isinstance(result.exception, ZeroDivisionError)
