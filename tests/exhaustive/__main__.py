"""`python -m tests.exhaustive`: the lease row by hand: what the tests search, more than that, or bounds of one's own.

python -m tests.exhaustive --long
python -m tests.exhaustive --workers 3 hand_offs=1 silences=1
"""

import argparse
import sys

from tests.exhaustive.report import LIVES, LONG_LIVES, Life, report, tell
from tests.exhaustive.world import Bounds


def main() -> int:
    """Search through what the arguments say; 1 if a law was broken."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.exhaustive", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="with bounds of one's own (2)")
    parser.add_argument("--long", action="store_true", help="the long lives as well, some minutes")
    parser.add_argument("bounds", nargs="*", metavar="BOUND=N", help=f"any of {', '.join(Bounds._fields)}")
    arguments = parser.parse_args()
    lives: tuple[Life, ...] = LIVES + LONG_LIVES if arguments.long else LIVES
    if arguments.bounds:
        given = dict(bound.split("=", 1) for bound in arguments.bounds)
        if unknown := given.keys() - set(Bounds._fields):
            parser.error(f"no such bound: {', '.join(sorted(unknown))}; there are {', '.join(Bounds._fields)}")
        bounds = Bounds(**{name: int(times) for name, times in given.items()})
        lives = (Life(" ".join(arguments.bounds), arguments.workers, bounds, 0),)
    seen = report(lives, is_told=True)
    tell(seen)
    for violation in seen.violations:
        tell(violation)
    return int(bool(seen.violations))


if __name__ == "__main__":
    sys.exit(main())
