"""The event stream of SubscribeToShard, frame by frame, from the raw bytes of the answer.

botocore's own parser takes 11 to 16 microseconds for a record of an event. So it never sees the events: `take` is
called before it, keeps the HTTP answer for us, and leaves botocore a stream that opens and ends.
"""

import struct
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple, Protocol
from zlib import crc32

from aiohttp import ClientError as HttpError
from aiohttp.http_exceptions import HttpProcessingError
from botocore.eventstream import EventStreamHeaderParser, ParserError
from botocore.exceptions import ConnectionClosedError

from kcl_py.aws.calls import MalformedAnswer

BEFORE_PARSE = "before-parse.kinesis.SubscribeToShard"
"""botocore's event, since 1.35.17, that `take` is registered for."""

_TAKEN = "kcl_py body"
_PRELUDE_BYTES = 12  # length of the frame, length of its headers, checksum of both
_CHECKSUM_BYTES = 4
_STRING = 7
_LENGTHS, _NUMBER = struct.Struct("!II"), struct.Struct("!I")
_HEADERS_BYTES_MAX, _PAYLOAD_BYTES_MAX = 128 * 1024, 24 * 1024 * 1024  # as botocore's own buffer has them
# what is raised for headers that are none; checksums are looked at before anything else
_NO_HEADERS = (ParserError, struct.error, LookupError, ValueError)


class Frame(NamedTuple):
    """One message of the stream."""

    headers: Mapping[str, Any]
    payload: memoryview


class Content(Protocol):
    """What is read of an answer: aiohttp's StreamReader."""

    async def read(self, n: int) -> bytes:
        """Up to `n` bytes, as soon as there are any; none at the end."""


class Body(Protocol):
    """An answer whose headers have come: aiohttp's ClientResponse."""

    @property
    def content(self) -> Content:
        """What follows the headers."""

    def close(self) -> None:
        """Close the connection."""


def take(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Keep a good answer's body for `Frames.of`; what botocore gets instead opens a stream and ends it.

    Args:
        response_dict: the HTTP answer: status, headers, body.
        customized_response_dict: what is to be in the parsed answer besides what botocore finds.
    """
    if response_dict["status_code"] <= 300:  # from 301 on botocore takes an answer for a refusal
        customized_response_dict[_TAKEN] = response_dict["body"]
        response_dict["body"] = _Opening()


class Frames:
    """The frames of one answer, their checksums checked.

    Nothing is read from the connection that nobody has asked for: what the service sends meanwhile fills aiohttp's
    buffer of 128 KB to 512 KB, then the socket's, and then the service waits. So at most one frame is in memory here.
    Every byte is copied once, to its place in the frame; botocore's own buffer copies an event several times over.
    """

    def __init__(self, body: Body) -> None:
        self._body = body
        self._headers = EventStreamHeaderParser()
        self._begin(_PRELUDE_BYTES)
        self._headers_bytes: int | None = None  # known once there is a prelude

    @classmethod
    async def of(cls, answer: Mapping[str, Any]) -> "Frames":
        """The frames of an answer that `take` has seen.

        Raises:
            MalformedAnswer: it came without a body to stream.
        """
        async for _ in answer["EventStream"]:  # to its end, or the loop would have to clear it away
            pass
        body: Any = answer.get(_TAKEN)
        if not hasattr(body, "content"):
            raise MalformedAnswer("no event stream")
        return cls(body)

    async def next(self) -> Frame | None:
        """Wait for the next frame. May be cancelled and called again.

        Returns:
            None when the stream has ended between two frames.

        Raises:
            MalformedAnswer: these are no frames; nothing more can be read.
            ConnectionClosedError, OSError: the connection broke, or the stream ended inside a frame.
        """
        if self._headers_bytes is None:
            if not await self._is_filled():
                return None
            self._read_prelude()
        if not await self._is_filled():
            raise ConnectionClosedError(endpoint_url="Kinesis")
        return self._read_rest()

    def close(self) -> None:
        """Close the connection. May be called again."""
        self._body.close()

    def _begin(self, size_bytes: int, checksum: int = 0) -> None:
        """Wait for so many bytes from now on; a cancelled `next` goes on from what has come of them."""
        self._part = memoryview(bytearray(size_bytes))
        self._got_bytes = 0
        self._checksum = checksum  # of all before the last four bytes of this part

    async def _is_filled(self) -> bool:
        """Wait for the rest of this part; False if nothing came of it and nothing will."""
        size_bytes, read = len(self._part), self._body.content.read
        try:
            while self._got_bytes < size_bytes:
                block = await read(size_bytes - self._got_bytes)
                if not block:
                    break
                self._add(block)
        except (HttpError, HttpProcessingError) as error:
            raise ConnectionClosedError(endpoint_url="Kinesis", error=error) from None
        if self._got_bytes < size_bytes and self._got_bytes:
            raise ConnectionClosedError(endpoint_url="Kinesis")
        return self._got_bytes == size_bytes

    def _add(self, block: bytes) -> None:
        start, self._got_bytes = self._got_bytes, self._got_bytes + len(block)
        self._part[start : self._got_bytes] = block
        summed = self._part[start : min(self._got_bytes, len(self._part) - _CHECKSUM_BYTES)]
        self._checksum = crc32(summed, self._checksum)

    def _check(self) -> None:
        (expected,) = _NUMBER.unpack(self._part[-_CHECKSUM_BYTES:])
        if self._checksum != expected:
            raise MalformedAnswer("a frame of the event stream is none, its checksum is another")

    def _read_prelude(self) -> None:
        length, headers_bytes = _LENGTHS.unpack(self._part[:8])
        payload_bytes = length - headers_bytes - _PRELUDE_BYTES - _CHECKSUM_BYTES
        if payload_bytes < 0:
            raise MalformedAnswer("a frame whose parts are longer than the whole")
        self._check()
        if headers_bytes > _HEADERS_BYTES_MAX or payload_bytes > _PAYLOAD_BYTES_MAX:
            raise MalformedAnswer("a frame of the event stream is too large")
        self._headers_bytes = headers_bytes
        # the frame's checksum goes on from the prelude's, and is of the prelude's own as well
        self._begin(length - _PRELUDE_BYTES, crc32(self._part[8:], self._checksum))

    def _read_rest(self) -> Frame:
        self._check()
        part, headers_bytes = self._part, self._headers_bytes
        self._headers_bytes = None
        self._begin(_PRELUDE_BYTES)
        try:
            headers = self._headers.parse(part[:headers_bytes].tobytes())
        except _NO_HEADERS as error:
            raise MalformedAnswer(f"a frame of the event stream is none, {type(error).__name__}") from None
        return Frame(headers, part[headers_bytes:-_CHECKSUM_BYTES])


class _Opening:
    """A body for botocore, which reads a streamed body by `content.iter_chunks()`: one frame, and its end."""

    @property
    def content(self) -> "_Opening":
        return self

    async def iter_chunks(self) -> AsyncIterator[tuple[bytes, bool]]:
        yield _INITIAL_RESPONSE, True


def _frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """A frame with headers that are text."""
    packed = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", _STRING, len(value)) + value.encode()
        for name, value in headers.items()
    )
    lengths = struct.pack("!II", _PRELUDE_BYTES + len(packed) + len(payload) + _CHECKSUM_BYTES, len(packed))
    message = lengths + struct.pack("!I", crc32(lengths)) + packed + payload
    return message + struct.pack("!I", crc32(message))


_INITIAL_RESPONSE = _frame({":message-type": "event", ":event-type": "initial-response"}, b"{}")
