"""A DynamoDB endpoint on loopback: moto's, with its requests put in single file."""

import itertools
import socket
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from kcl_py.errors import ConfigError

_single_file = threading.Lock()
"""One request at a time in the whole process: moto keeps its tables in process-wide state and, served by several
threads, lets two racing conditional updates of one row both succeed."""

_accounts = itertools.count(1)

_STOP_POLL_SECONDS = 0.05

WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class DynamoDBServer:
    """A DynamoDB endpoint that begins empty and forgets everything when it stops.

    Args:
        port: 0 takes a free one.
        host: loopback unless somebody knows better; the endpoint asks nobody for a password.

    Raises:
        ConfigError: moto is not installed, or the port is taken.
    """

    def __init__(self, *, port: int = 0, host: str = "127.0.0.1") -> None:
        self._host = host
        self._port = port
        self._server: Any = None
        self._thread: threading.Thread | None = None
        self._forget: Callable[[], None] = _nothing

    @property
    def url(self) -> str:
        """The endpoint's address, once started."""
        assert self._server is not None, "the server is not started"
        return f"http://{self._host}:{self._server.server_address[1]}"

    def start(self) -> Self:
        """Serve from a thread of its own; returns when the port accepts connections."""
        # An account of its own for every server: moto keeps one state per account, so none sees another's tables.
        account_id = f"{next(_accounts):012d}"
        make_server, self._forget = _moto(account_id)
        try:
            listener = socket.create_server((self._host, self._port))
        except OSError as error:
            raise ConfigError(f"port {self._port} of {self._host} cannot be had: {error.strerror}") from None
        with listener:  # the server works on a duplicate
            self._server = make_server(self._host, self._port, listener.fileno())
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            args=(_STOP_POLL_SECONDS,),
            name=f"kcl_py-dynamodb-{self.url}",
            daemon=True,
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Answer what is being answered, then close the port and forget the tables."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._forget()
        self._server = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def _moto(account_id: str) -> tuple[Callable[[str, int, int], Any], Callable[[], None]]:
    """Import moto. Returns what serves its application on an open listener, and what deletes the account's tables."""
    try:
        from moto.backends import get_backend
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
        from werkzeug.serving import make_server
    except ImportError as error:
        raise ConfigError(f"the local DynamoDB needs moto ({error}): run pip install 'kcl_py[local]'") from None

    class QuietRequestHandler(MotoRequestHandler):  # type: ignore[misc]
        protocol_version = "HTTP/1.0"  # one request per connection, so that none outlives the server

        def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name
            """Request lines are nobody's business here."""

    def serve(host: str, port: int, listener: int) -> Any:
        application = _in_single_file(DomainDispatcherApplication(create_backend_app), account_id)
        return make_server(host, port, application, threaded=True, request_handler=QuietRequestHandler, fd=listener)

    def forget() -> None:
        with _single_file:
            get_backend("dynamodb").pop(account_id, None)

    return serve, forget


def _in_single_file(application: WsgiApplication, account_id: str) -> WsgiApplication:
    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["HTTP_X_MOTO_ACCOUNT_ID"] = account_id
        with _single_file:
            # the whole body is made under the lock, because an application may work while it is iterated
            return [b"".join(application(environ, start_response))]

    return serve


def _nothing() -> None:
    """What there is to forget before the first start."""
