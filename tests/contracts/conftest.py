"""What the contracts run on."""

from collections.abc import Iterator

import pytest

from tests.contracts.kinesis_services import SERVICES, Service


@pytest.fixture(scope="session", params=list(SERVICES))
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """Everything that speaks Kinesis, each started once."""
    with SERVICES[request.param]() as started:
        yield started
