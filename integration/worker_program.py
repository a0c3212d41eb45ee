"""`kcl-py run` in a process of its own, or several workers in one, and the log of it."""

import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from integration.program import KCL_PY, PATIENCE_SECONDS, Program, clean_environment, eventually
from integration.services import Services
from kcl_py import host

LogEntry = dict[str, Any]


class WorkerProgram(Program):
    """One worker, or several of them, that log JSON.

    Args:
        processor: a class of integration/processors.py.
        stream, application: what it reads, and for whom.
        services: the endpoints and credentials that its environment names.
        options: more words of its command line.
        environment: more of its environment.
        directory: its current directory.
        workers: how many; more than one are embedded in a program of our own.
        shell: what a POSIX shell does first, such as `ulimit -n 64`, and where it sends what the program writes; the
            program takes the place of the shell at `exec "$@"`.
    """

    def __init__(
        self,
        processor: str,
        *,
        stream: str,
        application: str,
        services: Services,
        options: tuple[str, ...] = (),
        environment: Mapping[str, str],
        directory: Path,
        workers: int = 1,
        shell: str = "",
    ) -> None:
        words = ("--stream", stream, "--application", application, "--log-format", "json", *options)
        crowd = (sys.executable, "-m", "integration.crowd", processor, str(workers))
        program = (KCL_PY, "run", f"integration.processors:{processor}") if workers == 1 else crowd
        super().__init__(
            [*(("/bin/sh", "-c", shell, "sh") if shell else ()), *program, *words],
            environment={**clean_environment(), **services.environment, **environment},
            directory=directory,
        )
        self.workers = workers
        self._log: list[LogEntry] = []
        self._read_lines = 0

    @property
    def log(self) -> list[LogEntry]:
        """Every line of standard error so far that is JSON."""
        lines = self.errors[self._read_lines :]
        self._log += [json.loads(line) for line in lines if line.startswith("{")]
        self._read_lines += len(lines)
        return self._log

    def events(self, event: str, **fields: object) -> list[LogEntry]:
        """The log's entries of one kind."""
        return [
            entry
            for entry in self.log
            if entry.get("event") == event and all(entry.get(name) == value for name, value in fields.items())
        ]

    def wait_for(self, event: str, *, count: int = 1, within: float = PATIENCE_SECONDS, **fields: object) -> LogEntry:
        """Wait until the log has so many entries of a kind; the last of them."""

        def look() -> list[LogEntry]:
            found = self.events(event, **fields)
            assert len(found) >= count or self.is_running, f"it ended before it logged {event!r}; {self}"
            return found[count - 1 :]

        return eventually(look, f"{event!r} {fields or ''}", of=self, within=within)[0]

    @property
    def sessions(self) -> list[str]:
        """The newest session of each of its workers, as far as they have begun one."""
        return list({entry["worker"]: str(entry["session"]) for entry in self.events("session started")}.values())

    @property
    def session(self) -> str | None:
        """The newest session of the only worker, once it has begun one."""
        return self.sessions[0] if self.sessions else None

    def ready(self) -> "WorkerProgram":
        """Wait until everything that is put from now on is certain to be delivered."""
        self.wait_for("worker ready", count=self.workers, within=self.workers * PATIENCE_SECONDS)
        return self

    def drained(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Stop it in order; its exit code."""
        self.signal(by)
        return self.ended()

    def terminated(self) -> float:
        """Send SIGTERM and go on; the instant before, on the boot clock."""
        at = host.boottime()
        self.signal(signal.SIGTERM)
        return at
