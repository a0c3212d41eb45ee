"""The event stream of SubscribeToShard, frame by frame, from the raw bytes of the answer.

botocore's own parser takes 11 to 16 microseconds for a record of an event. So it never sees the events: `take` is
called before it, keeps the HTTP answer for us, and leaves botocore a stream that opens and ends.
"""

import struct
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol
from zlib import crc32

from aiohttp import ClientError as HttpError
from aiohttp.http_exceptions import HttpProcessingError
from botocore.eventstream import EventStreamBuffer, EventStreamMessage, ParserError
from botocore.exceptions import ConnectionClosedError

from kcl_py.aws.calls import MalformedAnswer

BEFORE_PARSE = "before-parse.kinesis.SubscribeToShard"
"""botocore's event, since 1.35.17, that `take` is registered for."""

_TAKEN = "kcl_py body"
_PRELUDE_BYTES = 12  # length of the frame, length of its headers, checksum of both
_CHECKSUM_BYTES = 4
_STRING = 7
# what the buffer raises for bytes that are no frame; checksums are looked at before anything else
_NO_FRAME = (ParserError, struct.error, LookupError, ValueError)


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
    """

    def __init__(self, body: Body) -> None:
        self._body = body
        self._buffer = EventStreamBuffer()
        self._blocks: list[bytes] = []  # of what is being waited for; a cancelled `next` goes on from there
        self._missing = _PRELUDE_BYTES
        self._has_prelude = False

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

    async def next(self) -> EventStreamMessage | None:
        """Wait for the next frame. May be cancelled and called again.

        Returns:
            None when the stream has ended between two frames.

        Raises:
            MalformedAnswer: these are no frames; nothing more can be read.
            ConnectionClosedError, OSError: the connection broke, or the stream ended inside a frame.
        """
        if not self._has_prelude:
            prelude = await self._awaited()
            if prelude is None:
                return None
            length, headers_length = struct.unpack("!II", prelude[:8])
            if length - headers_length < _PRELUDE_BYTES + _CHECKSUM_BYTES:  # which botocore does not look at
                raise MalformedAnswer("a frame whose parts are longer than the whole")
            self._added(prelude)
            self._missing = length - _PRELUDE_BYTES
            self._has_prelude = True
        rest = await self._awaited()
        frame = None if rest is None else self._added(rest)
        if frame is None:
            raise ConnectionClosedError(endpoint_url="Kinesis")
        self._missing = _PRELUDE_BYTES
        self._has_prelude = False
        return frame

    def close(self) -> None:
        """Close the connection. May be called again."""
        self._body.close()

    async def _awaited(self) -> bytes | None:
        """All that is missing, in one piece: to add to botocore's buffer block by block copies it for each of them."""
        try:
            while self._missing:
                block = await self._body.content.read(self._missing)
                if not block:
                    break
                self._blocks.append(block)
                self._missing -= len(block)
        except (HttpError, HttpProcessingError) as error:
            raise ConnectionClosedError(endpoint_url="Kinesis", error=error) from None
        if self._missing and self._blocks:
            raise ConnectionClosedError(endpoint_url="Kinesis")
        found = None if self._missing else b"".join(self._blocks)
        self._blocks.clear()
        return found

    def _added(self, data: bytes) -> EventStreamMessage | None:
        self._buffer.add_data(data)
        try:
            return next(self._buffer, None)
        except _NO_FRAME as error:
            raise MalformedAnswer(f"a frame of the event stream is none, {type(error).__name__}") from None


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
