"""What processors were called with, as they wrote it down: one file per process, one JSON line per fact.

Each line is one write at the end of a file, so what a process had said before SIGKILL is there, and two threads never
mix their lines. Nothing is synced to the disk: the kernel outlives the processes. The last line of a killed process may
be torn, and is then left out.
"""

import json
import os
from pathlib import Path
from typing import Literal

import msgspec

from kcl_py import ShardContext, host

Kind = Literal["initialize", "batch", "record", "done", "shutdown_requested", "shard_ended", "lease_lost"]


class Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that a processor saw. Facts of several processes of one machine share a clock."""

    kind: Kind
    at: float  # seconds since boot
    pid: int
    worker: str  # its worker id
    shard: str
    token: int  # the fencing token of the epoch
    checkpoint: str = ""  # of `initialize`: where the epoch began
    sequence_number: int = 0
    sub_sequence_number: int = 0
    key: str = ""
    payload: str = ""

    @property
    def position(self) -> tuple[int, int]:
        return self.sequence_number, self.sub_sequence_number


class JournalFile:
    """The file of this process."""

    def __init__(self, folder: Path) -> None:
        self._pid = os.getpid()
        self._file = os.open(folder / f"{self._pid}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, kind: Kind, context: ShardContext, **details: str | int) -> None:
        """Write one fact down."""
        epoch = {"worker": context.worker_id, "shard": context.shard_id, "token": context.fencing_token}
        fact = {"kind": kind, "at": host.boottime(), "pid": self._pid} | epoch | details
        os.write(self._file, json.dumps(fact).encode() + b"\n")


class Journal:
    """The files of all processes of one application."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, tuple[int, list[Fact]]] = {}  # how many bytes of each file, and what was in them

    def facts(self, *kinds: Kind) -> list[Fact]:
        """Every fact so far, in the order of time."""
        facts = [fact for path in sorted(self._folder.glob("*.jsonl")) for fact in self._facts_in(path)]
        return sorted((fact for fact in facts if not kinds or fact.kind in kinds), key=lambda fact: fact.at)

    @property
    def delivered(self) -> list[Fact]:
        """Every delivery of a record, repeats included."""
        return self.facts("record")

    @property
    def payloads(self) -> set[str]:
        """What was delivered at least once."""
        return {fact.payload for fact in self.delivered}

    def newest_owners(self) -> dict[str, str]:
        """The id of the worker that began the newest epoch of each shard."""
        begun = sorted(self.facts("initialize"), key=lambda fact: fact.token)
        return {fact.shard: fact.worker for fact in begun}

    def by_process(self, pid: int) -> list[Fact]:
        """The deliveries in one process."""
        return [fact for fact in self.delivered if fact.pid == pid]

    def _facts_in(self, path: Path) -> list[Fact]:
        size_bytes, facts = self._read.get(path, (0, []))
        with path.open("rb") as file:
            file.seek(size_bytes)
            whole, line_feed, _ = file.read().rpartition(b"\n")  # what follows is nothing, or a torn line
        if line_feed:
            facts += map(_DECODER.decode, whole.split(b"\n"))
            self._read[path] = size_bytes + len(whole) + 1, facts
        return facts


_DECODER = msgspec.json.Decoder(Fact)
