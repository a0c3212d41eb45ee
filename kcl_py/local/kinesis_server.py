"""The model behind the real wire protocol, on loopback, for boto3, aioboto3, the AWS command line and other SDKs.

AWS JSON 1.1: a POST whose `X-Amz-Target` names the operation, blobs in base64, timestamps in seconds since the epoch.
SubscribeToShard is answered with a stream of events, over HTTP/1.1 like the rest.
Credentials are neither needed nor read.
"""

import itertools
import logging
import time
from collections.abc import Callable
from email.utils import formatdate
from types import TracebackType
from typing import Self

import msgspec
from aiohttp import web

from kcl_py.local import event_encoding
from kcl_py.local.doors import LocalStream
from kcl_py.local.kinesis_error import KinesisError
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.operations import perform, request_from_json
from kcl_py.local.requests import Request
from kcl_py.local.subscription_model import SubscriptionModel
from kcl_py.local.subscription_response import SubscriptionResponse

_JSON = "application/x-amz-json-1.1"
_TARGET_PREFIX = "Kinesis_20131202."
_BODY_BYTES_MAX = 32 * 1024 * 1024  # 10 MiB of payload in base64, and its keys
_logger = logging.getLogger(__name__)


def wall_clock_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class KinesisServer:
    """Serves one model from the running event loop.

    Args:
        model: whose streams to serve; a new one with the real limits if absent.
        host: the address to listen on.
        port: 0 for a free one, which `url` then names.
        clock_ms: milliseconds since the epoch; the model's time and every answer's Date.
    """

    def __init__(
        self,
        model: KinesisModel | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self.model = model or KinesisModel()
        self.host = host
        self.port = port
        self._clock_ms = clock_ms
        self._request_numbers = itertools.count(1)
        self._runner: web.AppRunner | None = None
        self._subscriptions: set[SubscriptionResponse] = set()

    @property
    def url(self) -> str:
        """The endpoint URL, once started."""
        return f"http://{self.host}:{self.port}"

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        app = web.Application(client_max_size=_BODY_BYTES_MAX)
        app.router.add_route("*", "/{tail:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, self.host, self.port)
        try:
            await site.start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self.port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the socket and every connection."""
        if self._runner is not None:
            for response in self._subscriptions:
                response.close()
            await self._runner.cleanup()
            self._runner = None

    async def ask(self, request: Request) -> object:
        """Perform an operation on the model, at the server's time.

        Raises:
            KinesisError: the model refused.
        """
        return perform(self.model, request, self._clock_ms())

    def stream(self, name: str) -> LocalStream:
        """A door on one of the streams, at the server's time."""
        return LocalStream(self.model, name, clock_ms=self._clock_ms)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _handle(self, http: web.Request) -> web.StreamResponse:
        target = http.headers.get("X-Amz-Target", "")
        body = await http.read()
        now_ms = self._clock_ms()
        try:
            _check_protocol(http, target)
            request = request_from_json(target.removeprefix(_TARGET_PREFIX), body)
            answer = perform(self.model, request, now_ms)
        except KinesisError as error:
            return self._respond(400, {"__type": error.code, "message": error.message}, now_ms)
        except Exception:  # whatever is wrong in the model must reach the caller as an answer, and us as a traceback
            _logger.exception("%s failed inside the local Kinesis", target)
            failure = {"__type": "InternalFailure", "message": f"{target} failed; the server's log has the traceback."}
            return self._respond(500, failure, now_ms)
        if isinstance(answer, SubscriptionModel):
            return await self._push(http, answer, now_ms)
        return self._respond(200, answer, now_ms)

    async def _push(self, http: web.Request, subscription: SubscriptionModel, now_ms: int) -> web.StreamResponse:
        response = SubscriptionResponse(subscription, self._clock_ms)
        self._subscriptions.add(response)
        try:
            return await response.send(http, self._headers(event_encoding.CONTENT_TYPE, now_ms))
        finally:
            self._subscriptions.discard(response)

    def _respond(self, status: int, content: object | None, now_ms: int) -> web.Response:
        return web.Response(
            status=status,
            body=b"" if content is None else msgspec.json.encode(content),
            headers=self._headers(_JSON, now_ms),
        )

    def _headers(self, content_type: str, now_ms: int) -> dict[str, str]:
        return {
            "Content-Type": content_type,
            "Date": formatdate(now_ms // 1_000, usegmt=True),
            "x-amzn-RequestId": f"00000000-0000-0000-0000-{next(self._request_numbers):012d}",
        }


def _check_protocol(http: web.Request, target: str) -> None:
    if "cbor" in http.content_type:
        raise KinesisError(
            "SerializationException",
            f"This server speaks {_JSON} only. Switch CBOR off in the client: AWS_CBOR_DISABLE=true, or for the Java "
            "SDK -Daws.cborEnabled=false.",
        )
    if http.method != "POST" or not target.startswith(_TARGET_PREFIX):
        raise KinesisError(
            "UnknownOperationException",
            f"Expected a POST with the header X-Amz-Target: {_TARGET_PREFIX}<operation>, got {http.method} with "
            f"{target!r}.",
        )
