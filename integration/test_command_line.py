"""`kcl-py local` in one shell, producers of every kind in others, `kcl-py run` and `kcl-py tail` beside them."""

import base64
import json
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from integration.conftest import MakeApplication
from integration.journal import Journal
from integration.program import KCL_PY, Program, clean_environment, eventually
from integration.services import LocalProgram
from integration.worker_program import WorkerProgram
from tests.tools import find_tool

STREAM = "orders"


class Shell:
    """Runs commands one after the other, with the lines of `kcl-py local` pasted in."""

    def __init__(self, environment: dict[str, str], directory: Path) -> None:
        self._environment = {**clean_environment(), **environment}
        self._directory = directory

    def run(self, *words: str, stdin: str | None = None) -> str:
        """Standard output of a command that must succeed."""
        ended = subprocess.run(
            words, env=self._environment, cwd=self._directory, input=stdin, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


def test_every_producer_s_records_are_processed_and_shown(tmp_path: Path) -> None:
    aws = str(find_tool("awscli"))
    with LocalProgram(tmp_path) as local:
        shell = Shell(local.exports, tmp_path)
        shell.run(aws, "kinesis", "create-stream", "--stream-name", STREAM, "--shard-count", "2")
        with (
            WorkerProgram(
                "Recording",
                stream=STREAM,
                application="billing",
                services=local.services,
                environment={"INTEGRATION_JOURNAL": str(tmp_path)},
                directory=tmp_path,
            ) as worker,
            local.services.client("kinesis") as boto3_producer,
        ):
            put_record = ("put-record", "--partition-key", "k", "--data", "aws put-record")
            answer = json.loads(shell.run(aws, "kinesis", *put_record, "--stream-name", STREAM))
            assert re.fullmatch(r"[0-9]{56}", answer["SequenceNumber"])
            records = [{"Data": f"aws put-records {number}", "PartitionKey": f"k{number}"} for number in (0, 1)]
            put_records = ("put-records", "--records", json.dumps(records), "--stream-name", STREAM)
            assert json.loads(shell.run(aws, "kinesis", *put_records))["FailedRecordCount"] == 0
            boto3_producer.put_record(StreamName=STREAM, Data=b"boto3", PartitionKey="k")
            assert shell.run(KCL_PY, "put", STREAM, "argument 0", "argument 1") == "put 2 records into orders\n"
            lines = "".join(f"line {number}\n" for number in range(700))
            assert json.loads(shell.run(KCL_PY, "put", STREAM, "--json", stdin=lines))["records"] == 700

            expected = {"aws put-record", "aws put-records 0", "aws put-records 1", "boto3", "argument 0", "argument 1"}
            expected |= set(lines.splitlines())
            journal = Journal(tmp_path)
            eventually(lambda: len(journal.payloads) >= len(expected), f"{len(expected)} records", of=worker)
            assert journal.payloads == expected
            assert worker.drained() == 0
            assert len(journal.delivered) == len(expected)

        shown = shell.run(KCL_PY, "tail", STREAM, "--start", "TRIM_HORIZON", "--no-follow", "--json")
        entries = [json.loads(line) for line in shown.splitlines()]
        assert {base64.b64decode(entry["data"]).decode() for entry in entries} == expected
        assert len(entries) == len(expected)
        one_line = shell.run(KCL_PY, "tail", STREAM, "--start", "TRIM_HORIZON", "--limit", "1")
        assert re.fullmatch(r"shardId-00000000000[01] [0-9]{56}/0 \S+ \S+ .+\n", one_line)
        assert local.drained() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_stopped_kcl_py_local_exits_with_0_and_its_ports_are_free_again(
    tmp_path: Path, number: signal.Signals
) -> None:
    with LocalProgram(tmp_path) as local:
        services = local.services
        with services.client("kinesis") as kinesis, services.client("dynamodb") as dynamodb:
            kinesis.create_stream(StreamName=STREAM, ShardCount=1)
            assert dynamodb.list_tables()["TableNames"] == []
            assert local.drained(number) == 0  # while clients still hold connections
        assert local.errors == ["Serving until stopped, by Ctrl-C. Paste the lines above into another shell."]
        for url in (services.kinesis_url, services.dynamodb_url):
            with socket.create_server(("127.0.0.1", int(url.rpartition(":")[2])), reuse_port=False):
                pass


def test_ports_that_are_taken_are_said_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for option, other in (("--kinesis-port", "--dynamodb-port"), ("--dynamodb-port", "--kinesis-port")):
            ended = subprocess.run(
                [KCL_PY, "local", option, port, other, "0"],
                env=clean_environment(), cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert ended.returncode == 2
            assert ended.stderr.startswith("kcl-py: error: ")
            assert ended.stderr.count("\n") == 1
            assert port in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_tail_follows_a_stream_across_a_split_until_it_is_interrupted(
    make_application: MakeApplication, number: signal.Signals
) -> None:
    app = make_application(shards=1)
    app.producer.put_one("key", "before")
    environment = {**clean_environment(), **app.services.environment}
    command = [KCL_PY, "tail", app.name, "--start", "TRIM_HORIZON"]
    with Program(command, environment=environment, directory=app.folder) as tail:
        eventually(lambda: [line for line in tail.output if line.endswith(" key before")], "a first record", of=tail)
        app.operator.split("shardId-000000000000")
        app.producer.put_one("key", "after")
        eventually(lambda: [line for line in tail.output if line.endswith(" key after")], "a second record", of=tail)
        tail.signal(number)
        assert tail.ended() == 0
        assert len(tail.output) == 2
        assert tail.errors == []
