"""How consumers of enhanced fan-out come, are described, and go. One contract for everything that speaks Kinesis."""

import re

import pytest

from tests.contracts.kinesis_services import OF_CONSUMERS, Service
from tests.contracts.test_kinesis_streams import wait_until_gone
from tests.contracts.tested_consumer import TestedConsumer, arn_of
from tests.contracts.tested_stream import code_of

NOT_FOUND = "ResourceNotFoundException"
pytestmark = pytest.mark.parametrize("service", OF_CONSUMERS, indirect=True)


def test_a_registered_consumer_is_described_by_its_arn_and_by_its_name(service: Service) -> None:
    stream = service.stream()
    consumer = TestedConsumer(service.client, stream)
    assert consumer.registered["ConsumerName"] == consumer.name
    assert consumer.registered["ConsumerStatus"] in ("CREATING", "ACTIVE")
    assert abs(consumer.registered["ConsumerCreationTimestamp"].timestamp() - service.now_seconds()) < 60
    description = consumer.description()
    assert description["StreamARN"] == consumer.stream_arn
    assert description["ConsumerStatus"] == "ACTIVE"
    named = {"StreamARN": consumer.stream_arn, "ConsumerName": consumer.name}
    by_name = service.client.describe_stream_consumer(**named)["ConsumerDescription"]
    by_all = service.client.describe_stream_consumer(**named, ConsumerARN=consumer.arn)["ConsumerDescription"]
    assert by_name == by_all == description


def test_the_arn_of_a_consumer_tells_its_stream_its_name_and_its_second(service: Service) -> None:
    consumer = TestedConsumer(service.client, service.stream(), "billing")
    service.expect(
        "a consumer's ARN ends with its creation second",
        re.sub(r":\d{10}$", ":second", consumer.arn.removeprefix(consumer.stream_arn)),
        "/consumer/billing:second",
    )


def test_a_name_is_taken_within_its_stream_and_free_in_another(service: Service) -> None:
    consumer = TestedConsumer(service.client, service.stream())
    again = {"StreamARN": consumer.stream_arn, "ConsumerName": consumer.name}
    service.expect(
        "a consumer's name is taken", code_of(lambda: service.client.register_stream_consumer(**again)),
        "ResourceInUseException",
    )  # fmt: skip
    assert TestedConsumer(service.client, service.stream(), consumer.name).arn != consumer.arn


def test_a_deregistered_consumer_is_gone_and_its_name_is_free(service: Service) -> None:
    stream = service.stream()
    consumer = TestedConsumer(service.client, stream)
    consumer.deregister()
    assert service.client.list_stream_consumers(StreamARN=consumer.stream_arn)["Consumers"] == []
    assert TestedConsumer(service.client, stream, consumer.name).description()["ConsumerStatus"] == "ACTIVE"


def test_what_does_not_exist_is_not_found(service: Service) -> None:
    client, stream_arn = service.client, arn_of(service.client, service.stream())
    nobody = f"{stream_arn}/consumer/nobody:1"
    nowhere = re.sub("stream/.*", "stream/nowhere", stream_arn)
    refusals = {
        "describe by ARN": code_of(lambda: client.describe_stream_consumer(ConsumerARN=nobody)),
        "describe": code_of(lambda: client.describe_stream_consumer(StreamARN=stream_arn, ConsumerName="nobody")),
        "deregister": code_of(lambda: client.deregister_stream_consumer(StreamARN=stream_arn, ConsumerName="nobody")),
        "deregister by ARN": code_of(lambda: client.deregister_stream_consumer(ConsumerARN=nobody)),
        "register": code_of(lambda: client.register_stream_consumer(StreamARN=nowhere, ConsumerName="billing")),
        "list": code_of(lambda: client.list_stream_consumers(StreamARN=nowhere)),
    }
    service.expect("what does not exist is not found", refusals, dict.fromkeys(refusals, NOT_FOUND))


def test_a_consumer_is_named_completely_and_without_contradiction(service: Service) -> None:
    stream = service.stream()
    one, other = (TestedConsumer(service.client, stream, name) for name in ("one", "other"))
    client, stream_arn = service.client, one.stream_arn
    refusals = {
        "nothing": code_of(client.describe_stream_consumer),
        "no name": code_of(lambda: client.describe_stream_consumer(StreamARN=stream_arn)),
        "no stream": code_of(lambda: client.deregister_stream_consumer(ConsumerName="one")),
        "two": code_of(
            lambda: client.describe_stream_consumer(StreamARN=stream_arn, ConsumerName="one", ConsumerARN=other.arn)
        ),
    }
    service.expect(
        "a consumer is named without contradiction", refusals, dict.fromkeys(refusals, "InvalidArgumentException")
    )


def test_malformed_names_are_refused(service: Service) -> None:
    client, stream_arn = service.client, arn_of(service.client, service.stream())
    refusals = {
        "no name": code_of(lambda: client.register_stream_consumer(StreamARN=stream_arn)),
        "blank": code_of(lambda: client.register_stream_consumer(StreamARN=stream_arn, ConsumerName="a b")),
        "long": code_of(lambda: client.register_stream_consumer(StreamARN=stream_arn, ConsumerName="a" * 129)),
        "an ARN of a bucket": code_of(lambda: client.describe_stream_consumer(ConsumerARN="arn:aws:s3:::bucket")),
    }
    service.expect("malformed consumers are refused", refusals, dict.fromkeys(refusals, "ValidationException"))


def test_consumers_are_listed_in_pages(service: Service) -> None:
    stream = service.stream()
    for name in ("c", "a", "b"):
        consumer = TestedConsumer(service.client, stream, name)
    names: list[list[str]] = []
    members: dict[str, str] = {}
    for _ in range(4):
        page = service.client.list_stream_consumers(StreamARN=consumer.stream_arn, MaxResults=2, **members)
        names.append([one["ConsumerName"] for one in page["Consumers"]])
        if "NextToken" not in page:
            break
        members = {"NextToken": page["NextToken"]}
    observed = [[len(page) for page in names], sorted(name for page in names for name in page)]
    service.expect("pages of consumers follow each other", observed, [[2, 1], ["a", "b", "c"]])
    service.expect(
        "an invented token of consumers is refused",
        code_of(lambda: service.client.list_stream_consumers(StreamARN=consumer.stream_arn, NextToken="invented")),
        "InvalidArgumentException",
    )


def test_a_shard_can_be_subscribed_to(service: Service) -> None:
    consumer = TestedConsumer(service.client, service.stream())
    service.expect("a shard can be subscribed to", consumer.refusal(), "accepted")


def test_a_stream_has_twenty_consumers(service: Service) -> None:
    stream = service.stream()
    for number in range(20):
        consumer = TestedConsumer(service.client, stream, f"one-of-many-{number}")
    summary = service.client.describe_stream_summary(StreamName=stream.name)["StreamDescriptionSummary"]
    service.expect("the summary counts the consumers", summary.get("ConsumerCount"), 20)
    service.expect(
        "a stream has twenty consumers",
        code_of(lambda: TestedConsumer(service.client, stream, "one-more")),
        "LimitExceededException",
    )
    consumer.deregister()
    assert code_of(lambda: TestedConsumer(service.client, stream, "instead")) == "accepted"


def test_a_stream_with_consumers_is_deleted_only_by_force_and_takes_them_along(service: Service) -> None:
    stream = service.stream()
    consumer = TestedConsumer(service.client, stream)
    service.expect(
        "a stream with consumers is in use",
        code_of(lambda: service.client.delete_stream(StreamName=stream.name)),
        "ResourceInUseException",
    )
    forced = code_of(lambda: service.client.delete_stream(StreamName=stream.name, EnforceConsumerDeletion=True))
    is_ours = service.clock is not None  # with the emulators it may be gone by now, whatever they said
    assert forced == "accepted" if is_ours else forced in ("accepted", NOT_FOUND)
    wait_until_gone(service, stream)
    if is_ours:  # the two deletions of an emulator may end one after the other, and take the new stream along
        service.client.create_stream(StreamName=stream.name, ShardCount=1)
        stream.settle()
    service.expect("a consumer does not outlive its stream", code_of(consumer.description), NOT_FOUND)
