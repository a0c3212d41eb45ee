"""One request at the proxy, and what can be done with it."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

from integration.faults.wire import Answer, Chunks, Piece, Request
from kcl_py import host

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of zero seconds


class Exchange:
    """A request that a client has sent and that nobody has answered yet.

    Args:
        request: what it asks.
        place: what it is about, as far as it says so: a shard, else a lease key, else a stream or table.
        at: when it came, on the boot clock.
        ask: brings a request to the service.
        earlier: what the service last answered to the very same request.
        writer: towards the client.
    """

    def __init__(
        self,
        request: Request,
        place: str,
        at: float,
        *,
        ask: Callable[[Request], Awaitable[Answer]],
        earlier: Answer | None,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.request = request
        self.place = place
        self.at = at
        self.earlier = earlier
        self.outcome: Answer | None = None  # what the service said, whatever the client was told
        self.status: int | None = None  # what the client was answered; None if nothing
        self.is_connection_usable = True
        self._ask = ask
        self._writer = writer

    @property
    def has_reached_the_service(self) -> bool:
        """True once the service has done what was asked."""
        return self.outcome is not None

    @property
    def chunks(self) -> Chunks | None:
        """What the service goes on with, where its answer is streamed."""
        return None if self.outcome is None else self.outcome.chunks

    async def pieces(self) -> "AsyncIterator[Exchange]":
        """What follows a streamed answer, each piece as an exchange of its own."""
        assert self.outcome is not None
        assert self.chunks is not None
        request, status_line = self.request.for_a_piece(), self.outcome.status_line
        async for chunk in self.chunks:
            ask = _saying(Piece(status_line, (), chunk))
            yield Exchange(request, self.place, host.boottime(), ask=ask, earlier=None, writer=self._writer)

    async def asked(self) -> Answer:
        """Bring it to the service; the answer, which the client has not seen yet."""
        self.outcome = await self._ask(self.request)
        return self.outcome

    async def answer(self, answer: Answer) -> None:
        """Answer the client."""
        self._writer.write(answer.message())
        self.status = answer.status
        await self._writer.drain()

    async def trickle(self, answer: Answer, bytes_per_second: float, *, at_once: int = 1) -> None:
        """Answer the client a few bytes after the other, until it has had enough."""
        message = answer.message()
        for begin in range(0, len(message), at_once):
            await self.send(message[begin : begin + at_once])
            await asyncio.sleep(at_once / bytes_per_second)
        self.status = answer.status

    async def send(self, part: bytes) -> None:
        """Send the client a part of an answer."""
        self._writer.write(part)
        await self._writer.drain()

    def hang_up(self, *, by_reset: bool = False) -> None:
        """Close the connection: in order, or by RST."""
        if by_reset:
            connection = self._writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._writer.transport.abort()
        self._writer.close()
        self.is_connection_usable = False


def _saying(answer: Answer) -> Callable[[Request], Awaitable[Answer]]:
    async def said(_: Request) -> Answer:
        return answer

    return said
