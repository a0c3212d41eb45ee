"""Posts to one URL over an SDK client's HTTP session, without what the SDK does around each request of its own.

TLS, proxies, pools and timeouts are the session's. What goes wrong is raised as the session itself raises it, so that
nobody can tell the difference (`AIOHTTPSession.send` of aiobotocore).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession
from aiohttp.http_exceptions import HttpProcessingError
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
    SSLError,
)
from yarl import URL

# the last three come of a session that was closed meanwhile
_FAULTS = (aiohttp.ClientError, HttpProcessingError, AttributeError, RuntimeError, ValueError)
_AS_THE_SDK_SAYS: tuple[tuple[tuple[type[Exception], ...], Any], ...] = (
    ((aiohttp.ClientSSLError,), SSLError),
    ((aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError), ConnectionClosedError),
    ((aiohttp.ConnectionTimeoutError,), ConnectTimeoutError),
    ((aiohttp.ServerTimeoutError,), ReadTimeoutError),
    ((aiohttp.ClientConnectionError,), EndpointConnectionError),
)


class Answer(NamedTuple):
    """An HTTP answer, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpPost:
    """Posts over one session. Used from one event loop."""

    def __init__(self, session: Any, url: str) -> None:
        """Post to `url` over the HTTP session of an SDK's client, whichever that is."""
        self._session = session
        self._url = url
        self._target = URL(url, encoded=True)
        self._is_plain = _is_plain(session, url)

    async def send(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a request and take its answer.

        Raises:
            BotoCoreError: there was none, or not all of it.
            OSError: the same.
        """
        if not self._is_plain:
            request = AWSPreparedRequest("POST", self._url, headers, body, False)
            answer = await self._session.send(request)
            return Answer(answer.status_code, answer.headers, await answer.content)
        try:
            session = await self._session._get_session(None)  # noqa: SLF001 - its pool of connections
            whole = {**headers, "Accept-Encoding": "identity"}
            response = await session.request("POST", self._target, headers=whole, data=body)
            return Answer(response.status, response.headers, await response.read())
        except _FAULTS as error:
            kind = next((kind for faults, kind in _AS_THE_SDK_SAYS if isinstance(error, faults)), HTTPClientError)
            raise kind(endpoint_url=self._url, error=error) from None


def _is_plain(session: Any, url: str) -> bool:
    """True for an unchanged session of aiohttp that goes there without a proxy."""
    if type(session) is not AIOHTTPSession:
        return False
    try:
        return session._get_session is not None and session._proxy_config.proxy_url_for(url) is None  # noqa: SLF001
    except AttributeError:  # an SDK that keeps them elsewhere
        return False
