"""The server as clients meet it: the wire protocol, real SDKs, the AWS command line, and its own life."""

import asyncio
import base64
import io
import json
import logging
import os
import shutil
import socket
from email.utils import parsedate_to_datetime
from typing import Any

import aioboto3
import boto3
import pytest
from aiohttp import ClientResponse, ClientSession

from kcl_py.errors import ConfigError
from kcl_py.local.endpoints import LocalEndpoints
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.kinesis_server import KinesisServer
from kcl_py.local.limits import Limits
from kcl_py.local.server_thread import ServerThread
from tests.local.ticking_clock import START_MS, TickingClock

CREDENTIALS = {"region_name": "us-east-1", "aws_access_key_id": "local", "aws_secret_access_key": "local"}
JSON = {"Content-Type": "application/x-amz-json-1.1"}


async def post(
    server: KinesisServer, operation: str, body: object = None, **headers: str
) -> tuple[ClientResponse, Any]:
    sent = JSON | {"X-Amz-Target": f"Kinesis_20131202.{operation}"} | headers
    async with (
        ClientSession() as http,
        http.post(server.url, data=io.BytesIO(json.dumps(body or {}).encode()), headers=sent) as response,
    ):
        text = await response.read()
        return response, json.loads(text) if text else None


async def test_blobs_are_base64_and_timestamps_seconds() -> None:
    async with KinesisServer(clock_ms=TickingClock()) as server:
        created, nothing = await post(server, "CreateStream", {"StreamName": "s", "ShardCount": 1})
        assert [created.status, nothing] == [200, None]
        blob = base64.b64encode(b"\x00\xff").decode()
        await post(server, "PutRecord", {"StreamName": "s", "Data": blob, "PartitionKey": "k"})
        _, opened = await post(
            server,
            "GetShardIterator",
            {"StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"},
        )
        _, page = await post(server, "GetRecords", opened)
        record = page["Records"][0]
        assert record["Data"] == blob
        assert record["ApproximateArrivalTimestamp"] == START_MS / 1_000
        assert page["MillisBehindLatest"] == 0


async def test_every_answer_carries_the_models_time_and_a_request_id() -> None:
    async with KinesisServer(clock_ms=TickingClock()) as server:
        ids = set()
        for operation in ("ListStreams", "DescribeStreamSummary"):
            response, _ = await post(server, operation)
            assert parsedate_to_datetime(response.headers["Date"]).timestamp() == START_MS // 1_000
            assert response.headers["Content-Type"] == JSON["Content-Type"]
            ids.add(response.headers["x-amzn-RequestId"])
        assert len(ids) == 2


async def test_an_error_is_a_400_with_its_code_and_message() -> None:
    async with KinesisServer() as server:
        response, error = await post(server, "DescribeStreamSummary", {"StreamName": "nobody"})
        assert response.status == 400
        assert error["__type"] == "ResourceNotFoundException"
        assert "nobody" in error["message"]


async def test_cbor_is_refused_with_advice() -> None:
    async with KinesisServer() as server:
        response, error = await post(server, "ListStreams", **{"Content-Type": "application/x-amz-cbor-1.1"})
        assert response.status == 400
        assert "AWS_CBOR_DISABLE" in error["message"]


async def test_what_is_no_kinesis_request_is_told_so() -> None:
    async with KinesisServer() as server, ClientSession() as http:
        async with http.get(server.url) as response:
            assert response.status == 400
            assert "X-Amz-Target" in (await response.json(content_type=None))["message"]
        _, error = await post(server, "", **{"X-Amz-Target": "DynamoDB_20120810.ListTables"})
        assert error["__type"] == "UnknownOperationException"


async def test_a_failure_of_the_model_is_an_internal_failure_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with KinesisServer(clock_ms=lambda: START_MS) as server:
        await post(server, "CreateStream", {"StreamName": "s", "ShardCount": 1})
        server.model.limits = None  # type: ignore[assignment]
        with caplog.at_level(logging.ERROR, logger="kcl_py.local.kinesis_server"):
            response, error = await post(server, "ListShards", {"StreamName": "s"})
        assert response.status == 500
        assert error["__type"] == "InternalFailure"
        assert "AttributeError" in caplog.text


async def test_aioboto3_puts_splits_and_reads_to_the_end_of_the_shard() -> None:
    async with (
        KinesisServer() as server,
        aioboto3.Session(**CREDENTIALS).client("kinesis", endpoint_url=server.url) as client,
    ):
        await client.create_stream(StreamName="s", ShardCount=1)
        puts = [await client.put_record(StreamName="s", Data=str(n).encode(), PartitionKey="key") for n in range(3)]
        shard_id = puts[0]["ShardId"]
        await client.split_shard(StreamName="s", ShardToSplit=shard_id, NewStartingHashKey=str(2**127))
        opened = await client.get_shard_iterator(
            StreamName="s",
            ShardId=shard_id,
            ShardIteratorType="AT_SEQUENCE_NUMBER",
            StartingSequenceNumber=puts[1]["SequenceNumber"],
        )
        page = await client.get_records(ShardIterator=opened["ShardIterator"])
        assert [record["Data"] for record in page["Records"]] == [b"1", b"2"]
        assert page.get("NextShardIterator") is None
        assert [child["ParentShards"] for child in page["ChildShards"]] == [[shard_id]] * 2


async def test_the_end_of_a_shard_is_null_on_the_wire() -> None:
    async with KinesisServer() as server:
        await post(server, "CreateStream", {"StreamName": "s", "ShardCount": 1})
        shard = {"StreamName": "s", "ShardId": "shardId-000000000000"}
        _, opened = await post(server, "GetShardIterator", shard | {"ShardIteratorType": "LATEST"})
        split = {"StreamName": "s", "ShardToSplit": shard["ShardId"], "NewStartingHashKey": "5"}
        await post(server, "SplitShard", split)
        _, page = await post(server, "GetRecords", opened)
        assert page["NextShardIterator"] is None
        assert len(page["ChildShards"]) == 2


async def test_the_largest_request_fits() -> None:
    async with KinesisServer(KinesisModel(limits=Limits.unthrottled())) as server:
        await post(server, "CreateStream", {"StreamName": "s", "ShardCount": 1})
        blob = base64.b64encode(b"x" * 1_048_000).decode()
        entries = [{"Data": blob, "PartitionKey": "k"}] * 10
        _, answer = await post(server, "PutRecords", {"StreamName": "s", "Records": entries})
        assert answer["FailedRecordCount"] == 0


@pytest.mark.parametrize("waits", [True, False])
async def test_stopping_closes_the_port_also_while_a_client_is_connected(waits: bool) -> None:
    server = KinesisServer()
    await server.start()
    reader, writer = await asyncio.open_connection(server.host, server.port)
    if waits:
        writer.write(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n")
    async with asyncio.timeout(5):
        await server.stop()
        assert await reader.read() == b""
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(server.host, server.port)


def test_a_thread_serves_boto3_and_stops() -> None:
    with ServerThread(KinesisServer()) as server:
        client = boto3.client("kinesis", endpoint_url=server.url, **CREDENTIALS)
        client.create_stream(StreamName="s", ShardCount=2)
        assert client.list_streams()["StreamNames"] == ["s"]
        client.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.server.host, server.server.port))
    server.stop()


def test_a_port_that_is_taken_is_an_error_at_the_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=str(port)):
            ServerThread(KinesisServer(port=port)).start()
        with pytest.raises(ConfigError, match=str(port)):
            LocalEndpoints(kinesis_port=port).start()


def test_both_endpoints_serve_an_unmodified_boto3_by_their_exports(monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalEndpoints() as endpoints:
        for line in endpoints.exports:
            name, _, value = line.removeprefix("export ").partition("=")
            monkeypatch.setenv(name, value)
        kinesis, dynamodb = boto3.client("kinesis"), boto3.client("dynamodb")
        kinesis.create_stream(StreamName="s", ShardCount=1)
        assert kinesis.list_streams()["StreamNames"] == ["s"]
        assert dynamodb.list_tables()["TableNames"] == []
        kinesis.close()
        dynamodb.close()


async def test_the_aws_command_line_puts_and_reads() -> None:
    aws = shutil.which("aws")
    if aws is None:
        pytest.skip("needs aws: the AWS command line is not installed")
    async with KinesisServer() as server:
        await post(server, "CreateStream", {"StreamName": "s", "ShardCount": 1})

        async def run(*arguments: str) -> Any:
            environment = {
                **os.environ,
                "AWS_ENDPOINT_URL_KINESIS": server.url,
                "AWS_ACCESS_KEY_ID": "local",
                "AWS_SECRET_ACCESS_KEY": "local",
                "AWS_DEFAULT_REGION": "us-east-1",
            }
            process = await asyncio.create_subprocess_exec(
                aws, "kinesis", *arguments, "--output", "json", env=environment, stdout=asyncio.subprocess.PIPE
            )
            out, _ = await process.communicate()
            assert process.returncode == 0
            return json.loads(out)

        put = await run("put-record", "--stream-name", "s", "--partition-key", "k", "--data", "hello")
        entries = json.dumps([{"Data": "more", "PartitionKey": "k"}])
        assert (await run("put-records", "--stream-name", "s", "--records", entries))["FailedRecordCount"] == 0
        iterator = await run(
            "get-shard-iterator",
            "--stream-name",
            "s",
            "--shard-id",
            put["ShardId"],
            "--shard-iterator-type",
            "TRIM_HORIZON",
        )
        page = await run("get-records", "--shard-iterator", iterator["ShardIterator"])
        assert len(page["Records"]) == 2
