"""`python -m tests.simulation`: random lives by hand, more than CI runs, or one of them again with its log."""

import argparse
import sys
import time

from tests.simulation.swarm import Mood
from tests.simulation.verdict import life_of, verdict_on


def main() -> int:
    """Run what the arguments say; 1 if a law was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, metavar="N", help="how many lives (100)")
    parser.add_argument("--from", type=int, default=0, dest="first", metavar="SEED", help="the first seed (0)")
    parser.add_argument("--seed", type=int, help="this one alone, with its log")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return _again(arguments.seed)
    began, failed, entries = time.monotonic(), 0, 0
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        log = life_of(seed)
        entries += len(log.entries)
        if verdict := verdict_on(seed, log):
            failed += 1
            say(verdict)
    seconds = time.monotonic() - began
    say(f"{arguments.seeds} seeds, {entries} log entries, {failed} broke a law, {seconds:.1f} s")
    return int(failed > 0)


def say(what: object) -> None:
    """Show a line at once."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def _again(seed: int) -> int:
    say(Mood.of(seed))
    log = life_of(seed)
    say(log)
    verdict = verdict_on(seed, log)
    say(verdict or f"seed {seed} breaks nothing")
    return int(bool(verdict))


if __name__ == "__main__":
    sys.exit(main())
