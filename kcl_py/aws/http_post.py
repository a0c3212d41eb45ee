"""Posts to one URL beside an SDK client's HTTP session, without what that does around each request.

Addresses, TLS, timeouts and limits are the session's. What goes wrong is raised as the session itself raises it, so
that nobody can tell the difference (`AIOHTTPSession.send` of aiobotocore). Whatever is not the plainest case goes the
session's own way.
"""
# ruff: noqa: SLF001 - what a session is made with stands in its private attributes alone

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from aiobotocore.httpsession import AIOHTTPSession
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
    SSLError,
)

from kcl_py.aws.http_connection import Answer, Disconnected, HttpConnection, Silence, Unfamiliar
from kcl_py.aws.signature import host_of

_KEEPALIVE = "keepalive_timeout"
_HAPPY_EYEBALLS_SECONDS = 0.25  # RFC 8305, section 5; aiohttp waits as long
_UNFAMILIAR_MAX = 3  # answers, until it is believed that all are
_FAULTS = (Silence, Disconnected, OSError)
_AS_THE_SDK_SAYS: tuple[tuple[type[Exception], Any], ...] = (
    (Silence, ReadTimeoutError),
    (TimeoutError, ConnectTimeoutError),
    (Disconnected, ConnectionClosedError),
    (ssl.SSLError, SSLError),
    (OSError, EndpointConnectionError),
)


class HttpPost:
    """Posts over connections of its own, or over the session's. Used from one event loop.

    Attributes:
        is_plain: True while requests do not go the session's own way.
    """

    def __init__(self, session: Any, url: str) -> None:
        """Post to `url` as the HTTP session of an SDK's client would, whichever that is."""
        parts = urlsplit(url)
        self.is_plain = _is_plain(session, url)
        self._session = session
        self._url = url
        self._is_secure = parts.scheme == "https"
        self._place = parts.hostname or "", parts.port or (443 if self._is_secure else 80)
        self._head = (
            f"POST {parts.path or '/'} HTTP/1.1\r\nHost: {host_of(url)}\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
        )
        self._idle: list[HttpConnection] = []
        self._unfamiliar_left = _UNFAMILIAR_MAX
        if self.is_plain:
            self._free = asyncio.Semaphore(session._max_pool_connections)
            session._exit_stack.callback(self._close)

    async def send(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a request and take its answer.

        Args:
            headers: of the request, besides those that say where it goes and what may come.
            body: of the request.

        Raises:
            BotoCoreError: there was no answer, or not all of it.
            OSError: the same.
        """
        if self.is_plain:
            try:
                return await self._sent(self._request(headers, body))
            except Unfamiliar:
                self._unfamiliar_left -= 1
                self.is_plain = self.is_plain and self._unfamiliar_left > 0
            except _FAULTS as error:
                kind = next(kind for fault, kind in _AS_THE_SDK_SAYS if isinstance(error, fault))
                raise kind(endpoint_url=self._url, error=error) from None
        request = AWSPreparedRequest("POST", self._url, headers, body, False)
        answer = await self._session.send(request)
        return Answer(answer.status_code, answer.headers, await answer.content)

    def _request(self, headers: Mapping[str, str], body: bytes) -> bytes:
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
            raise Unfamiliar  # a line that ends within a header is for the session to refuse
        return f"{self._head}{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body

    async def _sent(self, request: bytes) -> Answer:
        async with self._free:
            connection = self._waiting() or await self._connected()
            answer = await connection.exchange(request, self._session._timeout.sock_read)
            if self.is_plain:
                self._idle.append(connection)
            else:
                connection.close()
            return answer

    def _waiting(self) -> HttpConnection | None:
        """The connection that was used last, if it may be used again; those that waited for too long are closed."""
        oldest = asyncio.get_running_loop().time() - self._session._connector_args[_KEEPALIVE]
        while self._idle and (self._idle[0].idle_since < oldest or not self._idle[0].is_open):
            self._idle.pop(0).close()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        return None

    async def _connected(self) -> HttpConnection:
        context = None
        if self._is_secure:
            context = (await self._session._get_session(None)).connector._ssl
            if not isinstance(context, ssl.SSLContext):
                raise Unfamiliar  # nothing is verified, or it is done in another way
        host, port = self._place
        async with asyncio.timeout(self._session._timeout.sock_connect):
            _, connection = await asyncio.get_running_loop().create_connection(
                HttpConnection, host, port, ssl=context, happy_eyeballs_delay=_HAPPY_EYEBALLS_SECONDS
            )
        return connection

    def _close(self) -> None:
        """Called by the session when it closes."""
        self.is_plain = False
        for connection in self._idle:
            connection.close()


def _is_plain(session: Any, url: str) -> bool:
    """True for an unchanged session that goes there without a proxy, and has no wishes of its own about connections."""
    if type(session) is not AIOHTTPSession:
        return False
    try:
        return (
            session._proxy_config.proxy_url_for(url) is None
            and session._connector_args.keys() == {_KEEPALIVE}
            and session._max_pool_connections > 0
            and all(hasattr(session, name) for name in ("_exit_stack", "_get_session", "_timeout"))
        )
    except AttributeError:  # an SDK that keeps them elsewhere
        return False
