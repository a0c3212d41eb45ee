"""Writing and reading a stream from the shell, against our own Kinesis."""

import base64
import hashlib
import json

import pytest

from kcl_py.core.aggregate import MAGIC
from kcl_py.core.shard import HASH_KEY_MAX
from tests.cli.conftest import LocalKinesis, Shell

READ_ALL = ("--start", "TRIM_HORIZON", "--no-follow")


def tailed(shell: Shell, *words: str) -> list[dict[str, object]]:
    result = shell.run("tail", "orders", "--json", *words)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def payloads(shell: Shell, *words: str) -> list[bytes]:
    return [base64.b64decode(str(entry["data"])) for entry in tailed(shell, *words)]


def test_arguments_are_put_and_counted(shell: Shell, kinesis: LocalKinesis) -> None:
    result = shell.run("put", "orders", "a", "b", "--partition-key", "one")

    assert result.exit_code == 0
    assert result.stdout == "put 2 records into orders\n"
    assert payloads(shell, *READ_ALL) == [b"a", b"b"]


def test_every_line_of_standard_input_is_a_record(shell: Shell, kinesis: LocalKinesis) -> None:
    result = shell.run("put", "orders", "--json", "--partition-key", "one", stdin=b"a\r\n\xff\n\nlast")

    assert json.loads(result.stdout) == {"stream": "orders", "records": 4}
    assert payloads(shell, *READ_ALL) == [b"a", b"\xff", b"", b"last"]


def test_nothing_on_standard_input_is_nothing_put(shell: Shell, kinesis: LocalKinesis) -> None:
    result = shell.run("put", "orders", stdin=b"")

    assert (result.exit_code, result.stdout) == (0, "")


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_what_was_not_taken_is_not_counted(shell: Shell, kinesis: LocalKinesis, words: tuple[str, ...]) -> None:
    result = shell.run("put", "absent", "a", *words)

    assert (result.exit_code, result.stdout) == (3, "")
    assert "absent" in result.stderr


def test_more_lines_than_one_request_takes_are_all_put(shell: Shell, kinesis: LocalKinesis) -> None:
    lines = [f"line {number}" for number in range(1_200)]

    result = shell.run("put", "orders", stdin="\n".join(lines))

    assert result.stdout == "put 1200 records into orders\n"
    assert sorted(payloads(shell, *READ_ALL)) == sorted(line.encode() for line in lines)


def test_the_hash_key_chooses_the_shard(shell: Shell, kinesis: LocalKinesis) -> None:
    shell.run("put", "orders", "low", "--explicit-hash-key", "0")
    shell.run("put", "orders", "high", "--explicit-hash-key", str(HASH_KEY_MAX))

    shards = {entry["data"]: entry["shard"] for entry in tailed(shell, *READ_ALL)}

    assert shards == {"bG93": "shardId-000000000000", "aGlnaA==": "shardId-000000000001"}


def test_a_limit_ends_a_tail_that_follows(shell: Shell, kinesis: LocalKinesis) -> None:
    for text in (b"a", b"b", b"c"):
        kinesis.put(text)

    assert payloads(shell, "--start", "TRIM_HORIZON", "--limit", "2") == [b"a", b"b"]


def test_latest_shows_nothing_of_before(shell: Shell, kinesis: LocalKinesis) -> None:
    kinesis.put(b"before")

    assert payloads(shell, "--no-follow") == []


def test_children_are_shown_after_their_parents(shell: Shell, kinesis: LocalKinesis) -> None:
    kinesis.put(b"1 parent")
    kinesis.put(b"1 other parent", HASH_KEY_MAX)
    kinesis.client.merge_shards(
        StreamName="orders", ShardToMerge="shardId-000000000000", AdjacentShardToMerge="shardId-000000000001"
    )
    kinesis.put(b"2 child")
    kinesis.client.split_shard(StreamName="orders", ShardToSplit="shardId-000000000002", NewStartingHashKey="100")
    kinesis.put(b"3 grandchild")

    assert [text[:1] for text in payloads(shell, *READ_ALL)] == [b"1", b"1", b"2", b"3"]


def test_a_record_is_one_line_that_cannot_touch_the_terminal(shell: Shell, kinesis: LocalKinesis) -> None:
    kinesis.put(b"\x1b[2J\r\nnext\xff", partition_key="k\u202ey")

    line = shell.run("tail", "orders", *READ_ALL).stdout

    assert line.startswith("shardId-000000000000 4")
    assert line.endswith(" k\\u202ey \\x1b[2J\\r\\nnext\\xff\n")
    assert line.count("\n") == 1


def test_aggregated_records_are_shown_one_by_one(shell: Shell, kinesis: LocalKinesis) -> None:
    record = b"\x08\x00\x1a\x01"  # partition key 0, one byte of data
    message = b"\x0a\x01k" + b"".join(b"\x1a\x05" + record + text for text in (b"a", b"b"))
    kinesis.put(MAGIC + message + hashlib.md5(message).digest())

    entries = tailed(shell, *READ_ALL)

    assert [entry["data"] for entry in entries] == ["YQ==", "Yg=="]
    assert [entry["sub_sequence_number"] for entry in entries] == [0, 1]
    assert entries[0]["aggregated"] is True
    assert entries[0]["partition_key"] == "k"


@pytest.mark.parametrize("where", ["option", "variable"])
def test_the_endpoint_may_be_given(
    shell: Shell, kinesis: LocalKinesis, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    url = kinesis.client.meta.endpoint_url
    monkeypatch.delenv("AWS_ENDPOINT_URL_KINESIS")
    if where == "variable":
        monkeypatch.setenv("KCL_PY_ENDPOINT_URL", url)

    result = shell.run("put", "orders", "x", *(["--endpoint-url", url] if where == "option" else []))

    assert result.exit_code == 0, result.output
