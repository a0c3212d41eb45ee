"""`kcl-py local` for all tests of this folder, and an application of its own for each."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from integration.application import Application
from integration.services import LocalProgram, Services

MakeApplication = Callable[..., Application]
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """`kcl-py local`, in a process of its own."""
    with LocalProgram(tmp_path_factory.mktemp("local")) as program:
        yield program.services


@pytest.fixture
def programs() -> Iterator[ExitStack]:
    """Ends what a test started and did not end."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def make_application(local: Services, tmp_path: Path, programs: ExitStack) -> MakeApplication:
    """Makes applications, each with a stream of its own."""

    def make(*, shards: int = 2) -> Application:
        name = f"orders-{next(_numbers)}"
        (tmp_path / name).mkdir()
        return Application(name, local, tmp_path / name, programs, shards=shards)

    return make
