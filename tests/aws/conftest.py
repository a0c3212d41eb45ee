"""The Stream door on a Kinesis whose every answer is scripted."""

from collections.abc import AsyncIterator, Iterator

import pytest

from kcl_py.aws.kinesis import KinesisStream
from tests.aws.scripted_kinesis import ScriptedKinesis, connected, scripted_kinesis


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedKinesis]:
    monkeypatch.setattr("kcl_py.aws.calls._PAUSE", lambda attempt: 0.0)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with scripted_kinesis() as scripted:
        yield scripted


@pytest.fixture
async def stream(service: ScriptedKinesis) -> AsyncIterator[KinesisStream]:
    door = connected(service)
    yield door
    await door.close()
