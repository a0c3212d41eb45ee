"""What is run beside the random lives: the suite, the searches, the cuts, the sabotage, and one very large fleet."""

import functools
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.prove.page import Part

ROOT = Path(__file__).parents[2]
CRASH_SEEDS = 2


def long_parts() -> Iterator[Part]:
    """Everything; what keeps one core busy runs beside the like of it."""
    yield suite()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(lambda part: part(), _ONE_CORE_EACH)


def suite() -> Part:
    """Every test there is: contracts, exhaustive searches, the SDKs, real processes under faults, security."""
    return _ran("the whole suite", "-m", "pytest", "-q", "-n", "3", "--dist", "worksteal", "--no-header")


def sabotage() -> Part:
    """Shipped code with one thing wrong, many times over."""
    return _ran("sabotage", "-m", "tests.simulation.sabotage")


def _exhaustive() -> Part:
    return _ran("the lease row, exhaustively", "-m", "tests.exhaustive", "--long")


def _crash_points(seed: int) -> Part:
    return _ran(f"a crash at every await, seed {seed}", "-m", "tests.crash_points", "--all", "--seed", str(seed))


def _very_large() -> Part:
    return _ran("1,000 workers and 10,000 shards", "-m", "tests.simulation.scale", "1000", "10000")


_ONE_CORE_EACH: tuple[Callable[[], Part], ...] = (
    sabotage,
    _very_large,
    *(functools.partial(_crash_points, seed) for seed in range(1, 1 + CRASH_SEEDS)),
    _exhaustive,
)


def _ran(name: str, *arguments: str) -> Part:
    """Run a module, and take its last line for its figures; all of its output is shown if it went wrong."""
    began = time.monotonic()
    ran = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line for line in ran.stdout.splitlines() if line.strip()]
    figures = re.sub(r"^=+ | =+$", "", lines[-1].strip()) if lines else "nothing was said"
    if ran.returncode:
        sys.stdout.write(ran.stdout + ran.stderr)
        figures += f" (exit code {ran.returncode})"
    return Part(name, f"{figures}, {time.monotonic() - began:.0f} s", ran.returncode == 0)
