"""Breadth first through every world that can be reached: each one judged, none twice, nothing sampled.

Worlds are numbered as they are found. A second pass goes backwards from the worlds whose shard is finished, over steps
that nobody has to be unlucky for: a world that it does not reach is a dead end.
"""

import time
from array import array
from collections.abc import Iterator
from itertools import permutations

from tests.exhaustive.fleet import steps
from tests.exhaustive.landing import LawBroken, check_holders
from tests.exhaustive.outcome import Outcome
from tests.exhaustive.rows import END
from tests.exhaustive.shipped import Shipped
from tests.exhaustive.world import Bounds, World, canonical, first, renamed


class Search:
    """One fleet's graph."""

    def __init__(self, workers: int, bounds: Bounds) -> None:
        self._shipped = Shipped()
        self._start = canonical(first(workers, bounds))
        self._worlds: list[World] = [self._start]
        self._came_from = array("l", [-1])
        self._edges = array("l")  # of each world its successors by steps that cost nothing, one after the other
        self._edges_end = array("l")
        self._transitions = 0
        self._happened: set[str] = set()

    def run(self, *, states_max: int | None = None) -> Outcome:
        """Search until everything is seen, or a law is broken.

        Args:
            states_max: give up after so many states; for searches that look for a violation.
        """
        began = time.process_time()
        violation = self._explore(states_max)
        if violation is None and len(self._edges_end) == len(self._worlds):
            violation = self._dead_end()
        seconds = time.process_time() - began
        return Outcome(len(self._worlds), self._transitions, violation, seconds, frozenset(self._happened))

    def _explore(self, states_max: int | None) -> str | None:
        known = {self._start: 0}
        worlds, edges, came_from = self._worlds, self._edges, self._came_from
        for number, world in enumerate(worlds):  # which grows meanwhile
            try:
                for what, _, following in steps(world, self._shipped):
                    self._transitions += 1
                    self._happened.add(what)
                    place = canonical(following)
                    found = known.setdefault(place, len(worlds))
                    if following.bounds == world.bounds:
                        edges.append(found)
                    if found == len(worlds):
                        worlds.append(place)
                        came_from.append(number)
                        check_holders(place)
            except LawBroken as broken:
                is_later = came_from[-1] == number and len(worlds) - 1 > number and "at once" in str(broken)
                return f"{broken}\n{self._path(len(worlds) - 1 if is_later else number)}"
            self._edges_end.append(len(edges))
            if states_max is not None and len(worlds) > states_max:
                return None
        return None

    def _dead_end(self) -> str | None:
        """The first world from which the shard cannot be finished by steps that cost nothing."""
        ends, edges = self._edges_end, self._edges
        is_good = bytearray(len(self._worlds))
        for number, world in enumerate(self._worlds):
            is_good[number] = world.row is not None and world.row.checkpoint == END
        changed = True
        while changed:
            changed = False
            for number in range(len(is_good) - 1, -1, -1):
                if is_good[number]:
                    continue
                start = ends[number - 1] if number else 0
                if any(is_good[to] for to in edges[start : ends[number]]):
                    is_good[number] = changed = True
        if all(is_good):
            return None
        return f"dead end: the shard is never finished from here\n{self._path(is_good.index(0))}"

    def _back_from(self, number: int) -> Iterator[int]:
        while number >= 0:
            yield number
            number = self._came_from[number]

    def _path(self, number: int) -> str:
        """The shortest way to a world, told step by step."""
        way = [self._worlds[place] for place in reversed(list(self._back_from(number)))]
        at, lines = way[0], []
        for place in way[1:]:  # every worker keeps the number that it has at first
            what, who, at = next(step for step in steps(at, self._shipped) if place in _renamings(step[2]))
            lines.append(f"  {'worker ' + str(who) if who >= 0 else 'the fleet'}: {what}; row {_told(at)}")
        return "\n".join(lines)


def _renamings(world: World) -> list[World]:
    return [renamed(world, order) for order in permutations(range(len(world.workers)))]


def _told(world: World) -> str:
    row = world.row
    return "gone" if row is None else f"{row.owner}/{row.giver}/{row.held} at {row.checkpoint}"
