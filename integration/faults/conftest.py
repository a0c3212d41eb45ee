"""One fleet for the cells that do not disturb each other, and what makes one for each of the others."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

pytest.register_assert_rewrite(
    *(f"integration.faults.{name}" for name in ("start_up", "killed", "suspended", "stopping", "deleted", "limits")),
    *(f"integration.faults.{name}" for name in ("clock", "faulty_fleet", "pushed")),
)

from integration.application import Application  # noqa: E402 - what is rewritten must not be imported before
from integration.faults.faulty_fleet import FaultyFleet  # noqa: E402
from integration.services import Services  # noqa: E402


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
