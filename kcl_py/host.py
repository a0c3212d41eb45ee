"""What this machine can tell about its processes and its clock."""

import os
import time
from pathlib import Path

from kcl_py.core.session import Process

_STARTTIME_FIELD = 22 - 3  # proc(5): field 22, counted after the command name, which is field 2


def boottime() -> float:
    """Seconds since boot, including suspend where the kernel counts it; the same in every process and thread."""
    return time.clock_gettime(_CLOCK)


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def this_process(proc: Path = Path("/proc")) -> Process | None:
    """Name this process so that a successor can prove that it is gone; None where the kernel does not tell."""
    try:
        return Process(
            boot_id=(proc / "sys/kernel/random/boot_id").read_text().strip(),
            pid_namespace=_pid_namespace(proc),
            pid=os.getpid(),
            started_ticks=_started_ticks(proc, os.getpid()),
        )
    except (OSError, ValueError, IndexError):
        return None


def is_gone(process: Process | None, proc: Path = Path("/proc")) -> bool:
    """True only if it is certain that `process` ran under this kernel and PID namespace and does so no more.

    A zombie counts as gone: it will never run again.
    """
    here = this_process(proc)
    if process is None or here is None:
        return False
    if (process.boot_id, process.pid_namespace) != (here.boot_id, here.pid_namespace):
        return False
    try:
        return _started_ticks(proc, process.pid) != process.started_ticks or _state(proc, process.pid) in "ZX"
    except FileNotFoundError:
        return not _may_run(process.pid)
    except (OSError, ValueError, IndexError):
        return False


def _may_run(pid: int) -> bool:
    """False only if the kernel says that there is no such process.

    /proc is no proof: mounted with `hidepid` (proc(5)) it shows no processes of other users.
    """
    if pid <= 0:  # which kill(2) takes for a group of processes
        return True
    try:
        os.kill(pid, 0)  # asks, and sends nothing
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it is another user's, or the number is none that a process has
        return True
    return True


def _pid_namespace(proc: Path) -> str:
    return str((proc / "self/ns/pid").readlink())


def _fields(proc: Path, pid: int) -> list[str]:
    # the command name is in parentheses and may hold spaces and parentheses itself
    return (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()


def _started_ticks(proc: Path, pid: int) -> int:
    return int(_fields(proc, pid)[_STARTTIME_FIELD])


def _state(proc: Path, pid: int) -> str:
    return _fields(proc, pid)[0]
