"""What only time brings about, on the model and on our server; the emulators have no clock that can be turned."""

from collections.abc import Iterator

import pytest

from tests.contracts.kinesis_services import SERVICES, Service
from tests.contracts.tested_stream import code_of, shard_id
from tests.local.ticking_clock import TickingClock


@pytest.fixture(params=["model", "server"])
def timed(request: pytest.FixtureRequest) -> Iterator[tuple[Service, TickingClock]]:
    with SERVICES[request.param]() as service:
        assert service.clock is not None
        yield service, service.clock


def test_an_iterator_expires_after_five_minutes(timed: tuple[Service, TickingClock]) -> None:
    service, clock = timed
    stream = service.stream()
    iterator = stream.iterator(0)
    clock.advance(seconds=298)
    assert code_of(lambda: stream.page(iterator)) == "accepted"
    clock.advance(seconds=2)
    assert code_of(lambda: stream.page(iterator)) == "ExpiredIteratorException"


def test_a_listing_token_expires_after_five_minutes(timed: tuple[Service, TickingClock]) -> None:
    service, clock = timed
    stream = service.stream(2)
    token = service.client.list_shards(StreamName=stream.name, MaxResults=1)["NextToken"]
    clock.advance(seconds=301)
    assert code_of(lambda: service.client.list_shards(NextToken=token)) == "ExpiredNextTokenException"


def test_records_and_closed_shards_go_when_the_retention_has_passed_them(
    timed: tuple[Service, TickingClock],
) -> None:
    service, clock = timed
    stream = service.stream()
    stream.put("old")
    clock.advance(hours=12)
    stream.put("last")
    stream.split(0)
    clock.advance(hours=11.9)
    assert stream.read(0) == ["old", "last"]
    clock.advance(hours=1)
    assert stream.read(0) == ["last"]
    assert stream.ids() == [0, 1, 2]
    clock.advance(hours=12)
    assert stream.ids() == [1, 2]
    assert [shard["ParentShardId"] for shard in stream.shards()] == [shard_id(0)] * 2
    assert code_of(lambda: stream.iterator(0)) == "ResourceNotFoundException"
