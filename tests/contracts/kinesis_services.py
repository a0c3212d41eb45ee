"""Everything that speaks Kinesis, as a client of boto3's shape: our model, our server, three emulators of others."""

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from kcl_py.local import event_encoding
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.kinesis_server import KinesisServer
from kcl_py.local.server_thread import ServerThread
from tests.contracts.kinesis_deviations import DEVIATIONS
from tests.contracts.model_client import ModelClient
from tests.contracts.tested_stream import TestedStream
from tests.local.ticking_clock import TickingClock
from tests.tools import find_tool

KINESIS_LOCAL = Path(__file__).parents[2] / ".tools" / "node" / "node_modules" / "kinesis-local"
_TICK_MS = 400  # slower than every limit of a shard, so that only the tests that turn it off are throttled


class Service:
    """One implementation under test.

    Args:
        name: as in `DEVIATIONS`.
        client: boto3's Kinesis client, or something of its shape.
        clock: that the implementation goes by; None for the wall clock.
    """

    _numbers = itertools.count(1)

    def __init__(self, name: str, client: Any, clock: TickingClock | None = None) -> None:
        self.name = name
        self.client = client
        self.clock = clock

    def expect(self, law: str, observed: object, expected: object) -> None:
        """Assert that a law holds, or, for a known deviation, that it is broken just as it is known to be."""
        if (self.name, law) in DEVIATIONS:
            assert observed == DEVIATIONS[self.name, law], (
                f"{self.name} deviates from {law!r} in another way, or no more"
            )
            assert observed != expected, f"{law!r}: the known deviation of {self.name} is none"
        else:
            assert observed == expected, f"{self.name} breaks {law!r}"

    def now_seconds(self) -> float:
        return time.time() if self.clock is None else self.clock.now_ms / 1_000

    @contextmanager
    def standing_clock(self) -> Iterator[None]:
        """Everything inside happens at one moment, where the service goes by a clock of ours."""
        if self.clock is not None:
            self.clock.tick_ms = 0
        yield
        if self.clock is not None:
            self.clock.tick_ms = _TICK_MS

    def stream(self, shard_count: int = 1, **members: object) -> TestedStream:
        """A new stream, ACTIVE."""
        name = f"stream-{next(self._numbers)}"
        if "StreamModeDetails" not in members:
            members["ShardCount"] = shard_count
        self.client.create_stream(StreamName=name, **members)
        stream = TestedStream(self.client, name)
        stream.settle()
        return stream


@contextmanager
def boto3_client(url: str) -> Iterator[Any]:
    """A client that tries once and lets the service judge the parameters."""
    config = Config(retries={"total_max_attempts": 1}, parameter_validation=False, connect_timeout=5, read_timeout=60)
    client = boto3.client(
        "kinesis",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=config,
    )
    try:
        yield client
    finally:
        client.close()


@contextmanager
def our_model() -> Iterator[Service]:
    clock = TickingClock(tick_ms=_TICK_MS)
    yield Service("model", ModelClient(KinesisModel(), clock), clock)


@contextmanager
def our_server() -> Iterator[Service]:
    clock = TickingClock(tick_ms=_TICK_MS)
    with ServerThread(KinesisServer(clock_ms=clock)) as server, boto3_client(server.url) as client:
        yield Service("server", client, clock)


@contextmanager
def moto_server() -> Iterator[Service]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        with boto3_client(f"http://{host}:{port}") as client:
            yield Service("moto", client)
    finally:
        server.stop()


@contextmanager
def kinesis_local() -> Iterator[Service]:
    node = shutil.which("node")
    if node is None or not (KINESIS_LOCAL / "main.js").is_file():
        pytest.skip(f"needs kinesis-local: {'node is not installed' if node is None else 'run make test to fetch it'}")
    port, tls_port = _free_ports(2)
    durations = {
        f"{change}_DURATION": "20ms"
        for change in (
            "CREATE_STREAM",
            "DELETE_STREAM",
            "SPLIT_SHARD",
            "MERGE_SHARDS",
            "UPDATE_SHARD_COUNT",
            "REGISTER_STREAM_CONSUMER",
            "DEREGISTER_STREAM_CONSUMER",
        )
    }
    settings = {
        "KINESIS_MOCK_PLAIN_PORT": str(port),
        "KINESIS_MOCK_TLS_PORT": str(tls_port),
        "SHARD_LIMIT": "3000",
        "ON_DEMAND_STREAM_COUNT_LIMIT": "100",
        "LOG_LEVEL": "ERROR",
        **durations,
    }
    with _emulator("kinesis-local", [node, "main.js"], port, settings, KINESIS_LOCAL) as client:
        client.meta.events.register("before-parse.kinesis.SubscribeToShard", _prepend_initial_response)
        yield Service("kinesis-local", client)


@contextmanager
def ministack() -> Iterator[Service]:
    """For consumers and subscriptions alone: a shard that is closed is gone here, with all that was in it."""
    with _ministack(str(find_tool("ministack"))) as client:
        yield Service("ministack", client)


@contextmanager
def numbered_ministack(subscription_seconds: int = 300) -> Iterator[Service]:
    """ministack, for kcl_py itself: without the zeros before its sequence numbers, which no number of Kinesis has.

    It cannot be polled, so that whatever is read was pushed.

    Args:
        subscription_seconds: how long a subscription lives.
    """
    program = [str(find_tool("ministack").with_name("python")), "-c", _NUMBERED_MINISTACK, str(subscription_seconds)]
    with _ministack(*program) as client:
        yield Service("numbered ministack", client)


_NUMBERED_MINISTACK = """
import sys
from ministack import app
from ministack.services import kinesis

padded = kinesis._next_sequence_number
kinesis._next_sequence_number = lambda: "1" + padded()
kinesis._get_shard_iterator = kinesis._get_records = None
kinesis.SUBSCRIPTION_SECONDS = int(sys.argv.pop())
app.main()
"""


@contextmanager
def _ministack(*command: str) -> Iterator[Any]:
    (port,) = _free_ports(1)
    settings = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "SERVICES": "kinesis", "LOG_LEVEL": "ERROR"}
    with tempfile.TemporaryDirectory() as folder:
        settings["TMPDIR"] = folder  # where it leaves a file with its process id
        with _emulator("ministack", command, port, settings, Path(folder)) as client:
            yield client


@contextmanager
def _emulator(name: str, command: Sequence[str], port: int, settings: dict[str, str], folder: Path) -> Iterator[Any]:
    """A process of its own that speaks Kinesis; gives a client, once it answers."""
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, **settings}, stdout=subprocess.DEVNULL)
    try:
        with boto3_client(f"http://127.0.0.1:{port}") as client:
            _await_answer(client, name, process)
            yield client
    finally:
        process.kill()  # it has nothing to save, and takes its time over a polite request
        process.wait(10)


class _Prepended:
    """A response body with something in front."""

    def __init__(self, head: bytes, body: Any) -> None:
        self._head = head
        self._body = body

    def stream(self) -> Iterator[bytes]:
        yield self._head
        yield from self._body.stream()

    def close(self) -> None:
        self._body.close()


def _prepend_initial_response(response_dict: dict[str, Any], **_: object) -> None:
    """Without it botocore refuses the events that follow, of which the contract still tells much."""
    if response_dict["status_code"] == 200:
        response_dict["body"] = _Prepended(event_encoding.initial_response(), response_dict["body"])


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


def _await_answer(client: Any, name: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while process.poll() is None:
        try:
            client.list_streams()
        except BotoCoreError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"{name} ended with {process.returncode} before it answered")


SERVICES = {
    "model": our_model,
    "server": our_server,
    "moto": moto_server,
    "kinesis-local": kinesis_local,
    "ministack": ministack,
    "numbered ministack": numbered_ministack,
}
"""By name. What a session wants of them is started once, whatever file asks for it."""

OF_EVERYTHING = ["model", "server", "moto", "kinesis-local"]
"""Who is held to every contract."""

OF_CONSUMERS = [*OF_EVERYTHING, "ministack"]
"""Who is held to that of consumers."""
