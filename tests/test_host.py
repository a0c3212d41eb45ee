"""A process is called gone only on proof, because the leases of one that is gone are taken at once."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from kcl_py import host
from kcl_py.core.session import Process

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux: no /proc")

PROC = Path("/proc")
HERE = Process(boot_id="b007", pid_namespace="pid:[1]", pid=os.getpid(), started_ticks=100)
OTHER_PID = os.getppid()
OTHER = msgspec.structs.replace(HERE, pid=OTHER_PID, started_ticks=200)


def stat(name: str = "python", state: str = "S", started_ticks: int = 100) -> str:
    """What proc(5) says of one process: the start time is field 22."""
    return " ".join(["1", f"({name})", state, *["0"] * 18, str(started_ticks), *["0"] * 30])


def show(proc: Path, pid: int, text: str) -> None:
    (proc / str(pid)).mkdir(exist_ok=True)
    (proc / str(pid) / "stat").write_text(text)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc that shows this process alone, as one mounted with hidepid=2 does."""
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text(f"{HERE.boot_id}\n")
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to(HERE.pid_namespace)
    show(tmp_path, HERE.pid, stat())
    return tmp_path


@pytest.fixture
def finished() -> subprocess.Popen[bytes]:
    """A process that has ended and was waited for, so that its pid is nobody's."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process


@pytest.fixture
def running() -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs until it is told to end."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.communicate(b"\n")


def as_seen(pid: int) -> Process:
    """The process of that pid as it would name itself."""
    here = host.this_process()
    assert here is not None
    return msgspec.structs.replace(here, pid=pid, started_ticks=host._started_ticks(PROC, pid))


def test_the_clock_never_goes_back() -> None:
    assert host.boottime() <= host.boottime()
    assert host.boottime() >= time.monotonic() - 1


class TestThisProcess:
    def test_names_itself_by_what_the_kernel_tells(self, proc: Path) -> None:
        assert host.this_process(proc) == HERE

    @pytest.mark.parametrize("name", ["a b", "a) S 1 (b", "()", "1 2 3"])
    def test_may_have_any_name(self, proc: Path, name: str) -> None:
        show(proc, HERE.pid, stat(name))
        assert host.this_process(proc) == HERE

    def test_names_itself_here(self) -> None:
        here = host.this_process()
        assert here is not None
        assert here.pid == os.getpid()
        assert here == host.this_process()

    @pytest.mark.parametrize(
        "file", ["sys/kernel/random/boot_id", "self/ns/pid", f"{HERE.pid}/stat"], ids=["boot", "pid namespace", "stat"]
    )
    def test_has_no_name_where_the_kernel_does_not_tell(self, proc: Path, file: str) -> None:
        (proc / file).unlink()
        assert host.this_process(proc) is None

    @pytest.mark.parametrize("text", ["", "1 (python) S 0", stat().replace(" 100 ", " soon ")])
    def test_has_no_name_where_what_the_kernel_tells_is_odd(self, proc: Path, text: str) -> None:
        show(proc, HERE.pid, text)
        assert host.this_process(proc) is None

    def test_is_not_gone(self, proc: Path) -> None:
        assert not host.is_gone(HERE, proc)
        assert not host.is_gone(host.this_process())


class TestAProcessThatIsGone:
    def test_has_left_no_entry_and_no_pid(self, finished: subprocess.Popen[bytes], proc: Path) -> None:
        assert host.is_gone(msgspec.structs.replace(OTHER, pid=finished.pid), proc)
        assert host.is_gone(msgspec.structs.replace(as_seen(os.getpid()), pid=finished.pid))

    def test_has_left_its_pid_to_another(self, proc: Path) -> None:
        show(proc, OTHER_PID, stat(started_ticks=201))
        assert host.is_gone(OTHER, proc)
        here = as_seen(os.getpid())
        assert host.is_gone(msgspec.structs.replace(here, started_ticks=here.started_ticks - 1))

    @pytest.mark.parametrize("state", ["Z", "X"])
    def test_may_wait_to_be_buried(self, proc: Path, state: str) -> None:
        show(proc, OTHER_PID, stat(state=state, started_ticks=200))
        assert host.is_gone(OTHER, proc)

    def test_is_so_before_its_parent_looks(self) -> None:
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
            seen = as_seen(process.pid)
            assert process.stdin is not None
            process.stdin.write(b"\n")
            process.stdin.close()
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            assert host.is_gone(seen)


class TestAProcessIsNotCalledGone:
    def test_while_it_runs(self, running: subprocess.Popen[bytes]) -> None:
        assert not host.is_gone(as_seen(running.pid))

    @pytest.mark.parametrize("state", ["R", "S", "D", "T", "t", "I"])
    def test_while_it_sleeps_or_is_stopped(self, proc: Path, state: str) -> None:
        show(proc, OTHER_PID, stat(state=state, started_ticks=200))
        assert not host.is_gone(OTHER, proc)

    def test_where_proc_hides_it(self, running: subprocess.Popen[bytes], proc: Path) -> None:
        assert not host.is_gone(msgspec.structs.replace(OTHER, pid=running.pid), proc)

    def test_where_proc_hides_it_and_it_is_another_users(self, proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "kill", _raising(PermissionError()))
        assert not host.is_gone(OTHER, proc)

    def test_if_it_never_said_which_it_is(self, proc: Path) -> None:
        assert not host.is_gone(None, proc)

    def test_if_it_ran_before_the_last_boot_or_on_another_machine(
        self, finished: subprocess.Popen[bytes], proc: Path
    ) -> None:
        assert not host.is_gone(msgspec.structs.replace(OTHER, pid=finished.pid, boot_id="b008"), proc)

    def test_if_it_runs_in_another_container(self, finished: subprocess.Popen[bytes], proc: Path) -> None:
        assert not host.is_gone(msgspec.structs.replace(OTHER, pid=finished.pid, pid_namespace="pid:[2]"), proc)

    @pytest.mark.parametrize("text", ["", "1 (python) S 0", stat().replace(" 100 ", " soon ")])
    def test_if_its_entry_is_odd(self, proc: Path, text: str) -> None:
        show(proc, OTHER_PID, text)
        assert not host.is_gone(OTHER, proc)

    def test_if_its_entry_cannot_be_read(self, proc: Path) -> None:
        (proc / str(OTHER_PID) / "stat").mkdir(parents=True)
        assert not host.is_gone(OTHER, proc)

    def test_if_this_process_cannot_tell_where_it_is_itself(
        self, finished: subprocess.Popen[bytes], tmp_path: Path
    ) -> None:
        assert not host.is_gone(msgspec.structs.replace(OTHER, pid=finished.pid), tmp_path)

    @pytest.mark.parametrize("pid", [0, -1, -(2**22), 2**31, 2**63, -(2**63)])
    def test_if_its_pid_is_none_that_a_process_has(self, proc: Path, pid: int) -> None:
        assert not host.is_gone(msgspec.structs.replace(OTHER, pid=pid), proc)


def _raising(error: OSError) -> Callable[[int, int], None]:
    def kill(_pid: int, _signal: int) -> None:
        raise error

    return kill
