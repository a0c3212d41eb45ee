"""One HTTP/1.1 connection, as far as posts to a service of AWS need one.

Such a service answers with a status, a length, and a body of that length. An answer of any other kind is `Unfamiliar`:
it is left to a whole HTTP client, which is asked anew, and nothing is guessed here.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

_HEAD_BYTES_MAX = 32 * 1024
_HEAD_END = b"\r\n\r\n"
_STATUS_LINE = re.compile(r"HTTP/1\.1 ([245]\d\d)(?: .*)?", re.ASCII)  # a redirection is for others


class Unfamiliar(Exception):
    """An answer that only a whole HTTP client can make sense of, if any."""


class Silence(Exception):
    """Nothing came for too long."""


class Disconnected(Exception):
    """The other side ended the connection, and its answer was not whole."""


class Answer(NamedTuple):
    """An HTTP answer, whole; the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes | bytearray


class HttpConnection(asyncio.BufferedProtocol):
    """Does one exchange at a time. Used from one event loop.

    A large body is received where it stays: one of 13 MB, brought in pieces and put together, costs a tenth of all that
    its page does.

    Attributes:
        idle_since: the loop's time at which the last exchange ended.
    """

    def __init__(self) -> None:
        self.idle_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None  # None between exchanges
        self._space = bytearray(_HEAD_BYTES_MAX)  # for a head, and what comes along with it
        self._head: tuple[int, dict[str, str]] | None = None  # status and headers, once they are whole
        self._body = bytearray()  # once its size is known
        self._filled = 0  # bytes of the body, or else of the space
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """False once it can take no exchange any more."""
        return self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    async def exchange(self, request: bytes, silence_seconds: float | None) -> Answer:
        """Send a request and take its answer; whatever goes wrong ends the connection.

        Args:
            request: head and body.
            silence_seconds: wait no longer for more of the answer; None for no limit.

        Raises:
            Unfamiliar, Silence, Disconnected: there is no answer that could be used.
            OSError: the connection broke.
        """
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        self._answer = loop.create_future()
        self._begin()
        self._heard_at = loop.time()
        if silence_seconds is not None:
            self._timer = loop.call_later(silence_seconds, self._look, silence_seconds)
        self._transport.write(request)
        stays_open = False
        try:
            answer = await self._answer
            stays_open = "close" not in answer.headers.get("connection", "").lower()
        finally:
            self._answer = None
            if self._timer is not None:
                self._timer.cancel()
            if not stays_open:
                self.close()
        self.idle_since = loop.time()
        return answer

    # -- called by the event loop -------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """Exchanges may begin."""
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the event loop's word for it
        """Where to put what comes next."""
        return memoryview(self._space if self._head is None else self._body)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Take the next part of an answer."""
        if self._answer is None or self._answer.done():
            self.close()  # nobody has asked for this
            return
        self._heard_at = asyncio.get_running_loop().time()
        self._filled += nbytes
        if self._head is None:
            self._take_head(self._answer)
        if self._head is not None and self._filled == len(self._body):
            self._answer.set_result(Answer(*self._head, self._body))
            self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """There will be no more."""
        self._transport = None
        self._fail(exc or Disconnected())

    # -- the answer so far --------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Nothing has come yet."""
        self._head, self._body, self._filled = None, bytearray(), 0

    def _take_head(self, answer: asyncio.Future[Answer]) -> None:
        end = self._space.find(_HEAD_END, 0, self._filled)
        if end < 0 and self._filled < len(self._space):
            return
        try:
            status, headers = _parsed(self._space[: max(end, 0)])
            received = self._space[end + len(_HEAD_END) : self._filled]
            size = int(headers["content-length"])
            if len(received) > size:
                raise ValueError("more than it said")
        except ValueError:
            answer.set_exception(Unfamiliar())
            self._begin()
            return
        self._head, self._body, self._filled = (status, headers), bytearray(size), len(received)
        self._body[: self._filled] = received

    def _look(self, silence_seconds: float) -> None:
        """Called when an answer might be overdue."""
        loop = asyncio.get_running_loop()
        left_seconds = self._heard_at + silence_seconds - loop.time()
        if left_seconds <= 0:
            self._fail(Silence())
        else:
            self._timer = loop.call_later(left_seconds, self._look, silence_seconds)

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


def _parsed(head: bytearray) -> tuple[int, dict[str, str]]:
    """Status and headers.

    Raises:
        ValueError: they are not what an answer with a plain body has.
    """
    text = head.decode()
    lines = text.split("\r\n")
    status = _STATUS_LINE.fullmatch(lines[0])
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or name.split() != [name]:
            raise ValueError("no header")
        headers[name.lower()] = value.strip()
    length = headers.get("content-length", "")
    is_plain = length.isascii() and length.isdigit() and "transfer-encoding" not in headers
    if status is None or not is_plain or len(headers) < len(lines) - 1 or text.splitlines() != lines:
        raise ValueError("no plain answer")
    return int(status[1]), headers
