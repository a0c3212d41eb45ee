"""Fixtures of the tests through the SDKs."""

from collections.abc import Iterator

import pytest

from tests.sdk.furnished_table import FurnishedTable
from tests.virtual_time import run


@pytest.fixture(scope="session")
def _furnished() -> Iterator[FurnishedTable]:
    table = FurnishedTable()
    run(table.furnish())
    yield table
    run(table.clear_away())


@pytest.fixture
def table(_furnished: FurnishedTable) -> FurnishedTable:
    """A table with rows, an entry and a lock."""
    _furnished.restore()
    return _furnished
