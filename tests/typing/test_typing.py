"""What type checkers make of the public surface: right usages pass, wrong ones are told, and the wheel says so."""

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import kcl_py

ROOT = Path(__file__).resolve().parents[2]
API = Path(__file__).with_name("api.py")
WRONG = """
import kcl_py
from kcl_py import Absent  # expect: attr-defined
from kcl_py import Checkpointer, Config, RecordBatch, RecordProcessor, StartPosition, Worker, events


class Good(RecordProcessor):
    def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        checkpointer.checkpoint("49590338271490256608559692538361571095921575989136588898")  # expect: arg-type
        checkpointer.checkpoint(records)  # expect: arg-type
        records[0].data = b"other"  # expect: misc
        records[0].partion_key  # expect: attr-defined
        records.append(records[0])  # expect: attr-defined
        self.context.fencing_tokn  # expect: attr-defined


class Reversed(RecordProcessor):
    def process_records(self, checkpointer: Checkpointer, records: RecordBatch) -> None:  # expect: override
        pass


class WithoutCheckpointer(RecordProcessor):
    def process_records(self, records: RecordBatch) -> None:  # expect: override
        pass


class Answering(RecordProcessor):
    def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> bool:  # expect: override
        return True


class Undecided(RecordProcessor):
    checkpointing = "sometimes"  # expect: assignment


config = Config(stream="orders", application="billing")
config.stream = "others"  # expect: misc
Config(application="billing")  # expect: call-arg
Config(stream="orders", application="billing", failover="10s")  # expect: call-arg
Config(stream="orders", application="billing", failover_seconds="10s")  # expect: arg-type
Config(stream="orders", application="billing", start="LATEST")  # expect: arg-type
StartPosition.at("2026-03-01T09:00:00Z")  # expect: arg-type
Worker(Good)  # expect: call-arg
Worker(Good(), config)  # expect: arg-type
Worker(dict, config)  # expect: arg-type
Worker(Good, config, listeners=print)  # expect: arg-type
Worker(Good, {"stream": "orders"})  # expect: arg-type
kcl_py.Wroker  # expect: attr-defined
events.Absent  # expect: attr-defined
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-index", "--no-build-isolation")
    subprocess.run(
        (sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(folder), str(ROOT)),
        check=True,
        capture_output=True,
        timeout=120,
    )
    (path,) = folder.iterdir()
    with zipfile.ZipFile(path) as opened:
        yield opened


def mypy(*files: Path) -> str:
    """Check files as strictly as the repository is checked."""
    words = (
        sys.executable,
        "-m",
        "mypy",
        "--no-error-summary",
        "--no-pretty",
        "--hide-error-context",
        *map(str, files),
    )
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240).stdout


def test_right_usages_pass_and_each_wrong_one_is_told(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong_usages.py"
    wrong.write_text(WRONG)
    expected = {
        (number, code)
        for number, line in enumerate(WRONG.splitlines(), 1)
        for code in re.findall(r"# expect: ([\w-]+)", line)
    }

    answer = mypy(API, wrong)

    told = {
        (int(number), code) for number, code in re.findall(r"wrong_usages\.py:(\d+): error: .*\[([\w-]+)\]", answer)
    }
    assert told == expected, answer
    assert str(API.relative_to(ROOT)) not in answer


def test_every_exported_name_is_used_in_the_checked_file() -> None:
    text = API.read_text()

    assert [name for name in kcl_py.__all__ if not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.parametrize("name", ["py.typed", "worker.py", "cli/run.py"])
def test_the_wheel_holds_the_package_and_its_mark_of_being_typed(wheel: zipfile.ZipFile, name: str) -> None:
    assert f"kcl_py/{name}" in wheel.namelist()


def test_the_wheel_holds_the_package_the_command_and_the_licence_alone(wheel: zipfile.ZipFile) -> None:
    top = {name.partition("/")[0] for name in wheel.namelist()}
    info = f"kcl_py-{kcl_py.__version__}.dist-info"

    assert top == {"kcl_py", info}
    assert f"{info}/licenses/LICENSE" in wheel.namelist()
    assert "kcl-py = kcl_py.cli:main" in wheel.read(f"{info}/entry_points.txt").decode()
