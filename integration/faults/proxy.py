"""An HTTP proxy on loopback in front of one service, with faults that can be switched while it runs.

It knows the two services' wire: operations by X-Amz-Target, and the shard, lease key, stream or table of a request by
its JSON. Which shard an iterator belongs to it learns from the answers that pass. Each frame that SubscribeToShard
pushes passes by itself, and is looked at as if it had been asked for by an operation SubscribeToShardEvent.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from integration.faults import wire
from integration.faults.effects import Effect, pass_on
from integration.faults.exchange import Exchange
from integration.faults.rule import Rule
from kcl_py import host

_REPLAYABLE = (
    "BatchGetItem", "DescribeStreamSummary", "DescribeTable", "GetItem", "ListShards", "Query", "Scan",
)  # fmt: skip


class FaultProxy:
    """Runs in a thread of its own, for the time of a `with` block.

    Args:
        url: the service behind it.
    """

    def __init__(self, url: str) -> None:
        behind = urlsplit(url)
        self._behind = behind.hostname or "", behind.port or 0
        self._rules: tuple[Rule, ...] = ()
        self._shard_of_iterator: dict[str, str] = {}
        self._last_answers: dict[tuple[str, bytes], wire.Answer] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._is_over: asyncio.Event
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread
        self.exchanges: list[Exchange] = []
        self.url = ""

    # -- faults -------------------------------------------------------------------------------------------------------

    def add(self, rule: Rule) -> Rule:
        """Switch a fault on; of several that a request fits, the newest has it."""
        self._rules = (rule, *self._rules)
        return rule

    def remove(self, rule: Rule) -> None:
        """Switch a fault off; what it holds already it holds on to."""
        self._rules = tuple(one for one in self._rules if one is not rule)

    @contextlib.contextmanager
    def under(self, effect: Effect, *operations: str, **which: Any) -> Iterator[Rule]:
        """A fault for the time of a `with` block; see `Rule`."""
        rule = self.add(Rule(effect, *operations, **which))
        try:
            yield rule
        finally:
            self.remove(rule)

    def requests(self, *operations: str, place: str = "", since: float = 0.0) -> list[Exchange]:
        """What clients have asked so far."""
        return [
            exchange
            for exchange in list(self.exchanges)
            if (not operations or exchange.request.operation in operations)
            and exchange.place.startswith(place)
            and exchange.at >= since
        ]

    # -- life ---------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        listening: Future[str] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(listening)), daemon=True)
        self._thread.start()
        self.url = listening.result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._is_over.set)
        self._thread.join()

    async def _run(self, listening: "Future[str]") -> None:
        self._loop, self._is_over = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=wire.HEAD_BYTES_MAX)
        listening.set_result(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await self._is_over.wait()
        server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        try:
            while (request := await wire.read_request(reader)) is not None:
                exchange = self._exchange(request, writer)
                try:
                    await self._meet(exchange)
                    if exchange.chunks is not None and exchange.is_connection_usable:
                        await self._push(exchange, reader)
                finally:
                    if exchange.chunks is not None:
                        exchange.chunks.close()
                if not exchange.is_connection_usable:
                    return
        except (OSError, EOFError):
            pass  # one of the two has hung up
        except asyncio.CancelledError:
            pass  # the proxy ends
        finally:
            self._connections.discard(connection)
            writer.close()

    async def _meet(self, exchange: Exchange) -> None:
        self.exchanges += [exchange]
        effect = next((rule.effect for rule in self._rules if rule.takes(exchange)), pass_on)
        await effect(exchange)

    async def _push(self, streamed: Exchange, client: asyncio.StreamReader) -> None:
        """Pass on what is streamed, to its end or until the client hangs up, who says nothing else meanwhile."""
        passing, hanging_up = asyncio.ensure_future(self._pass(streamed)), asyncio.ensure_future(client.read(1))
        try:
            await asyncio.wait((passing, hanging_up), return_when=asyncio.FIRST_COMPLETED)
        finally:
            hanging_up.cancel()
            passing.cancel()
            await asyncio.gather(passing, hanging_up, return_exceptions=True)

    async def _pass(self, streamed: Exchange) -> None:
        streamed.is_connection_usable = False
        async for piece in streamed.pieces():
            await self._meet(piece)
            if not piece.is_connection_usable:
                return
        streamed.is_connection_usable = True

    def _exchange(self, request: wire.Request, writer: asyncio.StreamWriter) -> Exchange:
        key = request.operation, request.body
        place = self._place(request.content)

        async def ask(request: wire.Request) -> wire.Answer:
            answer = await wire.ask(*self._behind, request)
            if request.operation in _REPLAYABLE:
                self._last_answers[key] = answer
            content = answer.content if request.operation in ("GetRecords", "GetShardIterator") else {}
            for name in ("NextShardIterator", "ShardIterator"):
                if content.get(name):
                    self._shard_of_iterator[content[name]] = place
            return answer

        earlier = self._last_answers.get(key)
        return Exchange(request, place, host.boottime(), ask=ask, earlier=earlier, writer=writer)

    def _place(self, content: dict[str, Any]) -> str:
        item = content.get("Key") or content.get("Item") or {}
        known = (
            content.get("ShardId"),
            self._shard_of_iterator.get(content.get("ShardIterator", "")),
            item.get("leaseKey", {}).get("S"),
            content.get("StreamName"),
            content.get("TableName"),
        )
        return next((str(one) for one in known if one), "")
