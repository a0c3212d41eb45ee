"""`python -m tests.crash_points`: cut workers by hand, at more steps than CI does, or once more with the log."""

import argparse
import sys
import time

from tests.crash_points.figures import measured
from tests.crash_points.runs import cut_again, played
from tests.crash_points.scenarios import SCENARIOS, Scenario
from tests.crash_points.stage import Cut
from tests.crash_points.victim import Way


def main() -> int:
    """Run what the arguments say; 1 if a law was broken."""
    arguments = _parser().parse_args()
    chosen = [one for one in SCENARIOS if arguments.scenario in (None, one.name)]
    if arguments.step is not None:
        if arguments.scenario is None:
            sys.exit("--step needs --scenario")
        return _again(chosen[0], arguments.seed, arguments.step, Way[arguments.way])
    began, cuts, breaches = time.monotonic(), 0, 0
    for seed in range(arguments.seed, arguments.seed + arguments.seeds):
        for scenario in chosen:
            figures = measured(scenario, seed, is_all=arguments.all)
            cuts += figures.cuts
            breaches += len(figures.breaches) + len(figures.missed)
            _say(figures)
            for breach in figures.breaches:
                _say(breach)
    _say(f"{cuts:,} cuts, {breaches} breaches, {time.monotonic() - began:.1f} s")
    return int(breaches > 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.crash_points", description=__doc__)
    parser.add_argument("--all", action="store_true", help="after every step, not only at each place's first and last")
    parser.add_argument("--scenario", choices=[one.name for one in SCENARIOS], help="this one alone")
    parser.add_argument("--seed", type=int, default=1, help="the first seed (1)")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="how many seeds (1)")
    parser.add_argument("--step", type=int, metavar="N", help="cut after this step alone, with the log; 0 = in peace")
    parser.add_argument("--way", choices=[way.name for way in Way], default=Way.SENT.name, help="with --step: how")
    return parser


def _again(scenario: Scenario, seed: int, step: int, way: Way) -> int:
    run = played(scenario, seed)
    if step:
        run = cut_again(scenario, seed, run, Cut(step, way))
    _say(run.log)
    for number, place in enumerate(run.places, 1):
        _say(f"{number:5} {place}")
    for breach in run.breaches:
        _say(breach)
    return int(bool(run.breaches))


def _say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
