"""An endpoint that denies some operations and passes the others on."""

import http.client
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_NOT_PASSED_ON = ("connection", "content-length", "date", "host", "server", "transfer-encoding")


class DenyingEndpoint:
    """A proxy on loopback, for the time of a `with` block.

    Args:
        url: the endpoint behind it.
        denied: operations that are answered with AccessDeniedException, such as `GetRecords`.
    """

    def __init__(self, url: str, *denied: str) -> None:
        behind = urlsplit(url).netloc

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                operation = self.headers["X-Amz-Target"].rpartition(".")[2]
                self._answer(*(_denial(operation) if operation in denied else self._passed_on(body)))

            def _passed_on(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
                connection = http.client.HTTPConnection(behind, timeout=30)
                try:
                    connection.request("POST", self.path, body, _kept(dict(self.headers.items())))
                    answer = connection.getresponse()
                    return answer.status, _kept(dict(answer.getheaders())), answer.read()
                finally:
                    connection.close()

            def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in (headers | {"Content-Length": str(len(body))}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
                """Nobody asked."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _kept(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _NOT_PASSED_ON}


def _denial(operation: str) -> tuple[int, dict[str, str], bytes]:
    message = f"User: arn:aws:iam::123456789012:user/somebody is not authorized to perform: {operation}"
    body = {"__type": "AccessDeniedException", "message": message}
    return 400, {"Content-Type": "application/x-amz-json-1.0"}, json.dumps(body).encode()
