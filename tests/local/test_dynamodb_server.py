"""Our local DynamoDB endpoint: begins empty, answers one request at a time, and goes without a trace."""

import socket
import sys
import threading
import time
from typing import Any

import pytest

from kcl_py.errors import ConfigError
from kcl_py.local import dynamodb_server
from kcl_py.local.dynamodb_server import DynamoDBServer
from tests.dynamodb_services import session_of


def client_of(server: DynamoDBServer) -> Any:
    return session_of("AKIATEST").client("dynamodb", endpoint_url=server.url)


def create_table(client: Any, name: str = "leases") -> None:
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "leaseKey", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "leaseKey", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )


def test_two_servers_in_one_process_know_nothing_of_each_other() -> None:
    with DynamoDBServer() as first, DynamoDBServer() as second:
        clients = [client_of(first), client_of(second)]
        create_table(clients[0])
        assert clients[0].list_tables()["TableNames"] == ["leases"]
        assert clients[1].list_tables()["TableNames"] == []
        for client in clients:
            client.close()


def test_a_server_begins_empty_each_time_it_starts() -> None:
    server = DynamoDBServer()
    for _ in range(2):
        with server:
            client = client_of(server)
            assert client.list_tables()["TableNames"] == []
            create_table(client)
            client.close()


def test_a_stopped_server_lets_go_of_its_port_and_its_thread() -> None:
    server = DynamoDBServer().start()
    server_thread = f"kcl_py-dynamodb-{server.url}"
    client = client_of(server)
    create_table(client)
    port = int(server.url.rpartition(":")[2])
    server.stop()
    server.stop()
    client.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    with socket.create_server(("127.0.0.1", port)):
        assert [thread for thread in threading.enumerate() if thread.name == server_thread] == []


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port}"):
            DynamoDBServer(port=port).start()


def test_a_server_listens_on_loopback_alone_and_on_the_port_it_is_given() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with DynamoDBServer(port=port) as server:
        assert server.url == f"http://127.0.0.1:{port}"


def test_a_server_writes_nothing(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with DynamoDBServer() as server:
        client = client_of(server)
        create_table(client)
        client.close()
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.name == "werkzeug"] == []


def test_requests_are_served_in_single_file() -> None:
    """Two servers and many threads: never two requests inside the application."""
    inside, most = 0, 0

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.001)
        inside -= 1
        return [b"done"]

    serves = [dynamodb_server._in_single_file(application, account) for account in ("1", "2")]
    threads = [
        threading.Thread(target=lambda: list(serves[0]({}, print)) + list(serves[1]({}, print))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_without_moto_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "moto.moto_server.werkzeug_app", None)
    with pytest.raises(ConfigError, match=r"pip install 'kcl_py\[local\]'"):
        DynamoDBServer().start()
