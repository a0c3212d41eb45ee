"""`kcl-py consumers`: what it lists, what it takes to deregister one, and how it says what went wrong."""

import json

import pytest

from tests.cli.conftest import LocalKinesis, Shell


@pytest.fixture
def consumers(kinesis: LocalKinesis) -> list[str]:
    """The stream has two; their ARNs, by name."""
    arn = stream_arn(kinesis)
    return [
        kinesis.client.register_stream_consumer(StreamARN=arn, ConsumerName=name)["Consumer"]["ConsumerARN"]
        for name in ("audit", "billing")
    ]


def stream_arn(kinesis: LocalKinesis) -> str:
    return str(kinesis.client.describe_stream_summary(StreamName="orders")["StreamDescriptionSummary"]["StreamARN"])


def names(kinesis: LocalKinesis) -> list[str]:
    """Those that are not on their way out."""
    listed = kinesis.client.list_stream_consumers(StreamARN=stream_arn(kinesis))["Consumers"]
    return sorted(one["ConsumerName"] for one in listed if one["ConsumerStatus"] != "DELETING")


def test_every_consumer_is_listed_with_its_status_and_arn(
    shell: Shell, kinesis: LocalKinesis, consumers: list[str]
) -> None:
    result = shell.run("consumers", "list", "--stream", "orders")

    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[0] for line in lines] == ["audit", "billing"]
    assert [line[3] for line in lines] == consumers
    assert all(line[1] in ("CREATING", "ACTIVE") and line[2].endswith("Z") for line in lines)


def test_as_json_it_is_one_object(shell: Shell, kinesis: LocalKinesis, consumers: list[str]) -> None:
    result = shell.run("consumers", "list", "--stream", stream_arn(kinesis), "--json")

    listing = json.loads(result.stdout)
    assert listing["stream"] == stream_arn(kinesis)
    assert [(one["name"], one["arn"]) for one in listing["consumers"]] == list(
        zip(("audit", "billing"), consumers, strict=True)
    )
    assert set(listing["consumers"][0]) == {"name", "arn", "status", "created_at"}


def test_a_stream_without_consumers_says_so(shell: Shell, kinesis: LocalKinesis) -> None:
    result = shell.run("consumers", "list", "--stream", "orders")

    assert (result.exit_code, result.stdout) == (0, "stream orders has no enhanced fan-out consumers\n")
    assert json.loads(shell.run("consumers", "list", "--stream", "orders", "--json").stdout)["consumers"] == []


def test_one_is_deregistered_and_the_others_stay(shell: Shell, kinesis: LocalKinesis, consumers: list[str]) -> None:
    result = shell.run("consumers", "deregister", "billing", "--stream", "orders", "--yes")

    assert (result.exit_code, result.stdout) == (0, "deregistered billing from orders\n"), result.output
    assert names(kinesis) == ["audit"]
    result = shell.run("consumers", "deregister", "audit", "--stream", "orders", "--yes", "--json")
    assert json.loads(result.stdout) == {"stream": "orders", "deregistered": "audit"}
    assert names(kinesis) == []


def test_nothing_is_deregistered_that_was_not_meant(shell: Shell, kinesis: LocalKinesis, consumers: list[str]) -> None:
    result = shell.run("consumers", "deregister", "billing", "--stream", "orders")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "--yes" in result.stderr
    assert names(kinesis) == ["audit", "billing"]


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (("deregister", "nobody", "--stream", "orders", "--yes"), 3, "stream orders has no consumer nobody"),
        (("deregister", "billing", "--stream", "absent", "--yes"), 3, "stream absent"),
        (("list", "--stream", "absent"), 3, "stream absent"),
        (("list",), 2, "--stream"),
        (("list", "--stream", "two words"), 2, "expected a stream's name or ARN"),
        (("deregister", "--stream", "orders", "--yes"), 2, "CONSUMER"),
        (("deregister", "two words", "--stream", "orders", "--yes"), 2, "expected 1 to 128 letters"),
        (("register",), 2, "register"),
    ],
)
def test_what_is_missing_or_wrong_is_one_line_and_a_documented_code(
    shell: Shell, kinesis: LocalKinesis, words: tuple[str, ...], code: int, complaint: str
) -> None:
    result = shell.run("consumers", *words)

    assert (result.exit_code, result.stdout) == (code, "")
    assert complaint in result.stderr
    assert result.stderr.startswith("kcl-py: error: ")
    assert result.stderr.count("\n") == 1


def test_without_a_word_there_is_help(shell: Shell) -> None:
    result = shell.run("consumers")

    assert result.exit_code == 2
    assert "deregister" in result.stderr
