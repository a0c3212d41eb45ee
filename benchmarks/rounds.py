"""Runs clients side by side: A B C ... A B C ..., each a process of its own.

What else the machine does meanwhile so strikes all of them alike. A ratio is the median of the rounds' ratios.
"""

# ruff: noqa: S603 - every command is one of our own

import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from benchmarks.bodies import Body
from benchmarks.environment import ROOT, Missing, built, peers
from benchmarks.load_source import Endpoints

_TIMEOUT_SECONDS = 300.0


class Sample(msgspec.Struct, frozen=True):
    """What one process measured."""

    cpu_seconds: float
    records: int
    calls: int
    lag_p99_seconds: float | None = None
    checkpoints: int | None = None
    trouble: list[str] = []

    @property
    def us_per_record(self) -> float:
        """CPU."""
        return self.cpu_seconds * 1e6 / self.records

    @property
    def us_per_call(self) -> float:
        """CPU."""
        return self.cpu_seconds * 1e6 / self.calls


class Cell(msgspec.Struct, frozen=True):
    """One body, read from so many shards, by several clients."""

    body: Body
    shards: int
    clients: tuple[str, ...]

    @property
    def stream(self) -> str:
        """The stream's name, which tells the load source what to answer."""
        return f"{self.body.name}-{self.shards}"


class Outcome(msgspec.Struct, frozen=True):
    """The rounds of a cell, each with a sample of every client."""

    cell: Cell
    rounds: list[dict[str, Sample]]

    def us_per_record(self, client: str) -> float:
        """The median of its CPU per record."""
        return statistics.median(round_[client].us_per_record for round_ in self.rounds)

    def us_per_call(self, client: str) -> float:
        """The median of its CPU per call."""
        return statistics.median(round_[client].us_per_call for round_ in self.rounds)

    def ms_per_megabyte(self, client: str) -> float:
        """The median of its CPU per million bytes of payload."""
        return self.us_per_record(client) / self.cell.body.size_bytes * 1_000

    def ratios(self, client: str, than: str, unit: str = "us_per_record") -> list[float]:
        """How many times cheaper a client was in each round, in order of size."""
        return sorted(getattr(round_[than], unit) / getattr(round_[client], unit) for round_ in self.rounds)

    def ratio(self, client: str, than: str, unit: str = "us_per_record") -> float:
        """The median of them."""
        return statistics.median(self.ratios(client, than, unit))

    def lag_p99_seconds(self, client: str) -> float:
        """The median of the rounds' lags."""
        return statistics.median(round_[client].lag_p99_seconds or 0.0 for round_ in self.rounds)


def interleaved(
    cells: Sequence[Cell], endpoints: Endpoints, *, rounds: int, seconds: float, tell: Callable[[str], None]
) -> list[Outcome]:
    """Run every cell so many rounds; each sample counts for about so many seconds."""
    outcomes = []
    for cell in cells:
        done: list[dict[str, Sample]] = []
        for number in range(rounds):
            tell(f"{cell.stream}, round {number + 1} of {rounds}")
            done.append({client: sampled(client, cell, endpoints, seconds) for client in cell.clients})
        outcomes.append(Outcome(cell, done))
    return outcomes


def sampled(client: str, cell: Cell, endpoints: Endpoints, seconds: float, *, is_tls: bool = True) -> Sample:
    """Run one client once.

    Raises:
        Missing: it failed, or got nothing, or met trouble: such a sample says nothing.
    """
    command = CLIENTS[client](cell, endpoints, seconds)
    environment = endpoints.environment(is_tls=is_tls)
    words = [str(word) for word in command]
    if client == "kclpy child":
        body = endpoints.folder / f"{cell.body.name}.json"
        feeder = (words[0], "-m", "benchmarks.clients.kclpy_feeder", str(body))
        with subprocess.Popen(feeder, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as feeding:
            done = _run(words, environment, stdin=feeding.stdout)
            assert feeding.stdout is not None
            feeding.stdout.close()
    else:
        done = _run(words, environment)
    if done.returncode != 0:
        raise Missing(f"{client} on {cell.stream} failed:\n{done.stderr[-2_000:]}")
    sample = msgspec.json.decode(done.stdout.splitlines()[-1], type=Sample)
    if sample.trouble or not sample.calls + sample.records or (cell.body.records and not sample.records):
        raise Missing(f"{client} on {cell.stream} got nothing, or met trouble: {sample}")
    return sample


def _run(words: list[str], environment: dict[str, str], **more: object) -> "subprocess.CompletedProcess[str]":
    done: subprocess.CompletedProcess[str] = subprocess.run(  # type: ignore[call-overload]
        words,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
        **more,
    )
    return done


Command = Callable[[Cell, Endpoints, float], Sequence[object]]


def _program(name: str, *mode: str, of_peers: bool = False) -> Command:
    def command(cell: Cell, _: Endpoints, seconds: float) -> Sequence[object]:
        python: Path | str = peers() if of_peers else sys.executable
        return python, "-m", f"benchmarks.clients.{name}", cell.stream, seconds, *mode

    return command


def _async_kinesis(cell: Cell, _: Endpoints, seconds: float) -> Sequence[object]:
    whole_round = cell.body.records * cell.shards
    return peers(), "-m", "benchmarks.clients.async_kinesis", cell.stream, seconds, whole_round


CLIENTS: dict[str, Command] = {
    "floor in C": lambda cell, endpoints, seconds: (built("floor"), endpoints.tls_port, "tls", cell.stream, seconds),
    "boto3 loop": _program("boto3_loop"),
    "boto3, timestamps free": _program("boto3_loop", "free-timestamps"),
    "boto3 + aws-kinesis-agg": _program("boto3_loop", "deaggregated", of_peers=True),
    "aioboto3 loop": _program("aioboto3_loop"),
    "async-kinesis": _async_kinesis,
    "kclpy child": lambda _cell, _endpoints, seconds: (peers(), "-m", "benchmarks.clients.kclpy_child", seconds),
    "kcl_py polling": _program("ours", "async"),
    "kcl_py polling, sync processor": _program("ours", "sync"),
    "kcl_py polling at its pace": _program("ours", "paced"),
    "kcl_py fan-out": _program("ours", "fan-out"),
}
"""How each client is started."""
