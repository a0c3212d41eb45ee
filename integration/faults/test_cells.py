"""Runs the cells that need fleets of their own, some at a time: they wait much more than they work."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from integration.application import Application
from integration.faults.cells import Cell, all_cells
from integration.faults.faulty_fleet import FaultyFleet
from integration.program import ROOT
from integration.services import Services

AT_A_TIME = 4
NOT_IN_THE_MATRIX = ("few file descriptors",)
_OWN_FLEETS = dict.fromkeys(cell.run for cell in all_cells() if not cell.run.__name__.startswith("test_"))
_IN_THE_MATRIX = [cell for cell in all_cells() if cell.fault not in NOT_IN_THE_MATRIX]
_making = threading.Lock()  # boto3 cannot make two clients at once


Run = Callable[..., None]
OutcomeOf = Callable[[Run], "Future[None]"]


@pytest.fixture(scope="module")
def outcome_of(
    request: pytest.FixtureRequest, local: Services, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OutcomeOf]:
    """The cells that were asked for, under way from the first one on that is waited for here.

    What comes before it another process of pytest-xdist has kept to itself.
    """
    chosen = {item.name for item in request.session.items}
    wanted = [run for run in _OWN_FLEETS if f"test_cell[{run.__name__}]" in chosen]
    under_way: dict[Run, Future[None]] = {}
    with ThreadPoolExecutor(AT_A_TIME) as pool:

        def outcome(run: Run) -> "Future[None]":
            if run not in under_way:
                for one in wanted[wanted.index(run) :]:
                    if one not in under_way:
                        under_way[one] = pool.submit(_tried, one, local, tmp_path_factory.mktemp("cell"))
            return under_way[run]

        yield outcome
        pool.shutdown(cancel_futures=True)  # of a run that was cut short, or that others have taken the rest of


def _tried(run: Run, local: Services, folder: Path) -> None:
    with ExitStack() as stack:

        def make_fleet(*options: str, shards: int = 2, **given: object) -> FaultyFleet:
            with _making:
                app = Application(folder.name, local, folder, stack, shards=shards)
                return FaultyFleet(app, stack, *options, **given)  # type: ignore[arg-type]

        run(make_fleet)


@pytest.mark.parametrize("run", _OWN_FLEETS, ids=lambda run: run.__name__)
def test_cell(outcome_of: OutcomeOf, run: Run) -> None:
    outcome_of(run).result()


@pytest.mark.parametrize("cell", _IN_THE_MATRIX, ids=lambda cell: f"{cell.when}: {cell.fault}")
def test_every_cell_is_one_of_the_documented_matrix(cell: Cell) -> None:
    header, *rows = [
        [entry.strip() for entry in line.strip("| \n").split(" | ")]
        for line in (ROOT / "docs" / "guarantees.md").read_text().splitlines()
        if line.startswith("| ") and line.count("|") == 7
    ]
    assert header[0] == "Fault"
    found = [row[header.index(cell.when)] for row in rows if row[0].startswith(cell.fault)]
    assert len(found) == 1, "its row was renamed"
    assert cell.promise in found[0]
