"""Every way in which the service refuses or ends a subscription, as an answer and as a frame of the stream."""

from typing import Any

import pytest

from kcl_py.aws.fan_out import KinesisFanOut
from kcl_py.errors import (
    AccessDenied,
    ConsumerMissing,
    CredentialsError,
    EncryptionKeyError,
    KclError,
    SequenceRefused,
    ServiceUnavailable,
    StreamError,
    StreamNotFound,
    SubscriptionTaken,
    Throttled,
)
from tests.aws.event_frames import INITIAL, event, exception, frame, message, pushed, streams
from tests.aws.fan_out_answers import CONSUMER_ARN, MISSING, START, described
from tests.aws.kinesis_answers import SHARD, record, summary
from tests.aws.scripted_kinesis import ScriptedKinesis, hangs_up, refuses, says, says_text

CODES: list[tuple[str, type[KclError]]] = [
    ("ResourceInUseException", SubscriptionTaken),
    ("LimitExceededException", Throttled),
    ("KMSDisabledException", EncryptionKeyError),
    ("KMSInvalidStateException", EncryptionKeyError),
    ("KMSAccessDeniedException", EncryptionKeyError),
    ("KMSNotFoundException", EncryptionKeyError),
    ("KMSOptInRequired", EncryptionKeyError),
    ("KMSThrottlingException", EncryptionKeyError),
    ("InternalFailureException", ServiceUnavailable),
    ("AccessDeniedException", AccessDenied),
    ("ExpiredTokenException", CredentialsError),
    ("InvalidArgumentException", StreamError),
    ("SomethingNew", StreamError),
]


async def answered(service: ScriptedKinesis, door: KinesisFanOut, answer: Any, error: type[KclError]) -> str:
    """What is said when the subscription is refused at once."""
    service.will("SubscribeToShard", answer)
    with pytest.raises(error) as caught:
        await door.subscribe(CONSUMER_ARN, SHARD, START)
    assert type(caught.value) is error
    assert caught.value.__cause__ is None
    assert door._open == set(), "a connection was left behind"
    return str(caught.value)


async def ended(service: ScriptedKinesis, door: KinesisFanOut, last: bytes, error: type[KclError]) -> str:
    """What is said when the subscription ends after a page."""
    service.will("SubscribeToShard", streams(INITIAL, event(pushed(record("21"))), last, stays=True))
    subscription = await door.subscribe(CONSUMER_ARN, SHARD, START)
    page = await subscription.read()
    assert page is not None
    assert len(page.records) == 1
    with pytest.raises(error) as caught:
        await subscription.read()
    assert type(caught.value) is error
    assert caught.value.__cause__ is None
    with pytest.raises(ServiceUnavailable, match="subscribe again"):
        await subscription.read()
    return str(caught.value)


@pytest.mark.parametrize(("code", "error"), CODES)
async def test_a_refusal_is_the_same_error_however_it_comes(
    service: ScriptedKinesis, fan_out: KinesisFanOut, code: str, error: type[KclError]
) -> None:
    words = [
        await answered(
            service, fan_out, refuses(code, "because", 500 if code == "InternalFailureException" else 400), error
        ),
        await answered(service, fan_out, streams(exception(code, "because")), error),
        await ended(service, fan_out, exception(code, "because"), error),
        await ended(
            service, fan_out, frame({":message-type": "error", ":error-code": code, ":error-message": "oh"}, b""), error
        ),
    ]
    assert all(one.startswith("kinesis:SubscribeToShard on ") for one in words)
    assert len(service.requests) == 4, "each was asked once"


async def test_a_sequence_number_that_is_refused_is_told(service: ScriptedKinesis, fan_out: KinesisFanOut) -> None:
    refusal = refuses("InvalidArgumentException", "StartingSequenceNumber 7 used in SubscribeToShard is invalid")
    await answered(service, fan_out, refusal, SequenceRefused)


@pytest.mark.parametrize(
    ("stream", "consumer", "said"),
    [
        (says(summary()), MISSING, (ConsumerMissing, f"no consumer {CONSUMER_ARN}")),
        (says(summary()), described("DELETING"), (ConsumerMissing, f"no consumer {CONSUMER_ARN}")),
        (says(summary()), described(), (StreamNotFound, f"no shard {SHARD}")),
        (MISSING, MISSING, (StreamNotFound, "DescribeStreamSummary on stream orders")),
        (says(summary("DELETING")), described(), (StreamNotFound, "stream orders is being deleted")),
        (says(summary()), refuses("AccessDeniedException"), (AccessDenied, "allow kinesis:DescribeStreamConsumer")),
        (hangs_up, described(), (ServiceUnavailable, "DescribeStreamSummary")),
    ],
)
async def test_what_is_missing_is_found_out_and_not_read_from_the_services_words(
    service: ScriptedKinesis, fan_out: KinesisFanOut, stream: Any, consumer: Any, said: tuple[type[KclError], str]
) -> None:
    service.will("DescribeStreamSummary", stream)
    service.will("DescribeStreamConsumer", consumer)
    # words that say the one thing and mean, by what is described, another
    text = "Stream orders, consumer billing, shard 0: not found"
    error, words = said
    assert words in await answered(service, fan_out, refuses("ResourceNotFoundException", text), error)
    assert words in await ended(service, fan_out, exception("ResourceNotFoundException", text), error)


@pytest.mark.parametrize(
    "answer",
    [
        says_text("{}"),
        says_text(""),
        says_text("<html>a proxy's page, which is longer than a frame's beginning</html>"),
        says_text("no content", status=204),
        streams(),
        streams(b"\x00"),
        streams(INITIAL[:-1]),
        streams(INITIAL[:-1] + b"\x00"),
        streams(b"\x00" * 64),
        streams(b"\xff" * 64),
        streams(frame({}, b"{}")),
        streams(frame({":message-type": "event"}, b"{}")),
        streams(message({":message-type": "exception"}, {"message": "without a type"})),
        hangs_up,
    ],
)
async def test_what_is_no_event_stream_is_no_subscription(
    service: ScriptedKinesis, fan_out: KinesisFanOut, answer: Any
) -> None:
    await answered(service, fan_out, answer, ServiceUnavailable)


async def test_an_endpoint_that_points_elsewhere_does_not_pass_by_itself(
    service: ScriptedKinesis, fan_out: KinesisFanOut
) -> None:
    await answered(service, fan_out, says_text("there are several", status=300), StreamError)


@pytest.mark.parametrize(
    "content",
    [
        None, [], 7, {}, {"Records": None}, {"Records": [None]}, pushed(record(Data=7)), pushed(record(Data="!")),
        pushed(record(PartitionKey=None)), pushed(record("x")), pushed(record("22"), record("21")),
        pushed(record("22"), record("22")), pushed(record("21")), pushed(record("20")), pushed(record("9" * 130)),
        pushed(record(str((2 << 184) + (5 << 4) + 2))), pushed(continuation=""), pushed(continuation="shard-end"),
        pushed(ContinuationSequenceNumber=7), pushed(ChildShards=[{}]), pushed(ChildShards={"a": 1}),
        pushed(record("22", ApproximateArrivalTimestamp=1e17)), pushed(MillisBehindLatest="soon"),
    ],
)  # fmt: skip
async def test_an_event_that_makes_no_sense_ends_the_subscription_and_nothing_of_it_is_delivered(
    service: ScriptedKinesis, fan_out: KinesisFanOut, content: object
) -> None:
    assert "nothing of it was used" in await ended(service, fan_out, event(content), ServiceUnavailable)


@pytest.mark.parametrize("place", [0, 5, 9, 14, 60, -2])
async def test_a_flipped_bit_anywhere_is_found(service: ScriptedKinesis, fan_out: KinesisFanOut, place: int) -> None:
    whole = bytearray(event(pushed(record("22"))))
    whole[place] ^= 0x10
    await ended(service, fan_out, bytes(whole) + b"\x00" * 5_000, ServiceUnavailable)


async def test_secrets_and_payloads_are_in_no_error(
    service: ScriptedKinesis, fan_out: KinesisFanOut, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-key")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "planted-token")
    planted = record("22", PartitionKey="planted-partition", Data="cGxhbnRlZC1wYXlsb2Fk")
    words = [
        await ended(service, fan_out, event(pushed(planted, planted)), ServiceUnavailable),
        await ended(
            service, fan_out, event(pushed(planted | {"SequenceNumber": "planted-number"})), ServiceUnavailable
        ),
        await ended(service, fan_out, event(pushed(planted))[:-1] + b"\x00", ServiceUnavailable),
        await answered(
            service, fan_out, streams(exception("ExpiredTokenException", "planted-token was signed")), CredentialsError
        ),
    ]
    assert "planted" not in "".join(words) + caplog.text
