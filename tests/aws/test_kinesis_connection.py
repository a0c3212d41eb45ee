"""The connection to Kinesis: deadlines, endpoints, the SDK's settings, closing."""

from typing import Any

import pytest

from kcl_py.aws.kinesis import KinesisStream
from kcl_py.errors import (
    ConfigError,
    CredentialsError,
    ServiceUnavailable,
    StreamError,
)
from tests.aws.kinesis_answers import ITERATOR, page, shard
from tests.aws.scripted_kinesis import (
    ScriptedKinesis,
    connected,
    drips,
    refuses,
    says,
    says_nothing,
)


@pytest.mark.parametrize("silence", [says_nothing, drips])
async def test_every_call_has_an_end(service: ScriptedKinesis, silence: Any) -> None:
    door = connected(service, deadline_seconds=0.5)  # long enough to connect on a busy machine
    service.will("GetRecords", silence)

    with pytest.raises(ServiceUnavailable):
        await door.read(ITERATOR, 1)
    await door.close()


async def test_nobody_listening_is_unavailable(monkeypatch: pytest.MonkeyPatch, service: ScriptedKinesis) -> None:
    door = connected(service, endpoint_url="http://127.0.0.1:1")

    with pytest.raises(ServiceUnavailable):
        await door.read(ITERATOR, 1)
    await door.close()


async def test_the_sdks_own_retries_stay_off_whatever_the_environment_says(
    service: ScriptedKinesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    monkeypatch.setenv("AWS_RETRY_MODE", "adaptive")
    service.will("GetRecords", refuses("InternalFailure", status=500))
    door = connected(service)

    with pytest.raises(ServiceUnavailable):
        await door.read(ITERATOR, 1)
    await door.close()

    assert len(service.requests) == 1


async def test_the_environments_endpoint_is_used_and_checked(
    service: ScriptedKinesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.will("ListShards", says({"Shards": [shard(0)]}))
    monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", service.endpoint_url)
    door = connected(service, endpoint_url=None)
    assert len(await door.list_shards()) == 1
    await door.close()

    monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", "http://kinesis.example")
    elsewhere = connected(service, endpoint_url=None)
    with pytest.raises(ConfigError, match="plain http"):
        await elsewhere.list_shards()
    await elsewhere.close()


async def test_no_region_is_a_matter_of_configuration(
    service: ScriptedKinesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    door = connected(service, region=None)

    with pytest.raises(ConfigError, match="AWS_REGION"):
        await door.list_shards()
    await door.close()


async def test_an_endpoint_that_is_no_url_is_a_matter_of_configuration(service: ScriptedKinesis) -> None:
    door = connected(service, endpoint_url="not a url")

    with pytest.raises(ConfigError, match="no Kinesis client"):
        await door.list_shards()
    await door.close()


async def test_closing_twice_is_fine_and_using_it_afterwards_is_not(
    service: ScriptedKinesis, stream: KinesisStream
) -> None:
    service.will("GetRecords", says(page()))
    await stream.read(ITERATOR, 1)

    await stream.close()
    await stream.close()

    with pytest.raises(StreamError, match="was closed"):
        await stream.read(ITERATOR, 1)


async def test_an_error_does_not_drag_the_sdks_words_into_a_traceback(
    service: ScriptedKinesis, stream: KinesisStream
) -> None:
    service.will("GetRecords", refuses("InvalidSignatureException", "x-amz-security-token:the-session-token"))

    with pytest.raises(CredentialsError) as refused:
        await stream.read(ITERATOR, 1)

    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
    assert "the-session-token" not in str(refused.value)
