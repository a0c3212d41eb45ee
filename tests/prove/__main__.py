"""`python -m tests.prove`: all that is to be believed of kcl_py, tried for a chosen time, told on one page."""

import argparse
import itertools
import sys
import time
from collections.abc import Iterable, Iterator

from tests.prove.lives import Lived, Wanted, live_all
from tests.prove.page import Part, page
from tests.prove.parts import long_parts

FIXED_SMALL, FIXED_HOURS = range(60, 70), range(88)
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
        lives = _lived(_alternating(FIXED_SMALL, FIXED_HOURS))
        counted = lives["hour"].hours.counted
        parts.append(Part("hours of busy fleets", f"{counted:.1f}, {HOURS_MIN:.0f} are wanted", counted >= HOURS_MIN))
    else:
        seeds = itertools.count(arguments.first), itertools.count(arguments.first)
        lives = _lived(_alternating(*seeds), time.monotonic() + 60 * arguments.minutes)
    say(page(lives, parts, time.monotonic() - began))
    return int(any(one.verdicts for one in lives.values()) or not all(part.is_right for part in parts))


def say(what: object) -> None:
    """Show a line at once."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def _alternating(small: Iterable[int], hours: Iterable[int]) -> Iterator[Wanted]:
    """A long life and three short ones, as long as there are any."""
    short, long = iter(small), iter(hours)
    while True:
        batch = [Wanted("hour", seed) for seed in itertools.islice(long, 1)]
        batch += [Wanted("small", seed) for seed in itertools.islice(short, 3)]
        if not batch:
            return
        yield from batch


def _lived(wanted: Iterator[Wanted], until: float | None = None) -> dict[str, Lived]:
    lives = {"small": Lived(), "hour": Lived()}
    for scale, one in live_all(wanted, until):
        lives[scale] += one
        for verdict in one.verdicts:
            say(verdict)
    return lives


if __name__ == "__main__":
    sys.exit(main())
