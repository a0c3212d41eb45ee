"""Requests and answers of Kinesis and DynamoDB on the wire: HTTP/1.1 with JSON, one at a time on a connection."""

import asyncio
import json
from typing import Any, NamedTuple

HEAD_BYTES_MAX = 64 * 1024
Headers = tuple[tuple[str, str], ...]
_HOP_BY_HOP = ("connection", "content-length", "keep-alive", "transfer-encoding")


class Request(NamedTuple):
    """What a client asks."""

    first_line: str
    headers: Headers
    body: bytes

    @property
    def target(self) -> str:
        """Such as `Kinesis_20131202.GetRecords`."""
        return _value(self.headers, "x-amz-target")

    @property
    def operation(self) -> str:
        """Such as `GetRecords`."""
        return self.target.rpartition(".")[2]

    @property
    def is_dynamodb(self) -> bool:
        return self.target.startswith("DynamoDB")

    @property
    def content(self) -> dict[str, Any]:
        """The body, parsed; empty where it is no JSON object."""
        return _parsed(self.body)


class Answer(NamedTuple):
    """What the service says."""

    status_line: str
    headers: Headers
    body: bytes

    @property
    def content(self) -> dict[str, Any]:
        """The body, parsed; empty where it is no JSON object."""
        return _parsed(self.body)

    @property
    def status(self) -> int:
        return int(self.status_line.split()[1])

    def message(self) -> bytes:
        """As it is sent, on a connection that stays open."""
        return _message(self.status_line, self.headers, self.body)

    def with_body(self, body: bytes) -> "Answer":
        """Another body, and no checksum that would give it away."""
        return self._replace(body=body, headers=_without(self.headers, ("x-amz-crc32",)))

    def with_content(self, content: dict[str, Any]) -> "Answer":
        """Another body, from what it means."""
        return self.with_body(json.dumps(content).encode())


def refusal(code: str, message: str, status: int) -> Answer:
    """How both services refuse."""
    headers = (("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-RequestId", "0-refused"))
    return Answer(f"HTTP/1.1 {status} Refused", headers, json.dumps({"__type": code, "message": message}).encode())


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection; None at its end."""
    try:
        first_line, headers = await _read_head(reader)
    except asyncio.IncompleteReadError:
        return None
    return Request(first_line, headers, await reader.readexactly(int(_value(headers, "content-length") or 0)))


async def ask(host: str, port: int, request: Request) -> Answer:
    """Send a request on a connection of its own, and read the answer.

    Raises:
        OSError, EOFError: nobody answers there.
    """
    reader, writer = await asyncio.open_connection(host, port, limit=HEAD_BYTES_MAX)
    try:
        headers = (*_without(request.headers, _HOP_BY_HOP), ("Connection", "close"))
        writer.write(_message(request.first_line, headers, request.body))
        status_line, headers = await _read_head(reader)
        length = _value(headers, "content-length")
        body = await (reader.readexactly(int(length)) if length else reader.read())
        # the local DynamoDB speaks HTTP/1.0, which would make the client close its connection
        return Answer("HTTP/1.1 " + status_line.partition(" ")[2], _without(headers, _HOP_BY_HOP), body)
    finally:
        writer.close()


async def _read_head(reader: asyncio.StreamReader) -> tuple[str, Headers]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first_line, *lines = head.rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return first_line, tuple((name, value.strip()) for name, _, value in pairs)


def _message(first_line: str, headers: Headers, body: bytes) -> bytes:
    kept = (*_without(headers, ("content-length", "transfer-encoding")), ("Content-Length", str(len(body))))
    lines = [first_line, *(f"{name}: {value}" for name, value in kept), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def _without(headers: Headers, names: tuple[str, ...]) -> Headers:
    return tuple((name, value) for name, value in headers if name.lower() not in names)


def _value(headers: Headers, name: str) -> str:
    return next((value for one, value in headers if one.lower() == name), "")


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
