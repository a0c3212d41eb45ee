"""One request at the proxy, and what can be done with it."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

from integration.faults.wire import Answer, Request

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

    async def asked(self) -> Answer:
        """Bring it to the service; the answer, which the client has not seen yet."""
        self.outcome = await self._ask(self.request)
        return self.outcome

    async def answer(self, answer: Answer) -> None:
        """Answer the client."""
        self._writer.write(answer.message())
        self.status = answer.status
        await self._writer.drain()

    async def trickle(self, answer: Answer, bytes_per_second: float) -> None:
        """Answer the client one byte after the other, until it has had enough."""
        for byte in answer.message():
            self._writer.write(bytes([byte]))
            await self._writer.drain()
            await asyncio.sleep(1 / bytes_per_second)
        self.status = answer.status

    def hang_up(self, *, by_reset: bool = False) -> None:
        """Close the connection: in order, or by RST."""
        if by_reset:
            connection = self._writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._writer.transport.abort()
        self._writer.close()
        self.is_connection_usable = False
