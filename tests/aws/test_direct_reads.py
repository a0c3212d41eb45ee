"""Which reads go past the SDK's client, and what they send."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import aioboto3
import boto3
import botocore.session
import msgspec
import pytest
from aiobotocore.client import AioBaseClient
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from kcl_py import Checkpointer, Config, RecordBatch, RecordProcessor, Worker
from kcl_py.aws.kinesis import KinesisStream
from kcl_py.errors import CredentialsError, StreamError
from tests.aws.kinesis_answers import ARN, ITERATOR, page
from tests.aws.scripted_kinesis import ScriptedKinesis, connected, refuses, says

OWN = {"Authorization", "Content-Length", "amz-sdk-invocation-id", "X-Amz-Date"}
"""The headers that differ from request to request."""
Open = Callable[..., KinesisStream]


class Idle(RecordProcessor):
    def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        raise AssertionError("nothing is read here")


@pytest.fixture
async def opened(service: ScriptedKinesis) -> AsyncIterator[Open]:
    """Opens doors on a service whose every page is empty, and closes them."""
    service.will("GetRecords", says(page()))
    doors: list[KinesisStream] = []

    def open_door(stream: str = "orders", **options: Any) -> KinesisStream:
        doors.append(connected(service, stream, **options))
        return doors[-1]

    yield open_door
    for door in doors:
        await door.close()


def is_direct(door: KinesisStream) -> bool:
    direct = door._connection._direct
    return direct is not None and direct.are_possible


async def read(door: KinesisStream, times: int = 1) -> None:
    for _ in range(times):
        await door.read(ITERATOR, 10)


@pytest.mark.parametrize("name", ["orders", ARN])
@pytest.mark.parametrize("token", [None, "of a session"])
async def test_a_direct_read_sends_what_the_client_sends(
    service: ScriptedKinesis, opened: Open, monkeypatch: pytest.MonkeyPatch, name: str, token: str | None
) -> None:
    if token is not None:
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    door = opened(name)
    await read(door)
    assert is_direct(door)
    await read(door)

    of_client, direct = service.headers
    assert direct.keys() == of_client.keys()
    assert {k: v for k, v in direct.items() if k not in OWN} == {k: v for k, v in of_client.items() if k not in OWN}
    assert direct.get("X-Amz-Security-Token") == token
    assert direct["amz-sdk-invocation-id"] != of_client["amz-sdk-invocation-id"]
    assert service.requests[1] == service.requests[0]


async def test_what_arrives_of_a_direct_read_is_signed_as_botocore_signs_it(
    service: ScriptedKinesis, opened: Open
) -> None:
    door = opened()
    await read(door, 2)

    sent = service.headers[1]
    body = msgspec.json.encode(service.requests[1][1])
    signed = {name: sent[name] for name in ("Content-Type", "X-Amz-Target", "X-Amz-Date")}
    auth = SigV4Auth(ReadOnlyCredentials("key", "secret", None, None), "kinesis", "eu-west-1")
    request = AWSRequest("POST", service.endpoint_url, headers=signed, data=body)
    request.context["timestamp"] = sent["X-Amz-Date"]
    told = auth.string_to_sign(request, auth.canonical_request(request))
    assert sent["Authorization"].endswith(f"Signature={auth.signature(told, request)}")


@pytest.mark.parametrize("direct_reads", [False, True])
async def test_it_can_be_turned_off(
    service: ScriptedKinesis, monkeypatch: pytest.MonkeyPatch, *, direct_reads: bool
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    service.will("GetRecords", says(page()))
    config = Config(
        stream="orders", application="billing", endpoint_url=service.endpoint_url, direct_reads=direct_reads
    )
    door = Worker(Idle, config)._open_stream()
    assert isinstance(door, KinesisStream)
    await read(door, 2)

    assert is_direct(door) is direct_reads
    await door.close()


async def test_keys_that_were_renewed_sign_the_next_read(service: ScriptedKinesis, opened: Open) -> None:
    session = boto3.Session("key1", "secret1", region_name="eu-west-1")
    door = opened(session=session)
    await read(door, 2)
    credentials = session.get_credentials()
    credentials.access_key, credentials.secret_key, credentials.token = "key2", "secret2", "token2"
    await read(door)

    keys = [headers["Authorization"].partition("Credential=")[2].partition("/")[0] for headers in service.headers]
    assert keys == ["key1", "key1", "key2"]
    assert service.headers[2]["X-Amz-Security-Token"] == "token2"
    assert "X-Amz-Security-Token" not in service.headers[1]


async def test_keys_that_cannot_be_had_any_more_are_no_fault_of_the_network(
    service: ScriptedKinesis, opened: Open
) -> None:
    core = botocore.session.get_session()
    core.set_credentials("key", "secret")
    session = boto3.Session(botocore_session=core, region_name="eu-west-1")
    door = opened(session=session)
    await read(door)
    assert is_direct(door)

    def lost() -> None:
        raise botocore.exceptions.CredentialRetrievalError(provider="vault", error_msg="the secret")

    session.get_credentials().get_frozen_credentials = lost
    with pytest.raises(CredentialsError) as refused:
        await read(door)

    assert "the secret" not in str(refused.value)
    assert len(service.requests) == 1


async def test_who_listens_to_the_clients_calls_hears_all_of_them(service: ScriptedKinesis, opened: Open) -> None:
    heard: list[str] = []

    def listen(event_name: str, **_: object) -> None:
        heard.append(event_name)

    for event in ("before-call.kinesis", "provide-client-params.kinesis.GetRecords", "needs-retry", "after-call"):
        session = aioboto3.Session("key", "secret", region_name="eu-west-1")
        session.events.register(event, listen)
        door = opened(session=session)
        heard.clear()
        await read(door, 3)
        assert not is_direct(door)
        assert len(heard) == 3


async def test_who_listens_to_something_else_does_not_mind(opened: Open) -> None:
    session = aioboto3.Session("key", "secret", region_name="eu-west-1")
    session.events.register("before-call.dynamodb", lambda **_: None)
    session.events.register("after-call.kinesis.PutRecords", lambda **_: None)
    door = opened(session=session)
    await read(door)

    assert is_direct(door)


async def test_who_put_something_around_the_clients_calls_sees_all_of_them(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    call = AioBaseClient._make_api_call

    async def traced(client: Any, operation: str, parameters: Any) -> Any:
        seen.append(operation)
        return await call(client, operation, parameters)

    monkeypatch.setattr(AioBaseClient, "_make_api_call", traced)
    await read(opened(), 3)

    assert seen == ["GetRecords"] * 3


async def test_a_request_with_something_unknown_to_it_is_no_pattern(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "f")  # botocore then adds a header for the tracing of Lambda
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1")
    door = opened()
    await read(door, 5)

    assert not is_direct(door)


async def test_a_request_that_is_signed_in_another_way_is_no_pattern(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.auth.SIGNED_HEADERS_BLACKLIST", ["expect"])  # so that the user agent is signed, too
    door = opened()
    await read(door, 5)

    assert not is_direct(door)


async def test_a_refused_read_is_a_pattern_all_the_same(service: ScriptedKinesis, opened: Open) -> None:
    door = opened()
    service.will("GetRecords", refuses("ExpiredTokenException"), says(page()))
    with pytest.raises(CredentialsError):
        await read(door)
    await read(door)

    assert is_direct(door)


async def test_a_closed_door_reads_nothing_any_more(service: ScriptedKinesis, opened: Open) -> None:
    door = opened()
    await read(door)
    await door.close()

    with pytest.raises(StreamError, match="closed"):
        await read(door)
    assert len(service.requests) == 1
