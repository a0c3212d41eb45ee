"""Which cuts are made: every one there is, or each place at its first and last visit."""

import re
from collections.abc import Iterator, Sequence

from tests.crash_points.scenarios import Scenario
from tests.crash_points.stage import Cut
from tests.crash_points.victim import Way

_AT_A_DOOR = re.compile(r"> [a-z_]+$")  # what was called last is not the product's, and so something was sent


def every(places: Sequence[str]) -> Iterator[Cut]:
    """After each step, in every way."""
    for step in range(1, len(places) + 1):
        for way in Way:
            yield Cut(step, way)


def of_each_place(scenario: Scenario, places: Sequence[str]) -> Iterator[Cut]:
    """At the first and the last visit of each place: a loss of power and a cancellation, in turns of each kind."""
    hasty = Way.CUT_OFF if scenario.is_on_its_way_out else Way.TWICE  # it was cancelled once already
    for first, last in visits(places):
        is_at_a_door = _AT_A_DOOR.search(places[first - 1]) is not None
        yield Cut(first, Way.UNSENT if is_at_a_door else Way.SENT)
        yield Cut(first, Way.CANCELLED)
        if last > first or is_at_a_door:
            yield Cut(last, Way.SENT)
        yield Cut(last, hasty)


def visits(places: Sequence[str]) -> list[tuple[int, int]]:
    """Of each place: the steps of its first and its last visit."""
    firsts: dict[str, int] = {}
    lasts: dict[str, int] = {}
    for step, place in enumerate(places, 1):
        if place:
            firsts.setdefault(place, step)
            lasts[place] = step
    return [(firsts[place], lasts[place]) for place in firsts]


def places_in(places: Sequence[str]) -> set[str]:
    """The different ones."""
    return {place for place in places if place}
