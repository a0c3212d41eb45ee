"""What a subscription to a shard brings, and how it ends. moto has none."""

import time
from typing import Any

import pytest
from botocore.parsers import ResponseParserError

from tests.contracts.kinesis_services import Service, boto3_client
from tests.contracts.tested_consumer import TestedConsumer
from tests.contracts.tested_stream import TestedStream, code_of, number_of, shard_id

pytestmark = pytest.mark.parametrize("service", ["model", "server", "kinesis-local", "ministack"], indirect=True)


def subscribing(service: Service, shards: int = 1) -> tuple[TestedStream, TestedConsumer]:
    stream = service.stream(shards)
    return stream, TestedConsumer(service.client, stream)


def test_the_events_begin_with_an_initial_response(service: Service) -> None:
    if service.name == "model":
        return  # it has no wire
    _, consumer = subscribing(service)
    bodies: list[Any] = []
    begin = {"ConsumerARN": consumer.arn, "ShardId": shard_id(0), "StartingPosition": {"Type": "LATEST"}}
    observed = "accepted"
    with boto3_client(service.client.meta.endpoint_url) as plain:
        plain.meta.events.register(
            "before-parse.kinesis.SubscribeToShard", lambda response_dict, **_: bodies.append(response_dict["body"])
        )
        try:
            plain.subscribe_to_shard(**begin)
        except ResponseParserError as error:
            observed = str(error)
        for body in bodies:
            body.close()
    service.expect("events begin with an initial-response", observed, "accepted")


def test_what_is_there_is_pushed_in_order_and_the_number_goes_on_behind_it(service: Service) -> None:
    stream, consumer = subscribing(service)
    puts = [stream.put(str(number)) for number in range(5)]
    with consumer.subscribed() as pushed:
        first = pushed.event()
        payloads = [record["Data"].decode() for record in first["Records"]]
        last = first
        while len(payloads) < 5:
            last = pushed.event()
            payloads += [record["Data"].decode() for record in last["Records"]]
    assert payloads == ["0", "1", "2", "3", "4"]
    has_zeros = any(put["SequenceNumber"].startswith("0") for put in puts)
    service.expect("no zeros stand before a sequence number", has_zeros, False)
    assert first["MillisBehindLatest"] == 0
    assert first["Records"][0]["SequenceNumber"] == puts[0]["SequenceNumber"]
    assert set(first["Records"][0]) >= {"Data", "PartitionKey", "SequenceNumber", "ApproximateArrivalTimestamp"}
    stream.put("5")
    after: dict[str, Any] = {"StartingSequenceNumber": last["ContinuationSequenceNumber"]}
    assert stream.read(0, "AFTER_SEQUENCE_NUMBER", **after) == ["5"]


def test_what_is_put_later_is_pushed_to_every_consumer(service: Service) -> None:
    stream, consumer = subscribing(service)
    other = TestedConsumer(service.client, stream, "audit")
    stream.put("old")
    with consumer.subscribed(kind="LATEST") as pushed, other.subscribed() as all_of_it:
        assert all_of_it.records(1) == ["old"]
        for number in range(3):
            stream.put(str(number))
            assert pushed.records(1) == [str(number)]
        assert all_of_it.records(3) == ["0", "1", "2"]


def test_a_subscription_begins_at_each_position(service: Service) -> None:
    stream = service.stream()
    consumers = iter([TestedConsumer(service.client, stream, name) for name in "abcde"])
    numbers = [stream.put(str(number))["SequenceNumber"] for number in range(3)]
    if service.clock is None:
        time.sleep(1.1)  # botocore sends whole seconds
    else:
        service.clock.advance(seconds=1)
    moment = int(service.now_seconds())
    stream.put("3")

    def pushed(count: int, kind: str, **position: Any) -> list[str]:
        with next(consumers).subscribed(kind=kind, **position) as events:
            return events.records(count)

    assert pushed(4, "TRIM_HORIZON") == ["0", "1", "2", "3"]
    assert pushed(3, "AT_SEQUENCE_NUMBER", SequenceNumber=numbers[1]) == ["1", "2", "3"]
    assert pushed(2, "AFTER_SEQUENCE_NUMBER", SequenceNumber=numbers[1]) == ["2", "3"]
    assert pushed(1, "AT_TIMESTAMP", Timestamp=moment) == ["3"]
    with next(consumers).subscribed(kind="LATEST") as events:
        stream.put("4")
        assert events.records(1) == ["4"]


def test_a_closed_shard_ends_with_its_children_and_no_number(service: Service) -> None:
    stream, consumer = subscribing(service)
    stream.put("last")
    stream.split(0)
    refusal = TestedConsumer(service.client, stream, "other").refusal()
    service.expect("a closed shard can be subscribed to", refusal, "accepted")
    if refusal != "accepted":
        return
    with consumer.subscribed() as pushed:
        events = [pushed.event()]
        if service.name != "kinesis-local":  # which pushes on and on
            events += pushed.rest()
    assert [record["Data"] for event in events for record in event["Records"]] == [b"last"]
    has_number = events[-1].get("ContinuationSequenceNumber") is not None
    service.expect("a closed shard ends without a number", has_number, False)
    children = [(number_of(child["ShardId"]), child["ParentShards"]) for child in events[-1].get("ChildShards", [])]
    service.expect("a subscription names the children", children, [(1, [shard_id(0)]), (2, [shard_id(0)])])


def test_a_shard_that_closes_while_it_is_subscribed_to_ends(service: Service) -> None:
    if service.name == "kinesis-local":
        return  # see above
    stream, consumer = subscribing(service, 2)
    with consumer.subscribed(1) as pushed:
        stream.merge(0, 1)
        last = pushed.rest()[-1]
    has_number = last.get("ContinuationSequenceNumber") is not None
    service.expect("a closed shard ends without a number", has_number, False)
    assert [(number_of(child["ShardId"]), len(child["ParentShards"])) for child in last["ChildShards"]] == [(2, 2)]
    if service.name == "ministack":
        return  # the shard is gone
    with TestedConsumer(service.client, stream, "late").subscribed(1, "LATEST") as pushed:
        assert [event["ChildShards"] for event in pushed.rest()] == [last["ChildShards"]]


def test_a_subscription_that_cannot_be_is_refused(service: Service) -> None:
    stream, consumer = subscribing(service, 2)
    number = stream.put(hash_key=0)["SequenceNumber"]
    at: dict[str, Any] = {"kind": "AT_SEQUENCE_NUMBER"}
    client = service.client
    begin = {"ShardId": shard_id(0), "StartingPosition": {"Type": "LATEST"}}

    def subscribe(**request: Any) -> None:
        client.subscribe_to_shard(**request)["EventStream"].close()  # some server may accept it

    refusals = {
        "no such shard": consumer.refusal(9),
        "no such consumer": code_of(lambda: subscribe(ConsumerARN=f"{consumer.arn}1", **begin)),
        "a number of no shard": consumer.refusal(0, **at, SequenceNumber="1"),
        "a number of another shard": consumer.refusal(1, **at, SequenceNumber=number),
        "at without number": consumer.refusal(0, **at),
        "latest with number": consumer.refusal(0, "LATEST", SequenceNumber=number),
        "no position": code_of(lambda: subscribe(ConsumerARN=consumer.arn, ShardId=shard_id(0))),
        "no such type": consumer.refusal(0, "EARLIEST"),
    }
    service.expect(
        "impossible subscriptions are refused",
        refusals,
        {
            "no such shard": "ResourceNotFoundException",
            "no such consumer": "ResourceNotFoundException",
            "a number of no shard": "InvalidArgumentException",
            "a number of another shard": "InvalidArgumentException",
            "at without number": "InvalidArgumentException",
            "latest with number": "InvalidArgumentException",
            "no position": "ValidationException",
            "no such type": "ValidationException",
        },
    )


def test_a_second_subscription_within_five_seconds_is_refused(service: Service) -> None:
    _, consumer = subscribing(service)
    with service.standing_clock(), consumer.subscribed():
        again = consumer.refusal()
    service.expect("a second subscription waits for five seconds", again, "ResourceInUseException")
