"""A program in a process of its own: what it writes, how it ends, and signals to it by its id."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeVar

ROOT = Path(__file__).resolve().parents[1]
KCL_PY = str(Path(sys.executable).with_name("kcl-py"))
PATIENCE_SECONDS = 60.0  # for what must happen; a slow machine is no failure
Found = TypeVar("Found")


def eventually(
    look: Callable[[], Found | None],
    what: str,
    *,
    of: object = "",
    within: float = PATIENCE_SECONDS,
    pause_seconds: float = 0.03,
) -> Found:
    """Look until there is something to see, and return it.

    Args:
        look: what to call.
        what: is waited for.
        of: what tells more if it never comes; asked then, not before.
        within: seconds until it is given up.
        pause_seconds: between two looks; longer where looking costs those who are looked at.

    Raises:
        AssertionError: nothing was seen in `within` seconds.
    """
    deadline = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {within:g} s in vain for {what}; {of}"
        time.sleep(pause_seconds)
    return found


def clean_environment() -> dict[str, str]:
    """This process's environment without anybody's AWS and kcl_py settings."""
    names = [name for name in os.environ if not name.startswith(("AWS_", "KCL_PY_", "PYTEST_"))]
    kept = {name: os.environ[name] for name in names}  # not `items`: pytest's own comes and goes beside our threads
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return kept | nowhere | {"AWS_EC2_METADATA_DISABLED": "true", "PYTHONPATH": str(ROOT)}


class Program:
    """A running program; everything that it writes is collected line by line."""

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str], directory: Path) -> None:
        self.command = " ".join(command)
        self._process = subprocess.Popen(
            command,
            env=environment,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self.pid = self._process.pid
        self.output: list[str] = []
        self.errors: list[str] = []
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        pipes = ((self._process.stdout, self.output), (self._process.stderr, self.errors))
        self._readers = [threading.Thread(target=_collect, args=pipe, daemon=True) for pipe in pipes]
        for reader in self._readers:
            reader.start()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def is_killed(self) -> bool:
        """True if SIGKILL has ended it."""
        return self._process.poll() == -signal.SIGKILL

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process and to no other."""
        self._process.send_signal(number)

    def ended(self, *, within: float = PATIENCE_SECONDS) -> int:
        """Wait for the end; the exit code, negative for a signal. All lines are there afterwards."""
        try:
            code = self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.command} still runs after {within:g} s; {self}") from None
        for reader in self._readers:
            reader.join()
        return code

    def killed(self) -> None:
        """SIGKILL, and the end of it."""
        self._process.kill()
        self.ended()

    def __str__(self) -> str:
        return "it wrote:\n" + "\n".join([*self.output[-40:], *self.errors[-40:]])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_running:
            self._process.kill()
        self.ended()
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()


def _collect(pipe: IO[str], lines: list[str]) -> None:
    for line in pipe:
        lines += [line.rstrip("\n")]  # one by one, for those who watch
