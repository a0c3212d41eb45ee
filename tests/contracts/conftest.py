"""What the contracts run on."""

from collections.abc import Iterator

import pytest

from tests.contracts.kinesis_services import OF_EVERYTHING, SERVICES, Service


@pytest.fixture(scope="session", params=OF_EVERYTHING)
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """Everything that speaks Kinesis, each started once; a file that wants others says which."""
    with SERVICES[request.param]() as started:
        yield started
