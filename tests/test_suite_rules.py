"""The suite's own rules: what did not run is named, may be forbidden, and no test leaves a task behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from integration import provision
from integration.provision import Tool

ROOT = Path(__file__).parents[1]
SUITE = """
import asyncio
import pytest

def test_that_runs():
    assert True

@pytest.mark.parametrize("number", [1, 2])
def test_that_needs_a_tool(number):
    pytest.skip("needs kinesis-local: no node")

async def test_that_tidies_up():
    asyncio.create_task(asyncio.sleep(60)).cancel()
"""
UNTIDY = """
import asyncio

tasks = []

async def test_that_leaves_a_task():
    tasks.append(asyncio.create_task(asyncio.sleep(60)))
"""


def run(folder: Path, suite: str, **environment: str) -> list[str]:
    """Run a suite under this one's conftest.py; its output, the exit code first."""
    (folder / "conftest.py").write_text((ROOT / "conftest.py").read_text())
    (folder / "test_sample.py").write_text(suite)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", str(folder)]
    variables = {name: value for name, value in os.environ.items() if name != "KCL_PY_REQUIRE_ALL"} | environment
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=60, check=False)
    return [f"exit {done.returncode}", *done.stdout.splitlines()]


def test_the_run_ends_by_naming_what_the_machine_could_not_run(tmp_path: Path) -> None:
    output = run(tmp_path, SUITE)
    assert output[0] == "exit 0"
    assert output[-2] == "not run on this machine: 2 tests need kinesis-local (no node)"
    assert "2 passed, 2 skipped" in output[-1]


def test_where_nothing_may_be_missing_the_gap_is_a_failure(tmp_path: Path) -> None:
    output = run(tmp_path, SUITE, KCL_PY_REQUIRE_ALL="1")
    assert output[0] == "exit 1"
    assert "2 failed, 2 passed" in output[-1]
    assert any("needs kinesis-local (no node)" in line for line in output)
    assert not any(line.startswith("not run on this machine") for line in output)


def test_a_task_left_behind_fails_the_test(tmp_path: Path) -> None:
    output = run(tmp_path, UNTIDY)
    assert output[0] == "exit 1"
    assert any("the test left tasks behind" in line for line in output)


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    (tmp_path / "pins").mkdir()
    (tmp_path / "pins" / "versions.txt").write_text("sample==1")
    monkeypatch.setattr(provision, "PINS", tmp_path / "pins")
    folder = tmp_path / "sample"
    return Tool("sample", folder, folder / "program", (), ("versions.txt",), lambda where: (where / "program").touch())


def test_a_tool_is_installed_once_for_its_pins(tool: Tool, capsys: pytest.CaptureFixture[str]) -> None:
    obstacles = [tool.obstacle]
    assert provision.provision(tool) is None
    obstacles.append(tool.obstacle)
    assert obstacles == ["not installed: run make test", None]
    assert provision.provision(tool) is None
    assert capsys.readouterr().out.count("sample: installed") == 1
    (provision.PINS / "versions.txt").write_text("sample==2")
    states = [tool.is_installed]
    assert provision.provision(tool) is None
    states.append(tool.is_installed)
    assert states == [False, True]


def test_a_tool_without_its_programs_is_named_and_not_tried(tool: Tool) -> None:
    absent = tool._replace(programs=("no-such-program",), install=lambda _: pytest.fail("was tried"))
    assert provision.provision(absent) == "no no-such-program"
    assert absent.obstacle == "no no-such-program"


def test_an_installation_that_fails_says_so_and_is_tried_again(tool: Tool) -> None:
    failing = tool._replace(install=lambda _: provision._run(sys.executable, "-c", "print('no route'); exit(3)"))
    assert "no route" in str(provision.provision(failing))
    assert not failing.is_installed
    assert provision.provision(tool) is None


@pytest.mark.parametrize(("require_all", "exit_code"), [("0", 0), ("1", 1)])
def test_a_missing_tool_ends_the_provisioning_only_where_all_are_required(
    tool: Tool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], require_all: str, exit_code: int
) -> None:
    monkeypatch.setenv("KCL_PY_REQUIRE_ALL", require_all)
    monkeypatch.setattr(provision, "ALL", (tool._replace(programs=("no-such-program",)),))
    assert provision.main() == exit_code
    assert capsys.readouterr().out == "sample: its tests will not run on this machine: no no-such-program\n"


def test_the_pins_name_no_registry() -> None:
    for pin in provision.PINS.iterdir():
        text = pin.read_text().replace("http://maven.apache.org/POM/4.0.0", "")
        assert "://" not in text, f"{pin.name} names a host"
