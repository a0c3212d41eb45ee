"""What goes wrong is one line and a documented exit code."""

import pytest

import kcl_py
from tests.cli.conftest import LocalKinesis, Shell


def test_help_names_the_exit_codes(shell: Shell) -> None:
    result = shell.run("--help")

    assert result.exit_code == 0
    for code in ("0", "1", "2", "3", "130"):
        assert f"\n    {code} " in result.output


def test_without_a_command_there_is_help(shell: Shell) -> None:
    result = shell.run()

    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: kcl-py")


def test_the_version_is_the_packages(shell: Shell) -> None:
    assert kcl_py.__version__ in shell.run("--version").output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rnu"], "No such command 'rnu'"),
        (["put"], "Missing argument 'STREAM'"),
        (["tail", "orders", "--strat", "LATEST"], "--strat"),
        (["tail", "orders", "--start", "yesterday"], "expected TRIM_HORIZON, LATEST or a time"),
        (["tail", "orders", "--limit", "0"], "--limit"),
        (["tail", "two words"], "stream is 'two words'; expected a stream's name or ARN"),
        (["put", "orders", "x", "--partition-key", ""], "expected 1 to 256 characters"),
        (["put", "orders", "x", "--explicit-hash-key", str(2**128)], "expected a decimal number"),
        (["put", "orders", "x", "--endpoint-url", "http://kinesis.example"], "--endpoint-url is"),
        (["local", "--kinesis-port", "65536"], "--kinesis-port"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(shell: Shell, words: list[str], message: str) -> None:
    result = shell.run(*words)

    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.startswith("kcl-py: error: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [["put", "nothing", "x"], ["tail", "nothing"]])
def test_a_stream_that_is_not_there_is_code_3(shell: Shell, kinesis: LocalKinesis, words: list[str]) -> None:
    result = shell.run(*words)

    assert result.exit_code == 3
    assert "kcl-py: error: kinesis:" in result.stderr
    assert "stream nothing" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_verbose_error_has_its_traceback(shell: Shell, kinesis: LocalKinesis) -> None:
    result = shell.run("tail", "nothing", "--verbose")

    assert result.exit_code == 3
    assert "Traceback (most recent call last):" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("kcl-py: error: ")


def test_an_error_escapes_what_it_quotes(shell: Shell) -> None:
    result = shell.run("tail", "\x1b[2J")

    assert "\x1b" not in result.stderr
    assert "\\x1b[2J" in result.stderr
