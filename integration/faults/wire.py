"""Requests and answers of Kinesis and DynamoDB on the wire: HTTP/1.1 with JSON, one at a time on a connection.

The answer to SubscribeToShard is streamed: its head is the answer, and chunks follow for as long as it goes on.
"""

import asyncio
import json
from collections.abc import AsyncIterator
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

    def for_a_piece(self) -> "Request":
        """As if each piece of a streamed answer were asked for: SubscribeToShardEvent for SubscribeToShard."""
        headers = (*_without(self.headers, ("x-amz-target",)), ("X-Amz-Target", f"{self.target}Event"))
        return self._replace(headers=headers)


class Chunks:
    """What follows the head of a streamed answer. `kcl-py local` makes one chunk of every frame of an event stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Each as it comes, with the empty one that is the end."""
        chunk = None
        while chunk != b"":
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            chunk = (await self._reader.readexactly(size + 2))[:-2]
            yield chunk

    def close(self) -> None:
        """Close the connection to the service."""
        self._writer.close()


class Answer(NamedTuple):
    """What the service says."""

    status_line: str
    headers: Headers
    body: bytes
    chunks: Chunks | None = None  # that follow, where it is streamed

    @property
    def content(self) -> dict[str, Any]:
        """The body, parsed; empty where it is no JSON object."""
        return _parsed(self.body)

    @property
    def status(self) -> int:
        return int(self.status_line.split()[1])

    def message(self) -> bytes:
        """As it is sent, on a connection that stays open; without what is streamed."""
        if self.chunks is not None:
            return _head(self.status_line, (*self.headers, ("Transfer-Encoding", "chunked")))
        return _message(self.status_line, self.headers, self.body)

    def with_body(self, body: bytes) -> "Answer":
        """Another body, and no checksum that would give it away."""
        return self._replace(body=body, headers=_without(self.headers, ("x-amz-crc32",)))

    def with_content(self, content: dict[str, Any]) -> "Answer":
        """Another body, from what it means."""
        return self.with_body(json.dumps(content).encode())


class Piece(Answer):
    """One chunk of a streamed answer, as if it were an answer of its own."""

    __slots__ = ()

    def message(self) -> bytes:
        """As it is sent."""
        return b"%x\r\n%b\r\n" % (len(self.body), self.body)


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
    """Send a request on a connection of its own, and read the answer; whoever gets one with chunks closes these.

    Raises:
        OSError, EOFError: nobody answers there.
    """
    reader, writer = await asyncio.open_connection(host, port, limit=HEAD_BYTES_MAX)
    chunks = None
    try:
        headers = (*_without(request.headers, _HOP_BY_HOP), ("Connection", "close"))
        writer.write(_message(request.first_line, headers, request.body))
        status_line, headers = await _read_head(reader)
        length, body = _value(headers, "content-length"), b""
        if _value(headers, "transfer-encoding") == "chunked":
            chunks = Chunks(reader, writer)
        else:
            body = await (reader.readexactly(int(length)) if length else reader.read())
        # the local DynamoDB speaks HTTP/1.0, which would make the client close its connection
        return Answer("HTTP/1.1 " + status_line.partition(" ")[2], _without(headers, _HOP_BY_HOP), body, chunks)
    finally:
        if chunks is None:
            writer.close()


async def _read_head(reader: asyncio.StreamReader) -> tuple[str, Headers]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first_line, *lines = head.rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return first_line, tuple((name, value.strip()) for name, _, value in pairs)


def _message(first_line: str, headers: Headers, body: bytes) -> bytes:
    kept = (*_without(headers, ("content-length", "transfer-encoding")), ("Content-Length", str(len(body))))
    return _head(first_line, kept) + body


def _head(first_line: str, headers: Headers) -> bytes:
    lines = [first_line, *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


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
