"""Everything that speaks Kinesis, as a client of boto3's shape: our model, our server, two emulators of others."""

import itertools
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from kcl_py.local.kinesis_error import KinesisError
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.kinesis_server import KinesisServer
from kcl_py.local.operations import perform, request_from_members
from kcl_py.local.server_thread import ServerThread
from tests.contracts.kinesis_deviations import DEVIATIONS
from tests.local.ticking_clock import TickingClock

KINESIS_LOCAL = Path(__file__).parents[2] / ".tools" / "node" / "node_modules" / "kinesis-local"
_TIMESTAMPS = ("StreamCreationTimestamp", "ApproximateArrivalTimestamp")
_TICK_MS = 400  # slower than every limit of a shard, so that only the tests that turn it off are throttled


class ModelClient:
    """The model with boto3's method names, keywords and errors."""

    def __init__(self, model: KinesisModel, clock: TickingClock) -> None:
        self._model = model
        self._clock = clock

    def __getattr__(self, method: str) -> Callable[..., dict[str, Any]]:
        operation = "".join(part.capitalize() for part in method.split("_"))

        def call(**members: object) -> dict[str, Any]:
            try:
                request = request_from_members(operation, _on_the_wire(members))
                answer = perform(self._model, request, self._clock())
            except KinesisError as error:
                said = {"Error": {"Code": error.code, "Message": error.message}}
                raise ClientError(said, operation) from error
            plain: dict[str, Any] = msgspec.to_builtins(answer, builtin_types=(bytes,)) or {}
            return _as_boto3_shows_it(plain)

        return call


def _on_the_wire(value: Any) -> Any:
    if isinstance(value, datetime):
        return int(value.timestamp())  # botocore cuts timestamps down to whole seconds
    if isinstance(value, dict):
        return {name: _on_the_wire(member) for name, member in value.items()}
    return value


def _as_boto3_shows_it(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_as_boto3_shows_it(member) for member in value]
    if isinstance(value, dict):
        return {
            name: datetime.fromtimestamp(member, UTC) if name in _TIMESTAMPS else _as_boto3_shows_it(member)
            for name, member in value.items()
            if member is not None
        }
    return value


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

    def stream(self, shard_count: int = 1, **members: object) -> "TestedStream":
        """A new stream, ACTIVE."""
        name = f"stream-{next(self._numbers)}"
        if "StreamModeDetails" not in members:
            members["ShardCount"] = shard_count
        self.client.create_stream(StreamName=name, **members)
        stream = TestedStream(self, name)
        stream.settle()
        return stream


class TestedStream:
    """A stream of a service, with the calls that the tests make all the time."""

    __test__ = False

    def __init__(self, service: Service, name: str) -> None:
        self.name = name
        self._service = service
        self._client = service.client

    def settle(self) -> None:
        """Wait until the change under way is done."""
        for _ in range(1_000):
            summary = self._client.describe_stream_summary(StreamName=self.name)["StreamDescriptionSummary"]
            if summary["StreamStatus"] == "ACTIVE":
                return
            time.sleep(0.02)
        raise AssertionError(f"{self.name} of {self._service.name} does not become ACTIVE")

    def shards(self, **members: object) -> list[dict[str, Any]]:
        """All shards, oldest first."""
        answer = self._client.list_shards(StreamName=self.name, **members)
        return sorted(answer["Shards"], key=lambda shard: shard["ShardId"])

    def ids(self, **members: object) -> list[int]:
        """The numbers of the listed shards."""
        return [number_of(shard["ShardId"]) for shard in self.shards(**members)]

    def put(self, data: str | bytes = b"", key: str = "key", hash_key: int | None = None) -> dict[str, Any]:
        explicit = {} if hash_key is None else {"ExplicitHashKey": str(hash_key)}
        payload = data.encode() if isinstance(data, str) else data
        answer: dict[str, Any] = self._client.put_record(
            StreamName=self.name, Data=payload, PartitionKey=key, **explicit
        )
        return answer

    def iterator(self, shard: int, kind: str = "TRIM_HORIZON", **members: object) -> str:
        answer = self._client.get_shard_iterator(
            StreamName=self.name, ShardId=shard_id(shard), ShardIteratorType=kind, **members
        )
        iterator: str = answer["ShardIterator"]
        return iterator

    def page(self, iterator: str, **members: object) -> dict[str, Any]:
        answer: dict[str, Any] = self._client.get_records(ShardIterator=iterator, **members)
        return answer

    def read(self, shard: int, kind: str = "TRIM_HORIZON", **members: object) -> list[str]:
        """The payloads of the shard up to its tip or end."""
        return [record["Data"].decode() for record in self.records(shard, kind, **members)]

    def records(self, shard: int, kind: str = "TRIM_HORIZON", **members: object) -> list[dict[str, Any]]:
        """The records of the shard up to its tip or end."""
        iterator: str | None = self.iterator(shard, kind, **members)
        records: list[dict[str, Any]] = []
        while iterator is not None:
            page = self.page(iterator)
            records += page["Records"]
            iterator = page.get("NextShardIterator")
            if page["MillisBehindLatest"] == 0:
                break
        return records

    def split(self, shard: int, at: int | None = None) -> None:
        """Split a shard, in the middle if not told where, and wait until it is done."""
        if at is None:
            hash_range = next(s for s in self.shards() if number_of(s["ShardId"]) == shard)["HashKeyRange"]
            at = (int(hash_range["StartingHashKey"]) + int(hash_range["EndingHashKey"]) + 1) // 2
        self._client.split_shard(StreamName=self.name, ShardToSplit=shard_id(shard), NewStartingHashKey=str(at))
        self.settle()

    def merge(self, shard: int, adjacent: int) -> None:
        """Merge two shards and wait until it is done."""
        self._client.merge_shards(
            StreamName=self.name, ShardToMerge=shard_id(shard), AdjacentShardToMerge=shard_id(adjacent)
        )
        self.settle()

    def scale(self, count: int) -> None:
        """UpdateShardCount, and wait until it is done."""
        self._client.update_shard_count(StreamName=self.name, TargetShardCount=count, ScalingType="UNIFORM_SCALING")
        self.settle()


def shard_id(number: int) -> str:
    return f"shardId-{number:012d}"


def number_of(shard: str) -> int:
    return int(re.fullmatch(r"shardId-(\d{12})", shard)[1])  # type: ignore[index]


def code_of(call: Callable[[], object]) -> str:
    """The error code that a call is refused with; `accepted` if it is not."""
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "accepted"


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
        for change in ("CREATE_STREAM", "DELETE_STREAM", "SPLIT_SHARD", "MERGE_SHARDS", "UPDATE_SHARD_COUNT")
    }
    settings = {
        "KINESIS_MOCK_PLAIN_PORT": str(port),
        "KINESIS_MOCK_TLS_PORT": str(tls_port),
        "SHARD_LIMIT": "3000",
        "ON_DEMAND_STREAM_COUNT_LIMIT": "100",
        "LOG_LEVEL": "ERROR",
        **durations,
    }
    process = subprocess.Popen(
        [node, "main.js"], cwd=KINESIS_LOCAL, env={**os.environ, **settings}, stdout=subprocess.DEVNULL
    )
    try:
        with boto3_client(f"http://127.0.0.1:{port}") as client:
            _await_answer(client, process)
            yield Service("kinesis-local", client)
    finally:
        process.kill()  # it has nothing to save, and takes its time over a polite request
        process.wait(10)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


def _await_answer(client: Any, process: "subprocess.Popen[bytes]") -> None:
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
    raise AssertionError(f"kinesis-local ended with {process.returncode} before it answered")


SERVICES = {
    "model": our_model,
    "server": our_server,
    "moto": moto_server,
    "kinesis-local": kinesis_local,
}
