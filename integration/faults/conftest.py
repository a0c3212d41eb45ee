"""One fleet for the cells that do not disturb each other, and fleets of their own for the others."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from integration.application import Application
from integration.conftest import MakeApplication
from integration.faults.faulty_fleet import FaultyFleet
from integration.services import Services

MakeFleet = Callable[..., FaultyFleet]


@pytest.fixture(scope="module")
def shared(local: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyFleet]:
    """Three workers with four shards, which are told to go on after every fault; they stop in order in the end."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("shared")
        app = Application(folder.name, local, folder, stack, shards=4)
        fleet = FaultyFleet(app, stack)
        fleet.join(3)
        fleet.evened()
        yield fleet
        fleet.drain()
        fleet.check()


@pytest.fixture
def make_fleet(make_application: MakeApplication, programs: ExitStack) -> MakeFleet:
    """Makes fleets, each with an application of its own."""

    def make(*options: str, shards: int = 2, **given: object) -> FaultyFleet:
        return FaultyFleet(make_application(shards=shards), programs, *options, **given)  # type: ignore[arg-type]

    return make
