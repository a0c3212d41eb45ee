"""What the tests of commands share: a runner without a terminal, and our own Kinesis over HTTP."""

import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from click.testing import CliRunner, Result

from kcl_py.cli import main
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.kinesis_server import KinesisServer
from kcl_py.local.limits import Limits
from kcl_py.local.server_thread import ServerThread


class Shell:
    """Runs `kcl-py` in an empty directory with a clean environment."""

    def run(self, *words: str, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(main, list(words), input=stdin)


class LocalKinesis:
    """A stream `orders` of two shards."""

    def __init__(self, url: str) -> None:
        self.client = boto3.client("kinesis", region_name="eu-west-1", endpoint_url=url)
        self.client.create_stream(StreamName="orders", ShardCount=2)

    def put(self, data: bytes, hash_key: int = 0, partition_key: str = "key") -> None:
        self.client.put_record(
            StreamName="orders", Data=data, PartitionKey=partition_key, ExplicitHashKey=str(hash_key)
        )


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shell:
    for name in [name for name in os.environ if name.startswith(("AWS_", "KCL_PY_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.chdir(tmp_path)
    return Shell()


@pytest.fixture
def kinesis(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalKinesis]:
    monkeypatch.setattr("kcl_py.cli.lineage_reader._PAUSE_SECONDS", 0.0)
    with ServerThread(KinesisServer(KinesisModel(limits=Limits.unthrottled()))) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", server.url)
        local = LocalKinesis(server.url)
        yield local
        local.client.close()
