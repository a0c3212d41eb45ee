"""Which lives of a row are searched through, and the figures of it, for the tests and for a page."""

import sys
from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple

from tests.exhaustive.beats import BeatSearch
from tests.exhaustive.outcome import Outcome
from tests.exhaustive.search import Search
from tests.exhaustive.world import Bounds


class Life(NamedTuple):
    """What may happen to a row in one search, and how many states that must be, so that a model that lost its steps
    is noticed."""

    name: str
    workers: int
    bounds: Bounds
    states_min: int


class Report(NamedTuple):
    """What all searches saw together."""

    states: int
    transitions: int
    violations: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        return (
            f"the lease row, exhaustively: {self.states:,} states, {self.transitions:,} transitions, "
            f"{len(self.violations)} violations, {self.seconds:.0f} s"
        )


LIVES = (
    Life("hand-offs, called off and forced too", 2, Bounds(hand_offs=2, misses=1, graces=1, notes=1), 25_000),
    Life("hand-offs and lost answers", 2, Bounds(hand_offs=1, losses=1, notes=1), 4_000),
    Life("zombies and lost answers", 2, Bounds(silences=1, losses=1), 20_000),
    Life("crashes during a hand-off", 2, Bounds(hand_offs=1, crashes=1), 10_000),
    Life("departures during a hand-off", 2, Bounds(hand_offs=1, departures=1), 6_000),
    Life("departures, cut off, and lost answers", 2, Bounds(departures=1, losses=1, graces=1), 5_000),
    Life("leaders that plan by old readings", 2, Bounds(hand_offs=2, stale_reads=1), 10_000),
    Life("a row deleted", 2, Bounds(deletions=1, losses=1), 30_000),
    Life("a table restored, which brings counters and sessions back", 2, Bounds(restores=1, losses=1), 20_000),
    Life("three workers: hand-offs, readdressed too, and departures", 3, Bounds(hand_offs=1, departures=1), 10_000),
    Life("three workers: hand-offs and lost answers", 3, Bounds(hand_offs=1, losses=1), 20_000),
    Life("three workers: zombies", 3, Bounds(silences=1), 30_000),
)
"""For every run of the tests. One fault at a time, and those pairs that have something to say to each other: a bound is
1 where a second one of the kind only repeats what the first one did, in the same order."""

LONG_LIVES = (
    Life("zombies during a hand-off, and lost answers", 2, Bounds(hand_offs=1, silences=1, losses=1), 150_000),
    Life("two lost answers during a hand-off", 2, Bounds(hand_offs=1, losses=2), 10_000),
    Life("departures during a hand-off, and lost answers", 2, Bounds(hand_offs=1, departures=1, losses=1), 70_000),
    Life("old readings and crashes", 2, Bounds(hand_offs=1, stale_reads=1, crashes=1), 100_000),
    Life("old readings and zombies", 2, Bounds(hand_offs=1, silences=1, stale_reads=1), 150_000),
    Life("a row deleted during a hand-off", 2, Bounds(hand_offs=1, losses=1, deletions=1), 200_000),
    Life("a table restored under zombies", 2, Bounds(silences=1, restores=1), 100_000),
    Life("a table restored during a hand-off", 2, Bounds(hand_offs=1, restores=1), 50_000),
    Life("everybody leaves during a hand-off", 2, Bounds(hand_offs=1, departures=2), 40_000),
)
"""By hand, and for a proof: three things at a time, about three minutes of one core. More is asked for by bounds."""


@cache
def beats() -> Outcome:
    """Search through the time that the lives take for granted."""
    return BeatSearch().run()


@cache
def outcome_of(life: Life) -> Outcome:
    """Search through one life; once per process."""
    return Search(life.workers, life.bounds).run()


def report(lives: Iterable[Life] = LIVES, *, is_told: bool = False) -> Report:
    """Search through all of them, and through the beats.

    Args:
        lives: which.
        is_told: each one's figures are written to standard output as they come.
    """
    outcomes = []
    for name, outcome in _outcomes(lives):
        outcomes.append(outcome)
        if is_told:
            tell(f"{name}: {outcome}")
    return Report(
        states=sum(outcome.states for outcome in outcomes),
        transitions=sum(outcome.transitions for outcome in outcomes),
        violations=tuple(outcome.violation for outcome in outcomes if outcome.violation is not None),
        seconds=sum(outcome.seconds for outcome in outcomes),
    )


def tell(what: object) -> None:
    """Show a line at once."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def _outcomes(lives: Iterable[Life]) -> Iterator[tuple[str, Outcome]]:
    yield "beats, deadlines and verdicts", beats()
    for life in lives:
        yield life.name, outcome_of(life)
