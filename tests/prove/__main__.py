"""`python -m tests.prove`: all that is to be believed of kcl_py, tried for a chosen time, told on one page."""

import argparse
import itertools
import sys
import time
from collections.abc import Iterable, Iterator, Mapping

from tests.prove.lives import Lived, Wanted, live_all
from tests.prove.page import Part, page
from tests.prove.parts import long_parts
from tests.simulation.life import Scale

PER_ROUND: Mapping[Scale, int] = {"hour": 3, "fan-out hour": 1, "small": 6, "fan-out": 3}
FIXED: Mapping[Scale, Iterable[int]] = {
    "hour": range(76),
    "fan-out hour": range(12),
    # behind those that the suite lives (`tests/simulation/test_seeds.py`)
    "small": range(30, 60),
    "fan-out": range(12, 24),
}
HOURS_MIN = 80.0  # of busy fleets, in the fixed part


def main() -> int:
    """Run what the arguments say; 1 if anything went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.prove", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of random lives, beside all else (10)")
    parser.add_argument("--from", type=int, default=1_000, dest="first", metavar="SEED", help="the first seed (1000)")
    parser.add_argument("--fixed", action="store_true", help="always the same lives, as many as every change must pass")
    arguments = parser.parse_args()
    began = time.monotonic()
    parts = [] if arguments.fixed else list(long_parts())  # what is fixed runs beside the suite, which has the rest
    if arguments.fixed:
        lives = _lived(_alternating(FIXED))
        counted = sum(one.hours.counted for one in lives.values())
        parts.append(Part("hours of busy fleets", f"{counted:.1f}, {HOURS_MIN:.0f} are wanted", counted >= HOURS_MIN))
    else:
        endless: Mapping[Scale, Iterable[int]] = {scale: itertools.count(arguments.first) for scale in PER_ROUND}
        lives = _lived(_alternating(endless), time.monotonic() + 60 * arguments.minutes)
    say(page(lives, parts, time.monotonic() - began))
    return int(any(one.verdicts for one in lives.values()) or not all(part.is_right for part in parts))


def say(what: object) -> None:
    """Show a line at once."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def _alternating(seeds: Mapping[Scale, Iterable[int]]) -> Iterator[Wanted]:
    """Some lives of every scale in turn, as long as there are any."""
    left = {scale: iter(of_scale) for scale, of_scale in seeds.items()}
    while batch := [
        Wanted(scale, seed) for scale, count in PER_ROUND.items() for seed in itertools.islice(left[scale], count)
    ]:
        yield from batch


def _lived(wanted: Iterator[Wanted], until: float | None = None) -> Mapping[Scale, Lived]:
    lives = {scale: Lived() for scale in PER_ROUND}
    for scale, one in live_all(wanted, until):
        lives[scale] += one
        for verdict in one.verdicts:
            say(verdict)
    return lives


if __name__ == "__main__":
    sys.exit(main())
