"""What was cut, and what came of it: the figures of a scenario."""

import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from tests.crash_points.points import every, of_each_place, places_in
from tests.crash_points.runs import cut_again, played
from tests.crash_points.scenarios import SCENARIOS, Scenario
from tests.crash_points.stage import Cut


class Breach(msgspec.Struct, frozen=True):
    """A cut after which something was wrong; `cut` is None if it was wrong in peace."""

    scenario: str
    seed: int
    cut: Cut | None
    place: str
    what: tuple[str, ...]

    def __str__(self) -> str:
        again = f'python -m tests.crash_points --scenario "{self.scenario}" --seed {self.seed}'
        if self.cut is None:
            return "\n".join((f"{self.scenario}, seed {self.seed}, in peace; again: {again} --step 0", *self.what))
        again += f" --step {self.cut.step} --way {self.cut.way.name}"
        where = f"{self.scenario}, seed {self.seed}, step {self.cut.step}: {self.cut.way.value}, at {self.place}"
        return "\n  ".join((where, f"again, with its log: {again}", *self.what))


class Figures(msgspec.Struct, frozen=True):
    """Of one scenario and one seed."""

    scenario: str
    seed: int
    steps: int
    places: int
    cuts: int
    breaches: tuple[Breach, ...]
    missed: tuple[str, ...]
    """Landmarks that the victim did not pass."""

    def __str__(self) -> str:
        text = f"{self.scenario:25} seed {self.seed:<4} {self.steps:5} steps {self.places:4} places"
        text += f" {self.cuts:6} cuts {len(self.breaches):4} breaches"
        return text + (f"; never came to {', '.join(self.missed)}" if self.missed else "")


def measured(scenario: Scenario, seed: int, *, is_all: bool = False) -> Figures:
    """Cut the victim of a scenario: at each place's first and last visit, or after every step."""
    peace = played(scenario, seed)
    cuts = list(every(peace.places) if is_all else of_each_place(scenario, peace.places))
    breaches = [Breach(scenario.name, seed, None, "", peace.breaches)] if peace.breaches else []
    for cut in cuts:
        run = cut_again(scenario, seed, peace, cut)
        if run.breaches:
            breaches.append(Breach(scenario.name, seed, cut, peace.places[cut.step - 1], run.breaches))
    return Figures(
        scenario=scenario.name,
        seed=seed,
        steps=len(peace.places),
        places=len(places_in(peace.places)),
        cuts=len(cuts),
        breaches=tuple(breaches),
        missed=missed_landmarks(scenario, peace.places),
    )


def all_figures(seeds: Iterable[int], *, is_all: bool = True) -> Iterator[Figures]:
    """Of every scenario and seed, one after the other."""
    for seed in seeds:
        for scenario in SCENARIOS:
            yield measured(scenario, seed, is_all=is_all)


def missed_landmarks(scenario: Scenario, places: Sequence[str]) -> tuple[str, ...]:
    """Which important places are not among these."""
    return tuple(mark for mark in scenario.landmarks if not any(re.search(mark, place) for place in places))
