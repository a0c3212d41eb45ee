"""What only time brings about, on the model and on our server; the emulators have no clock that can be turned."""

from collections.abc import Iterator

import pytest
from botocore.exceptions import EventStreamError

from tests.contracts.kinesis_services import SERVICES, Service
from tests.contracts.tested_consumer import TestedConsumer
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


@pytest.fixture
def consumer(timed: tuple[Service, TickingClock]) -> TestedConsumer:
    service, _ = timed
    return TestedConsumer(service.client, service.stream())


def test_an_idle_subscription_says_so_every_few_seconds_and_ends_after_five_minutes(
    timed: tuple[Service, TickingClock], consumer: TestedConsumer
) -> None:
    _, clock = timed
    began_ms = clock.now_ms  # at the latest: the server looks at this clock as well, and moves it
    with consumer.subscribed() as pushed:
        for _ in range(2):
            clock.advance(seconds=4)
            event = pushed.event()
            assert [event["Records"], event["MillisBehindLatest"]] == [[], 0]
        assert 10_000 <= clock.now_ms - began_ms < 20_000
        assert event["ContinuationSequenceNumber"]
        clock.advance(seconds=300)
        assert pushed.rest() == []


def test_a_later_subscription_takes_over_from_an_earlier_one(
    timed: tuple[Service, TickingClock], consumer: TestedConsumer
) -> None:
    _, clock = timed
    with consumer.subscribed() as earlier:
        clock.advance(seconds=5)
        with consumer.subscribed(kind="LATEST") as later:
            with pytest.raises(EventStreamError, match="ResourceInUseException"):
                earlier.rest()
            clock.advance(seconds=5)
            assert later.event()["Records"] == []


def test_a_subscription_does_not_outlive_its_consumer(
    timed: tuple[Service, TickingClock], consumer: TestedConsumer
) -> None:
    service, _ = timed
    with consumer.subscribed() as pushed:
        service.client.deregister_stream_consumer(ConsumerARN=consumer.arn)
        with pytest.raises(EventStreamError, match="ResourceNotFoundException"):
            pushed.rest()
    assert consumer.refusal() == "ResourceNotFoundException"


def test_a_subscription_does_not_outlive_its_stream(timed: tuple[Service, TickingClock]) -> None:
    service, _ = timed
    stream = service.stream()
    with TestedConsumer(service.client, stream).subscribed() as pushed:
        service.client.delete_stream(StreamName=stream.name, EnforceConsumerDeletion=True)
        with pytest.raises(EventStreamError, match="ResourceNotFoundException"):
            pushed.rest()


def test_a_continuation_number_whose_records_are_gone_goes_on_with_the_oldest(
    timed: tuple[Service, TickingClock],
) -> None:
    service, clock = timed
    stream = service.stream()
    consumer = TestedConsumer(service.client, stream)
    stream.put("old")
    with consumer.subscribed() as pushed:
        number = pushed.event()["ContinuationSequenceNumber"]
    clock.advance(hours=25)
    stream.put("young")
    for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        clock.advance(seconds=5)
        with consumer.subscribed(kind=kind, SequenceNumber=number) as pushed:
            assert pushed.records(1) == ["young"]


def test_a_listing_token_of_consumers_expires_after_five_minutes(timed: tuple[Service, TickingClock]) -> None:
    service, clock = timed
    stream = service.stream()
    consumers = [TestedConsumer(service.client, stream) for _ in range(2)]
    named = {"StreamARN": consumers[0].stream_arn}
    token = service.client.list_stream_consumers(**named, MaxResults=1)["NextToken"]
    assert len(service.client.list_stream_consumers(**named, NextToken=token)["Consumers"]) == 1
    created = {"StreamCreationTimestamp": consumers[0].registered["ConsumerCreationTimestamp"]}
    both = code_of(lambda: service.client.list_stream_consumers(**named, NextToken=token, **created))
    assert both == "InvalidArgumentException"
    clock.advance(seconds=301)
    again = code_of(lambda: service.client.list_stream_consumers(**named, NextToken=token))
    assert again == "ExpiredNextTokenException"
