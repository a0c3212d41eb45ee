"""`kcl-py local`: two endpoints, lines to paste, and a clean end."""

import signal
import socket
import threading

import click
import pytest

from kcl_py.local.requests import CreateStream
from tests.cli.conftest import Shell


class StoppedAtOnce(threading.Event):
    """Whoever begins to wait is told to stop."""

    def wait(self, timeout: float | None = None) -> bool:
        signal.raise_signal(signal.SIGTERM)
        return super().wait(10)


def test_lines_to_paste_are_printed_and_a_signal_ends_it(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kcl_py.cli.local.Event", StoppedAtOnce)
    before = signal.getsignal(signal.SIGTERM)

    result = shell.run("local", "--kinesis-port", "0", "--dynamodb-port", "0")

    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert all(line.startswith("export AWS_") for line in lines)
    assert any(line.startswith("export AWS_ENDPOINT_URL_KINESIS=http://127.0.0.1:") for line in lines)
    assert any(line.startswith("export AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:") for line in lines)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("option", ["--kinesis-port", "--dynamodb-port"])
def test_a_port_that_is_taken_is_one_line(shell: Shell, option: str) -> None:
    other = "--dynamodb-port" if option == "--kinesis-port" else "--kinesis-port"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = shell.run("local", option, str(taken.getsockname()[1]), other, "0")

    assert result.exit_code == 2
    assert result.stderr.startswith("kcl-py: error: ")
    assert result.stderr.count("\n") == 1


def test_the_ports_have_defaults_that_are_shown(shell: Shell) -> None:
    text = click.unstyle(shell.run("local", "--help").output)

    assert "4567" in text
    assert "8000" in text


def test_streams_are_there_when_it_is_ready(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    created: list[object] = []
    monkeypatch.setattr("kcl_py.cli.local.Event", StoppedAtOnce)
    monkeypatch.setattr("kcl_py.local.server_thread.ServerThread.ask", lambda _server, request: created.append(request))

    result = shell.run(
        "local", "--kinesis-port", "0", "--dynamodb-port", "0", "--stream", "orders:3", "--stream", "events"
    )

    assert result.exit_code == 0, result.output
    assert created == [
        CreateStream(stream_name="orders", shard_count=3),
        CreateStream(stream_name="events", shard_count=1),
    ]


@pytest.mark.parametrize("value", ["orders:0", "orders:", "orders:many", "or ders", ":2", "orders:9999"])
def test_a_stream_that_cannot_be_made_is_a_usage_error(shell: Shell, value: str) -> None:
    result = shell.run("local", "--stream", value)

    assert result.exit_code == 2
    assert "NAME:SHARDS" in result.stderr
