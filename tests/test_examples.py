"""Every example is run for real: against local endpoints, in a process of its own, and held to what it promises.

The name of a test begins with the module that it runs; the first test sees to it that no example goes without.
"""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

from kcl_py.cli.local import DYNAMODB_PORT, KINESIS_PORT
from kcl_py.local.endpoints import LocalEndpoints

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
KCL_PY = str(Path(sys.executable).parent / "kcl-py")
PATIENCE_SECONDS = 60.0
HASH_KEYS = 2**128
# an example as it is, in a process that dies when it is about to checkpoint
DYING = """
import os

from examples.{module} import {processor}


class Dead:
    def checkpoint(self, record=None):
        os._exit(137)


class Dying({processor}):
    def process_records(self, records, checkpointer):
        super().process_records(records, Dead())
"""

# an example as it is, except that each batch waits for a file before it is written
LATE = """
import time
from pathlib import Path

from examples.fenced_sqlite import Fenced, LatestValues


class Late(LatestValues):
    def process_records(self, records, checkpointer):
        print("delivered", flush=True)
        while not Path("awake").exists():
            time.sleep(0.02)
        try:
            super().process_records(records, checkpointer)
        except Fenced:
            print("refused", flush=True)
            raise
        print("written", flush=True)
"""


class LocalStream:
    """A stream of two shards, and what was put into it."""

    def __init__(self, client: Any, name: str) -> None:
        self.client = client
        self.name = name
        self.put_by_key: defaultdict[str, list[bytes]] = defaultdict(list)
        client.create_stream(StreamName=name, ShardCount=2)

    @property
    def put_records(self) -> list[bytes]:
        """The data of every record put."""
        return [data for records in self.put_by_key.values() for data in records]

    def put(self, count: int, keys: int = 20) -> None:
        """Put numbered records under some keys."""
        for start in range(0, count, 500):
            entries = []
            for _ in range(start, min(start + 500, count)):
                key = f"key-{len(self.put_records) % keys}"
                data = f"{key}/{len(self.put_by_key[key])}".encode()
                self.put_by_key[key].append(data)
                entries.append({"Data": data, "PartitionKey": key})
            assert self.client.put_records(StreamName=self.name, Records=entries)["FailedRecordCount"] == 0

    def split_first_shard(self) -> None:
        """Split the shard that covers the lower half of the hash keys."""
        self.client.split_shard(
            StreamName=self.name, ShardToSplit="shardId-000000000000", NewStartingHashKey=str(HASH_KEYS // 4)
        )


class Program:
    """A process that runs an example. Its output is collected in files of the test's directory."""

    def __init__(self, words: Sequence[str], environment: dict[str, str], directory: Path) -> None:
        self._out = directory / f"{time.monotonic_ns()}.out"
        self._err = self._out.with_suffix(".err")
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(words, cwd=directory, env=environment, stdout=out, stderr=err)

    @property
    def output(self) -> str:
        return self._out.read_text()

    @property
    def errors(self) -> str:
        return self._err.read_text()

    def records(self, event: str) -> int:
        """How many records the log's events of one name count together."""
        return sum(map(int, re.findall(rf" {event} .* records=(\d+)", self.errors)))

    def wait_until(self, is_true: Callable[[], bool]) -> None:
        """Wait for something to become true while the process lives."""
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while not is_true():
            assert self.process.poll() is None, f"it ended with {self.process.returncode}: {self.errors}"
            assert time.monotonic() < give_up_at, f"it did not come true: {self.output} {self.errors}"
            time.sleep(0.05)

    def exit_code(self) -> int:
        """Wait for the end."""
        return self.process.wait(PATIENCE_SECONDS)

    def stop(self) -> None:
        """Ask it to drain, as an orchestrator does."""
        self.process.send_signal(signal.SIGTERM)
        assert self.exit_code() == 0, self.errors


class Shell:
    """Starts programs whose AWS is local, and puts an end to what is left of them."""

    def __init__(self, environment: dict[str, str], directory: Path) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "KCL_PY_"))}
        self.environment = inherited | environment | {"PYTHONPATH": str(ROOT), "KCL_PY_CHECKPOINT_INTERVAL": "200ms"}
        self._directory = directory
        self._programs: list[Program] = []

    def start(self, *words: str) -> Program:
        program = Program(words, self.environment, self._directory)
        self._programs.append(program)
        return program

    def run_dying(self, module: str, processor: str, stream: LocalStream) -> None:
        """Run an example until it would write its first checkpoint, and let it die there."""
        (self._directory / "dying.py").write_text(DYING.format(module=module, processor=processor))
        program = self.run_processor("dying:Dying", stream)
        assert program.exit_code() == 137, program.errors

    def run_processor(self, path: str, stream: LocalStream) -> Program:
        """Start `kcl-py run` as the example's own docstring says."""
        words = ("--stream", stream.name, "--application", f"of-{stream.name}", "--verbose")
        return self.start(KCL_PY, "run", path, *words)

    def end_all(self) -> None:
        for program in self._programs:
            program.process.kill()
            program.process.wait()


@pytest.fixture(scope="module")
def endpoints() -> Iterator[LocalEndpoints]:
    with LocalEndpoints() as local:
        yield local


@pytest.fixture
def stream(endpoints: LocalEndpoints, request: pytest.FixtureRequest) -> Iterator[LocalStream]:
    client = boto3.client(
        "kinesis",
        region_name=endpoints.environment["AWS_REGION"],
        endpoint_url=endpoints.kinesis_url,
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    yield LocalStream(client, re.sub(r"\W", "-", request.node.name))
    client.close()


@pytest.fixture
def shell(endpoints: LocalEndpoints, tmp_path: Path) -> Iterator[Shell]:
    local = Shell(endpoints.environment, tmp_path)
    yield local
    local.end_all()


def test_no_example_goes_without_a_test() -> None:
    modules = {path.stem for path in EXAMPLES.rglob("*.py")}
    tests = [name for name in globals() if name.startswith("test_")]

    untested = {module for module in modules if not any(name.startswith(f"test_{module}_") for name in tests)}

    assert modules
    assert not untested, f"examples without a test here: {sorted(untested)}"


def test_smallest_prints_every_record_and_a_restart_prints_none_again(stream: LocalStream, shell: Shell) -> None:
    stream.put(100)
    first = shell.run_processor("examples.smallest:PrintRecords", stream)
    first.wait_until(lambda: first.output.count("\n") == 100)
    first.stop()
    stream.put(50)
    second = shell.run_processor("examples.smallest:PrintRecords", stream)
    second.wait_until(lambda: second.output.count("\n") >= 50)
    second.stop()

    lines = (first.output + second.output).splitlines()
    assert sorted(line.split(" ")[-1] for line in lines) == sorted(map(repr, stream.put_records))
    assert all(re.fullmatch(r"shardId-\d{12} 'key-\d+' b'key-\d+/\d+'", line) for line in lines)


class Receiver:
    """A web server that takes the posts of the webhook, and refuses one of them once."""

    def __init__(self) -> None:
        self.received: defaultdict[str, list[bytes]] = defaultdict(list)
        self.at_once_max = 0
        self.refused: list[bytes] = []
        lock, at_once = threading.Lock(), [0]

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(handler) -> None:  # noqa: N805 - self is the receiver
                data = handler.rfile.read(int(handler.headers["Content-Length"]))
                with lock:
                    at_once[0] += 1
                    self.at_once_max = max(self.at_once_max, at_once[0])
                time.sleep(0.005)  # the work of a receiver, during which other keys may arrive
                with lock:
                    at_once[0] -= 1
                    is_refused = data == b"key-3/2" and not self.refused
                    (self.refused if is_refused else self.received[handler.headers["Partition-Key"]]).append(data)
                handler.send_response(503 if is_refused else 204)
                handler.send_header("Content-Length", "0")
                handler.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def first_received(self) -> dict[str, list[bytes]]:
        """By key, without what was posted again."""
        return {key: list(dict.fromkeys(records)) for key, records in tuple(self.received.items())}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    local = Receiver()
    yield local
    local.close()


def test_webhook_posts_each_key_in_order_and_many_keys_at_once_and_again_after_a_refusal(
    stream: LocalStream, shell: Shell, receiver: Receiver
) -> None:
    stream.put(200)
    shell.environment["WEBHOOK_URL"] = receiver.url
    program = shell.run_processor("examples.webhook:Webhook", stream)
    program.wait_until(lambda: receiver.first_received() == stream.put_by_key)
    program.stop()

    assert receiver.refused == [b"key-3/2"]
    assert receiver.at_once_max > 1
    assert "processor failed" in program.errors


def archived(directory: Path) -> list[bytes]:
    """The lines of all finished files, shard by shard in order."""
    files = sorted(path for path in directory.glob("archive/*/*") if not path.suffix)
    return [line for file in files for line in file.read_bytes().splitlines()]


def by_key(records: Iterable[bytes]) -> dict[str, list[bytes]]:
    keys: defaultdict[str, list[bytes]] = defaultdict(list)
    for data in records:
        keys[data.decode().partition("/")[0]].append(data)
    return keys


def test_manual_checkpoints_archive_complete_files_and_a_kill_repeats_no_line(
    stream: LocalStream, shell: Shell, tmp_path: Path
) -> None:
    stream.put(1_900)  # no multiple of a file's 500
    first = shell.run_processor("examples.manual_checkpoints:Archive", stream)
    first.wait_until(lambda: first.records("batch done") == 1_900)
    first.process.kill()
    assert first.exit_code() == -signal.SIGKILL
    kept = archived(tmp_path)

    second = shell.run_processor("examples.manual_checkpoints:Archive", stream)
    stream.put(100)
    second.wait_until(lambda: second.records("batch done") >= 2_000 - len(kept))
    second.stop()

    assert 0 < len(kept) < 1_900
    assert len(kept) % 500 == 0
    assert second.records("batch done") == 2_000 - len(kept)  # what stood in files was checkpointed
    assert by_key(archived(tmp_path)) == stream.put_by_key


def test_manual_checkpoints_write_the_same_file_again_after_a_death_before_the_checkpoint(
    stream: LocalStream, shell: Shell, tmp_path: Path
) -> None:
    stream.put(1_400)
    shell.run_dying("manual_checkpoints", "Archive", stream)
    kept = archived(tmp_path)

    second = shell.run_processor("examples.manual_checkpoints:Archive", stream)
    second.wait_until(lambda: second.records("batch done") >= 1_400)
    second.stop()

    assert len(kept) >= 500
    assert by_key(archived(tmp_path)) == stream.put_by_key


def test_manual_checkpoints_archive_the_rest_of_a_shard_that_ends(
    stream: LocalStream, shell: Shell, tmp_path: Path
) -> None:
    stream.put(300)
    stream.split_first_shard()
    stream.put(300)
    program = shell.run_processor("examples.manual_checkpoints:Archive", stream)
    program.wait_until(lambda: program.errors.count("shard finished") == 1)
    first_shard = archived(tmp_path)
    program.wait_until(lambda: program.records("batch done") >= 600)
    program.stop()

    assert 0 < len(first_shard) < 300
    assert sorted(archived(tmp_path)) == sorted(stream.put_records)


def rows(database: Path) -> list[tuple[str, str, int, str, bytes]]:
    """The table's rows in the order of the stream; none before the sink has made the table."""
    if not database.exists():
        return []
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        if not connection.execute("SELECT name FROM sqlite_master").fetchall():
            return []
        return connection.execute("SELECT * FROM records ORDER BY shard, sequence, sub_sequence").fetchall()


def test_sqlite_sink_has_every_record_once_after_a_kill_and_a_restart(
    stream: LocalStream, shell: Shell, tmp_path: Path
) -> None:
    database = tmp_path / "records.sqlite"
    shell.environment["DATABASE"] = str(database)
    first = shell.run_processor("examples.sqlite_sink:SqliteSink", stream)
    for _ in range(3):
        stream.put(200)
        first.wait_until(lambda: len(rows(database)) >= len(stream.put_records) - 200)
    first.process.kill()
    assert first.exit_code() == -signal.SIGKILL
    stream.put(200)

    second = shell.run_processor("examples.sqlite_sink:SqliteSink", stream)
    second.wait_until(lambda: len(rows(database)) >= 800)
    second.stop()

    assert by_key(row[4] for row in rows(database)) == stream.put_by_key
    assert all(key == data.decode().partition("/")[0] for _, _, _, key, data in rows(database))


def test_sqlite_sink_shows_no_repeat_when_it_died_between_commit_and_checkpoint(
    stream: LocalStream, shell: Shell, tmp_path: Path
) -> None:
    database = tmp_path / "records.sqlite"
    shell.environment["DATABASE"] = str(database)
    stream.put(200)
    shell.run_dying("sqlite_sink", "SqliteSink", stream)
    committed = rows(database)

    second = shell.run_processor("examples.sqlite_sink:SqliteSink", stream)
    second.wait_until(lambda: len(rows(database)) == 200)
    second.stop()

    assert committed
    assert (
        second.records("batch delivered") == 200
    )  # the committed rows among them, because their checkpoint was never written
    assert set(committed) <= set(rows(database))
    assert by_key(row[4] for row in rows(database)) == stream.put_by_key


def latest(database: Path) -> dict[str, bytes]:
    """The latest value of every key."""
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        return dict(connection.execute("SELECT partition_key, data FROM latest"))


def test_fenced_sqlite_refuses_what_a_suspended_worker_still_had_to_write(
    stream: LocalStream, shell: Shell, tmp_path: Path
) -> None:
    database = tmp_path / "latest.sqlite"
    shell.environment |= {"DATABASE": str(database), "KCL_PY_FAILOVER": "2s"}
    (tmp_path / "late.py").write_text(LATE)
    stream.put(40)
    zombie = shell.run_processor("late:Late", stream)
    zombie.wait_until(lambda: zombie.output.count("delivered") == 2)  # a batch of each shard is on its way
    zombie.process.send_signal(signal.SIGSTOP)

    successor = shell.run_processor("examples.fenced_sqlite:LatestValues", stream)
    stream.put(40)
    newest = {key: records[-1] for key, records in stream.put_by_key.items()}
    successor.wait_until(lambda: latest(database) == newest)
    (tmp_path / "awake").touch()
    zombie.process.send_signal(signal.SIGCONT)
    zombie.wait_until(lambda: zombie.output.count("refused") == 2)

    assert latest(database) == newest
    assert "written" not in zombie.output
    successor.stop()
    zombie.stop()


def test_fenced_sqlite_goes_on_where_it_was_after_a_restart(stream: LocalStream, shell: Shell, tmp_path: Path) -> None:
    shell.environment["DATABASE"] = str(tmp_path / "latest.sqlite")
    stream.put(40)
    first = shell.run_processor("examples.fenced_sqlite:LatestValues", stream)
    first.wait_until(lambda: first.records("batch done") == 40)
    first.stop()
    stream.put(40)
    second = shell.run_processor("examples.fenced_sqlite:LatestValues", stream)
    second.wait_until(lambda: second.records("batch done") == 40)
    second.stop()

    assert latest(tmp_path / "latest.sqlite") == {key: records[-1] for key, records in stream.put_by_key.items()}


def test_embedded_stops_by_itself_and_prints_its_counts(stream: LocalStream, shell: Shell) -> None:
    stream.put(60, keys=3)
    shell.environment |= {"STREAM": stream.name, "RECORDS": "60"}

    program = shell.start(sys.executable, "-m", "examples.embedded")

    assert program.exit_code() == 0, program.errors
    assert sorted(program.output.splitlines()) == ["key-0 20", "key-1 20", "key-2 20"]


def test_embedded_ends_with_one_line_when_the_worker_cannot_go_on(stream: LocalStream, shell: Shell) -> None:
    shell.environment |= {"STREAM": "nowhere"}

    program = shell.start(sys.executable, "-m", "examples.embedded")

    assert program.exit_code() == 1
    assert "embedded: " in program.errors.splitlines()[-1]
    assert "nowhere" in program.errors.splitlines()[-1]
    assert "Traceback" not in program.errors


def test_the_example_in_the_readme_is_complete(stream: LocalStream, shell: Shell, tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    words = re.search(r"kcl-py run (\w+):(\w+) ", readme)
    assert code is not None, "the README shows no Python"
    assert words is not None, "the README does not show how to run it"
    (tmp_path / f"{words[1]}.py").write_text(code[1])
    shell.environment["PYTHONUNBUFFERED"] = "1"
    stream.put(40)

    program = shell.run_processor(f"{words[1]}:{words[2]}", stream)
    program.wait_until(lambda: program.records("batch done") == 40)
    program.stop()

    assert all(repr(data) in program.output for data in stream.put_records)
    assert len(re.findall(r"shardId-\d{12} goes on after TRIM_HORIZON", program.output)) == 2


def test_the_lines_to_paste_in_the_readme_are_those_that_local_prints(endpoints: LocalEndpoints) -> None:
    readme = (ROOT / "README.md").read_text()
    pasted = dict(re.findall(r"(AWS_\w+)=(\S+)", readme))

    assert pasted == endpoints.environment | {
        "AWS_ENDPOINT_URL_KINESIS": f"http://127.0.0.1:{KINESIS_PORT}",
        "AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{DYNAMODB_PORT}",
    }
