"""CPU per record of kcl_py and its peers, side by side: `make bench`, or `python -m benchmarks.side_by_side`.

`--write` puts the tables and the picture into docs/performance.md, `--rounds` and `--seconds` make it longer or
shorter, `--from FILE` prints an earlier run again. What is measured, and what it says, is in that document.
"""

# ruff: noqa: S603 - every command is one of our own

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TypeVar

import msgspec

from benchmarks import cells, environment
from benchmarks.bodies import Body
from benchmarks.environment import ROOT, TOOLS, Missing
from benchmarks.load_source import Endpoints, local, serving
from benchmarks.plot import drawn
from benchmarks.report import Latency, Results, about, sections, written_into
from benchmarks.rounds import Cell, Outcome, interleaved

DOCUMENT, PICTURE = ROOT / "docs" / "performance.md", ROOT / "docs" / "performance.svg"
_PUTS = 30
T = TypeVar("T")


def main() -> None:
    """Measure, print, and write if that is asked for."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=1.5)
    options.add_argument("--write", action="store_true")
    options.add_argument("--from", dest="earlier", type=Path)
    given = options.parse_args()
    try:
        if given.earlier is not None:
            results = msgspec.json.decode(given.earlier.read_bytes(), type=Results)
        else:
            results = measured(given.rounds, given.seconds)
            (TOOLS / "results.json").write_bytes(msgspec.json.encode(results))
    except Missing as error:
        sys.exit(str(error))
    tables = sections(results)
    print("\n\n".join(tables.values()))
    if given.write:
        DOCUMENT.write_text(written_into(DOCUMENT.read_text(encoding="utf-8"), tables), encoding="utf-8")
        PICTURE.write_text(drawn(results.side_by_side), encoding="utf-8")


def measured(rounds: int, seconds: float) -> Results:
    """Run everything.

    Raises:
        Missing: the machine lacks something, or a client failed.
    """
    environment.built("floor")
    environment.peers()
    with serving() as endpoints:

        def run(*chosen: Cell, rounds: int = max(1, rounds * 3 // 5)) -> list[Outcome]:
            return interleaved(chosen, endpoints, rounds=rounds, seconds=seconds, tell=_tell)

        return Results(
            side_by_side=run(*cells.SIDE_BY_SIDE, rounds=rounds),
            idle=run(cells.IDLE)[0],
            packed=run(cells.PACKED)[0],
            lag=run(*cells.LAG),
            by_size=run(*cells.BY_SIZE),
            by_records=run(*cells.BY_RECORDS),
            by_shards=run(*cells.BY_SHARDS),
            latency={name: _latency(mode) for name, mode in cells.LATENCY.items()},
            memory={body.name: _memory(endpoints, body) for body in (cells.LARGE, cells.LARGE_1KB)},
            user_records_per_second=_of_program({}, dict[str, float], "unpacking", str(seconds)),
            about=about(seconds),
        )


def _latency(mode: str) -> Latency:
    _tell(f"latency, {mode}")
    with local("--stream", "bench:1") as exports:
        return _of_program(exports, Latency, "latency", "bench", str(_PUTS), mode)


def _memory(endpoints: Endpoints, body: Body) -> dict[str, float]:
    return _of_program(endpoints.environment(is_tls=True), dict[str, float], "memory", f"{body.name}-1")


def _of_program(variables: dict[str, str], kind: type[T], name: str, *arguments: str) -> T:
    command = (sys.executable, "-m", f"benchmarks.clients.{name}", *arguments)
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Missing(f"{name} failed:\n{done.stderr[-2_000:]}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=kind)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
