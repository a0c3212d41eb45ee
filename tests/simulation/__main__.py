"""`python -m tests.simulation`: random lives by hand, more than CI runs, or one of them again with its log."""

import argparse
import sys
import time
from typing import get_args

from tests.simulation.life import Life, Scale
from tests.simulation.shrinker import shrunk
from tests.simulation.verdict import judged_life, lived, verdict_on_life


def main() -> int:
    """Run what the arguments say; 1 if a law was broken."""
    arguments = _parser().parse_args()
    if arguments.seed is not None:
        life = _chosen(arguments)
        return _again(_shrunk(life) if arguments.shrink else life, is_quiet=arguments.quiet)
    began, failed, entries = time.monotonic(), 0, 0
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        life = Life.of(seed, arguments.scale)
        log = lived(life)
        entries += len(log.entries)
        if verdict := verdict_on_life(life, log):
            failed += 1
            say(verdict)
    seconds = time.monotonic() - began
    say(f"{arguments.seeds} seeds, {entries} log entries, {failed} broke a law, {seconds:.1f} s")
    return int(failed > 0)


def say(what: object) -> None:
    """Show a line at once."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, metavar="N", help="how many lives (100)")
    parser.add_argument("--from", type=int, default=0, dest="first", metavar="SEED", help="the first seed (0)")
    parser.add_argument("--scale", choices=get_args(Scale), default="small", help="of their fleets (small)")
    parser.add_argument("--seed", type=int, help="this one alone, with its log")
    parser.add_argument("--only", metavar="NUMBERS", help="with --seed: these incidents alone, as 3,9,12 or none")
    parser.add_argument("--seconds", type=float, help="with --seed: so many seconds of trouble")
    parser.add_argument("--quiet", action="store_true", help="with --seed: without the log")
    parser.add_argument("--shrink", action="store_true", help="with --seed: leave out whatever the failure can spare")
    return parser


def _chosen(arguments: argparse.Namespace) -> Life:
    only = None
    if arguments.only is not None:
        only = [int(number) for number in arguments.only.split(",")] if arguments.only != "none" else []
    return Life.of(arguments.seed, arguments.scale).but(only=only, seconds=arguments.seconds)


def _shrunk(life: Life) -> Life:
    """The smallest life that breaks one of the laws that this one breaks."""
    laws = set(judged_life(life, lived(life)))

    def breaks(smaller: Life) -> bool:
        is_broken = bool(laws & set(judged_life(smaller, lived(smaller))))
        say(f"{'breaks' if is_broken else 'holds '} {smaller.options}")
        return is_broken

    return shrunk(life, breaks) if laws else life


def _again(life: Life, *, is_quiet: bool) -> int:
    log = lived(life)
    if not is_quiet:
        say(log)
    say(life)
    verdict = verdict_on_life(life, log)
    say(verdict or f"seed {life.seed} breaks nothing")
    return int(bool(verdict))


if __name__ == "__main__":
    sys.exit(main())
