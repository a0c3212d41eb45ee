"""Which cells of the fault matrix in docs/guarantees.md run with real worker processes.

`python -m integration.faults.cells` prints them as a table.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar

When = Literal["start-up", "steady", "hand-off", "reshard", "shutdown"]
Function = TypeVar("Function", bound=Callable[..., None])


class Cell(NamedTuple):
    """A fault, when it strikes, and what must happen."""

    fault: str  # how its row of the matrix begins
    when: When
    promise: str  # how that row's column begins, such as `T` or `R`
    run: Callable[..., None]

    @property
    def name(self) -> str:
        return self.run.__name__.removeprefix("test_")


_cells: list[Cell] = []


def cell(fault: str, when: When, promise: str) -> Callable[[Function], Function]:
    """Note that a function, a test or one for `test_cells.py`, tries a cell; one may try several."""

    def noted(function: Function) -> Function:
        _cells.append(Cell(fault, when, promise, function))
        return function

    return noted


def all_cells() -> list[Cell]:
    """Every cell, in the order of the modules."""
    from integration.faults import (
        clock,
        deleted,
        killed,
        limits,
        pushed,
        start_up,
        stopping,
        suspended,
        test_services,
    )

    # the first has what takes longest
    order: list[Any] = [pushed, start_up, test_services, killed, suspended, stopping, deleted, limits, clock]
    names = [module.__name__ for module in order]
    return sorted(_cells, key=lambda one: names.index(one.run.__module__))


if __name__ == "__main__":
    from integration.faults import cells  # this module by its real name, where the others have noted theirs

    print("| Fault | when | promise | proven by |\n|---|---|---|---|")
    for one in cells.all_cells():
        print(f"| {one.fault} | {one.when} | {one.promise} | {one.name.replace('_', ' ')} |")
