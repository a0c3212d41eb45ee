"""GetRecords without the SDK's way from parameters to a request, which costs more than a small page itself.

The first request of a client goes the SDK's own way, and is the pattern of all that follow: where it went, what its
headers said, and how it was signed. Those are built here from the pattern, signed here with the client's credentials,
and sent as `http_post` has it, so that TLS, proxies, limits and timeouts stay the SDK's. A request that we would have
made differently is no pattern, and then every other one goes the SDK's way too.
"""

import time
import uuid
from collections.abc import Mapping
from types import FunctionType
from typing import Any, Protocol

import msgspec
from aiobotocore.client import AioBaseClient
from botocore.parsers import create_parser

from kcl_py.aws import get_records
from kcl_py.aws.http_post import HttpPost
from kcl_py.aws.signature import Keys, Signer
from kcl_py.aws.turnstile import Turnstile

OPERATION = "GetRecords"
BEFORE_SEND = f"before-send.kinesis.{OPERATION}"
"""botocore's event, which tells a request as it is sent."""

_PATTERNS_MAX = 3  # looked at, before it is believed that none will do
_CONTENT_TYPE = "application/x-amz-json-1.1"
_SIGNED = ("content-type", "x-amz-target")  # besides what is of one request only
_KEPT = (*_SIGNED, "user-agent", "amz-sdk-request")
_INVOCATION_ID = "amz-sdk-invocation-id"
_OF_ONE_REQUEST = (_INVOCATION_ID, "authorization", "content-length", "x-amz-date", "x-amz-security-token")
_EVENTS = (
    "before-parameter-build", "provide-client-params", "before-endpoint-resolution", "before-call", "request-created",
    "choose-signer", "before-sign", "before-send", "response-received", "needs-retry", "before-parse", "after-call",
    "after-call-error",
)  # fmt: skip
"""What botocore emits around a call, which nobody hears of a direct one."""


class Credentials(Protocol):
    """The client's credentials."""

    async def get_frozen_credentials(self) -> Keys:
        """Those of now, refreshed if it is time."""


class _Pattern(msgspec.Struct, frozen=True):
    """What every request has in common."""

    url: str
    headers: dict[str, str]  # those that are kept, as the SDK writes their names
    signed_headers: dict[str, str]  # and those of them that are signed, by lower-case names
    signer: Signer

    def headers_of(self, keys: Keys, body: bytes, moment: str) -> dict[str, str]:
        """Those of one request, signed."""
        now = {"X-Amz-Date": moment}
        if keys.token:
            now["X-Amz-Security-Token"] = keys.token
        signed = self.signed_headers | {name.lower(): value for name, value in now.items()}
        authorization = self.signer.authorization(keys, signed, body, moment)
        return self.headers | now | {"Authorization": authorization, _INVOCATION_ID: str(uuid.uuid4())}


class DirectReads:
    """Reads through one client, once a pattern is known. Used from one event loop.

    Attributes:
        are_possible: True once `read` may be called.
    """

    def __init__(self, client: Any) -> None:
        self.are_possible = False
        self._client = client
        self._pattern: _Pattern | None = None
        self._post: HttpPost | None = None
        self._patterns_left = _PATTERNS_MAX
        self._turnstile = Turnstile()
        self._shape = client.meta.service_model.operation_model(OPERATION).output_shape
        self._parser = create_parser("json")
        if _is_as_made(client):
            client.meta.events.register(BEFORE_SEND, self._look_at)

    async def read(self, **parameters: Any) -> dict[str, Any]:
        """Send one request; answer, and fail, as the client's own method.

        Args:
            parameters: of the request, in the API reference's words.

        Raises:
            ClientError: the service refused it.
            Exception: whatever the client's HTTP session and credentials raise.
        """
        assert self._pattern is not None
        assert self._post is not None
        body = msgspec.json.encode(parameters)
        keys = await _credentials(self._client).get_frozen_credentials()
        status, headers, content = await self._post.send(self._pattern.headers_of(keys, body, _now()), body)
        answer = {"status_code": status, "headers": headers, "body": content}
        decoded: dict[str, Any] = {}
        await get_records.decode_in_turn(answer, decoded, self._turnstile)
        if decoded:
            return decoded
        answer["body"] = bytes(content)
        parsed: dict[str, Any] = self._parser.parse(answer, self._shape)
        if status < 300:
            return parsed
        code = parsed.get("Error", {}).get("Code")
        raise self._client.exceptions.from_code(code)(parsed, OPERATION)

    async def _look_at(self, request: Any, **_: object) -> None:
        """Called by the SDK with a request of its own, signed and about to be sent."""
        if self.are_possible or not self._patterns_left:
            return
        self._patterns_left -= 1
        pattern = _pattern_in(request)
        if pattern is not None:
            keys = await _credentials(self._client).get_frozen_credentials()
            sent = _of_all(request.headers)
            if _of_all(pattern.headers_of(keys, request.body, sent["x-amz-date"])) == sent:
                self._pattern = pattern
                self._post = HttpPost(self._client._endpoint.http_session, pattern.url)  # noqa: SLF001
                self.are_possible = True


def _pattern_in(request: Any) -> _Pattern | None:
    """What all requests have in common if this is one of them; None if there is anything to it that we do not know."""
    headers = _lowered(request.headers)
    scope = headers.get("authorization", "").partition("/")[2].partition(",")[0].split("/")  # day, region, service
    is_known = (
        request.method == "POST"
        and "?" not in request.url
        and isinstance(request.body, bytes)
        and not headers.keys() - {*_KEPT, *_OF_ONE_REQUEST}
        and headers.keys() >= {*_SIGNED, "x-amz-date"}
        and headers["content-type"] == _CONTENT_TYPE
        and len(scope) == 4
    )
    if not is_known:
        return None
    return _Pattern(
        request.url,
        {name: _text(value) for name, value in request.headers.items() if name.lower() in _KEPT},
        {name: headers[name] for name in _SIGNED},
        Signer(request.url, region=scope[1], service=scope[2]),
    )


def _of_all(headers: Mapping[str, str | bytes]) -> dict[str, str]:
    """What two requests of one body and time have in common."""
    return {name: value for name, value in _lowered(headers).items() if name not in (_INVOCATION_ID, "content-length")}


def _lowered(headers: Mapping[str, str | bytes]) -> dict[str, str]:
    return {name.lower(): _text(value) for name, value in headers.items()}


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _credentials(client: Any) -> Credentials:
    credentials: Credentials = client._request_signer._credentials  # noqa: SLF001 - those that the client signs with
    return credentials


def _is_as_made(client: Any) -> bool:
    """True if nobody but the SDK itself takes part in the client's calls: who traces or changes them must see all."""
    call = vars(AioBaseClient).get("_make_api_call")
    try:
        handlers = client.meta.events._emitter._handlers  # noqa: SLF001 - there is no other way to know
        heard_by = [one for event in _EVENTS for one in handlers.prefix_search(f"{event}.kinesis.{OPERATION}")]
    except AttributeError:  # an SDK that keeps them elsewhere
        return False
    return (
        isinstance(call, FunctionType)  # and not something that was put around it
        and _is_sdks(call.__globals__["__name__"])
        and type(client)._make_api_call is call  # noqa: SLF001
        and all(_is_sdks(getattr(one, "__module__", "")) for one in heard_by)
    )


def _is_sdks(module: str) -> bool:
    return module.partition(".")[0] in ("aiobotocore", "botocore", "kcl_py")


def _now() -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
