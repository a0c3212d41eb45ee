"""The consumers of enhanced fan-out: registered once, awaited, listed whole, and deregistered."""

from typing import Any

import pytest

from kcl_py.aws.fan_out import KinesisFanOut
from kcl_py.errors import AccessDenied, ConsumerMissing, ServiceUnavailable, StreamError, StreamNotFound, Throttled
from tests.aws.fan_out_answers import CONSUMER_ARN, MISSING, consumer, described, opened, registered
from tests.aws.kinesis_answers import ARN, summary
from tests.aws.scripted_kinesis import ScriptedKinesis, hangs_up, refuses, says

IN_USE = refuses("ResourceInUseException", "Consumer billing is already registered")


async def test_a_consumer_that_is_there_is_taken_as_it_is(service: ScriptedKinesis, fan_out: KinesisFanOut) -> None:
    service.will("DescribeStreamConsumer", described())
    found = await fan_out.register("billing")
    assert (found.name, found.arn, found.status, found.created_at_seconds) == (
        "billing",
        CONSUMER_ARN,
        "ACTIVE",
        1772355600,
    )
    assert service.sent("DescribeStreamConsumer") == [{"StreamARN": ARN, "ConsumerName": "billing"}]
    assert service.sent("RegisterStreamConsumer") == []


async def test_one_that_is_missing_is_registered_and_awaited(service: ScriptedKinesis, fan_out: KinesisFanOut) -> None:
    service.will("DescribeStreamConsumer", MISSING, described("CREATING"), described("CREATING"), described())
    service.will("RegisterStreamConsumer", registered())
    assert (await fan_out.register("billing")).status == "ACTIVE"
    assert service.sent("RegisterStreamConsumer") == [{"StreamARN": ARN, "ConsumerName": "billing"}]
    assert len(service.sent("DescribeStreamConsumer")) == 4
    assert len(service.sent("DescribeStreamSummary")) == 1


async def test_one_that_is_going_is_waited_for_and_registered_anew(
    service: ScriptedKinesis, fan_out: KinesisFanOut
) -> None:
    service.will("DescribeStreamConsumer", described("DELETING"), described("DELETING"), MISSING, described())
    service.will("RegisterStreamConsumer", registered())
    assert (await fan_out.register("billing")).status == "ACTIVE"
    assert len(service.sent("RegisterStreamConsumer")) == 1


@pytest.mark.parametrize(
    "trouble", [IN_USE, hangs_up, refuses("InternalFailureException", status=500), refuses("LimitExceededException")]
)
async def test_whoever_registers_first_has_done_it_for_all(
    service: ScriptedKinesis, fan_out: KinesisFanOut, trouble: Any
) -> None:
    service.will("DescribeStreamConsumer", MISSING, described())
    service.will("RegisterStreamConsumer", trouble)
    assert (await fan_out.register("billing")).arn == CONSUMER_ARN
    assert len(service.sent("RegisterStreamConsumer")) == 1


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (
            refuses("LimitExceededException"),
            (Throttled, "RegisterStreamConsumer on stream orders .* as many consumers as it may"),
        ),
        (IN_USE, (ServiceUnavailable, "RegisterStreamConsumer")),
        (registered(), (ServiceUnavailable, "consumer billing of stream orders is still CREATING after 0 s")),
    ],
)
async def test_to_register_has_an_end_and_says_what_it_waited_for(
    service: ScriptedKinesis,
    fan_out: KinesisFanOut,
    monkeypatch: pytest.MonkeyPatch,
    trouble: Any,
    said: tuple[type[Exception], str],
) -> None:
    monkeypatch.setattr("kcl_py.aws.fan_out._REGISTRATION_WAIT_SECONDS", 0.0)
    service.will("DescribeStreamConsumer", MISSING)
    service.will("RegisterStreamConsumer", trouble)
    with pytest.raises(said[0], match=said[1]):
        await fan_out.register("billing")


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (MISSING, StreamNotFound),
        (refuses("AccessDeniedException"), AccessDenied),
        (refuses("InvalidArgumentException", "a name that is none"), StreamError),
    ],
)
async def test_what_does_not_pass_by_itself_is_told_at_once(
    service: ScriptedKinesis, fan_out: KinesisFanOut, refusal: Any, error: type[Exception]
) -> None:
    service.will("DescribeStreamConsumer", MISSING)
    service.will("RegisterStreamConsumer", refusal)
    with pytest.raises(error) as caught:
        await fan_out.register("billing")
    assert type(caught.value) is error
    assert len(service.sent("RegisterStreamConsumer")) == 1


async def test_an_arn_needs_no_look_at_the_stream(service: ScriptedKinesis) -> None:
    service.will("DescribeStreamConsumer", described())
    door = opened(service, ARN)
    await door.register("billing")
    await door.close()
    assert service.sent("DescribeStreamSummary") == []


async def test_all_pages_of_consumers_are_listed_by_name(service: ScriptedKinesis, fan_out: KinesisFanOut) -> None:
    service.will(
        "ListStreamConsumers",
        says({"Consumers": [consumer(name="zebra"), consumer("DELETING", "ant")], "NextToken": "more"}),
        says({"Consumers": [consumer("CREATING", "bee")]}),
    )
    found = await fan_out.consumers()
    assert [(one.name, one.status) for one in found] == [("ant", "DELETING"), ("bee", "CREATING"), ("zebra", "ACTIVE")]
    assert service.sent("ListStreamConsumers") == [
        {"StreamARN": ARN, "MaxResults": 100},
        {"StreamARN": ARN, "MaxResults": 100, "NextToken": "more"},
    ]


async def test_a_listing_that_does_not_end_is_given_up(
    service: ScriptedKinesis, fan_out: KinesisFanOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kcl_py.aws.fan_out._PAGES_MAX", 3)
    service.will("ListStreamConsumers", says({"Consumers": [], "NextToken": "more"}))
    with pytest.raises(ServiceUnavailable, match="do not end"):
        await fan_out.consumers()


@pytest.mark.parametrize(
    "answer",
    [{}, {"Consumers": {"a": 1}}, {"Consumers": [consumer(ConsumerName="")]}, {"Consumers": [{"ConsumerARN": "x"}]},
     {"Consumers": [consumer(ConsumerCreationTimestamp=1e300)]}],
)  # fmt: skip
async def test_a_listing_that_makes_no_sense_is_refused(
    service: ScriptedKinesis, fan_out: KinesisFanOut, answer: dict[str, object]
) -> None:
    service.will("ListStreamConsumers", says(answer))
    with pytest.raises(ServiceUnavailable):
        await fan_out.consumers()


async def test_a_consumer_is_deregistered_by_its_name(service: ScriptedKinesis, fan_out: KinesisFanOut) -> None:
    service.will("DescribeStreamConsumer", described())
    service.will("DeregisterStreamConsumer", says({}))
    await fan_out.deregister("billing")
    assert service.sent("DeregisterStreamConsumer") == [{"StreamARN": ARN, "ConsumerName": "billing"}]


async def test_to_deregister_is_done_also_if_the_answer_was_lost(
    service: ScriptedKinesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.will("DescribeStreamConsumer", described())
    service.will("DeregisterStreamConsumer", hangs_up, MISSING)
    door = opened(service, ARN, patience_seconds=30.0)
    await door.deregister("billing")
    await door.close()
    assert len(service.sent("DeregisterStreamConsumer")) == 2


async def test_one_that_is_on_its_way_out_is_left_to_it(service: ScriptedKinesis, fan_out: KinesisFanOut) -> None:
    service.will("DescribeStreamConsumer", described("DELETING"))
    await fan_out.deregister("billing")
    assert service.sent("DeregisterStreamConsumer") == []


@pytest.mark.parametrize(("stream", "error"), [(says(summary()), ConsumerMissing), (MISSING, StreamNotFound)])
async def test_to_deregister_nobody_tells_whether_the_stream_is_missing(
    service: ScriptedKinesis, stream: Any, error: type[Exception]
) -> None:
    service.will("DescribeStreamSummary", stream)
    service.will("DescribeStreamConsumer", MISSING)
    door = opened(service, ARN)
    with pytest.raises(error, match="orders"):
        await door.deregister("billing")
    await door.close()
