"""A Kinesis in this process, on the real wire encoding, behind an unmodified aiobotocore."""

import asyncio
import copy
import functools
from typing import Any, cast
from unittest import mock

import aioboto3
from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.session import AioSession
from aiohttp import web
from botocore.awsrequest import AWSPreparedRequest

from kcl_py.aws.connection import Connection
from kcl_py.aws.kinesis import KinesisStream
from kcl_py.local.doors import loop_clock_ms
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.kinesis_server import KinesisServer
from tests.sdk.wire import NOWHERE, Answer, Wire
from tests.unmocked import builtin_handlers

with mock.patch("botocore.handlers.BUILTIN_HANDLERS", builtin_handlers()):
    _CORE = AioSession()  # reads the services' descriptions, which takes a while, once
_CORE.set_credentials("AKIATEST", "secret")


class KinesisInProcess:
    """A stream service without a socket; what its wire does wrong is up to the test."""

    def __init__(self, model: KinesisModel) -> None:
        self._server = KinesisServer(model, clock_ms=loop_clock_ms)  # never started: it is asked directly
        self.wire = Wire(self._answer)

    def connection(self, stream: str, **options: Any) -> Connection:
        """A connection of a door, all its own."""
        return Connection(stream, session=_WiredSession(self.wire), endpoint_url=NOWHERE, **options)

    def door(self, stream: str, **options: Any) -> KinesisStream:
        """A door onto one of the streams."""
        return KinesisStream(self.connection(stream, **options))

    def _answer(self, request: AWSPreparedRequest) -> Answer:
        handling = self._server._handle(cast("web.Request", _ServersView(request)))
        try:
            handling.send(None)  # it waits for nothing: its request is here, whole
        except StopIteration as done:
            response: web.Response = done.value
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, headers, cast("bytes", response.body))
        raise AssertionError("the local Kinesis waited for something")


class _ServersView:
    """A request of the SDK, as the server reads it."""

    def __init__(self, request: AWSPreparedRequest) -> None:
        self.method = request.method
        self.headers = {name: v.decode() if isinstance(v, bytes) else v for name, v in request.headers.items()}
        self.content_type = self.headers["Content-Type"]
        self._body = request.body

    async def read(self) -> bytes:
        return self._body if isinstance(self._body, bytes) else str(self._body).encode()


class _WiredSession(aioboto3.Session):  # type: ignore[misc]
    """A user's session, whose clients send over a wire."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(botocore_session=_CORE, region_name="eu-west-1")
        self._wire = wire

    def client(self, service_name: str, *, config: Any, **options: Any) -> Any:
        wired = copy.copy(config)
        wired.http_session_cls = functools.partial(_InMemoryHttp, self._wire)
        return super().client(service_name, config=wired, **options)


class _InMemoryHttp:
    """Stands where aiobotocore has its AIOHTTPSession."""

    def __init__(self, wire: Wire, *, timeout: tuple[float, float], **_: object) -> None:
        self._wire = wire
        wire.read_timeout_seconds = timeout[1]

    async def __aenter__(self) -> "_InMemoryHttp":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """There is nothing to close."""

    async def send(self, request: AWSPreparedRequest) -> AioAWSResponse:
        outcome = self._wire.carry(request)
        await asyncio.sleep(outcome.seconds)
        if isinstance(outcome.result, Exception):
            raise outcome.result
        answer = outcome.result
        return AioAWSResponse(request.url, answer.status, answer.headers, _Body(answer.body))


class _Body:
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self) -> bytes:
        return self._body
