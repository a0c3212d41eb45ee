"""Pages of one shard by GetRecords, at the allowed pace, into the buffer."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

import tenacity

from kcl_py.errors import (
    READ_TROUBLE,
    AccessDenied,
    IteratorExpired,
    StreamNotFound,
    Throttled,
)
from kcl_py.events import Level, ServiceTrouble
from kcl_py.interfaces import Page, Stream
from kcl_py.retrying import Sleep, jittered, retrying
from kcl_py.runtime.data.buffer import PageBuffer
from kcl_py.runtime.data.pace import Pace
from kcl_py.runtime.data.pulse import Pulse
from kcl_py.runtime.data.shard_position import ShardPosition
from kcl_py.runtime.emitter import Emitter

Answer = TypeVar("Answer")
_PAUSE = jittered(0.3, 10.0)
USUAL_THROTTLES = 4  # in a row, about four seconds


class Poller:
    """Reads one shard from its position on.

    Attributes:
        tip_seen_at: when the last read began (shared clock), if it was empty and nothing was behind; else None.
    """

    def __init__(
        self,
        stream: Stream,
        position: ShardPosition,
        buffer: PageBuffer,
        *,
        pace: Pace,
        pulse: Pulse,
        page_records_max: int,
        report_missing: Callable[[], None],
        has_read: asyncio.Event,
        emit: Emitter,
        clock: Callable[[], float],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """Prepare to read.

        Args:
            stream: where from.
            position: of the shard; moved on with every page.
            buffer: where pages go; it says when there is room for another.
            pace: when the next read may begin.
            pulse: told of every attempt.
            page_records_max: records asked for in one call.
            report_missing: told when the service does not know the shard.
            has_read: set once any shard of the worker was read, so that reading is known to be permitted.
            emit: where events go.
            clock: the clock shared with the keeper, seconds.
            sleep: how to wait.
        """
        self._stream = stream
        self._position = position
        self._buffer = buffer
        self._pace = pace
        self._pulse = pulse
        self._page_records_max = page_records_max
        self._report_missing = report_missing
        self._has_read = has_read
        self._emit = emit
        self._clock = clock
        self._sleep = pulse.sleeper(sleep)
        self._until = math.inf
        # a permission that was there and is gone may come back; one that never was is a mistake to be told of
        self._retry_at_first = self._retrying(*READ_TROUBLE)
        self._retry = self._retrying(*READ_TROUBLE, AccessDenied)
        self.tip_seen_at: float | None = None

    async def run(self, until: float = math.inf) -> bool:
        """Read to the end of the shard, and return True; or False once the time is over.

        Args:
            until: when that is, by the loop's time.

        Raises:
            SequenceRefused: the place is not one of this shard.
            AccessDenied: reading is not permitted, and never was while this poller ran.
        """
        self._until = until
        try:
            iterator: str | None = await self._open()
            while iterator is not None and not self._is_time_over():
                iterator = await self._step(iterator)
        except (*READ_TROUBLE, AccessDenied):
            if not self._is_time_over():
                raise
            return False
        return iterator is None

    async def _step(self, iterator: str) -> str | None:
        """Read one page into the buffer; the iterator to go on with, None at the end of the shard."""
        await self._until_due()  # with no room reserved, which others can use meanwhile
        if self._is_time_over():
            return iterator
        with self._pulse.waiting():  # others hold the room, and are watched as well
            reserved = await self._buffer.reserve()
        page = None
        try:
            asked_at = self._clock()
            fetched = await self._patiently(self._read, iterator)
            page = await self._position.with_children(self._position.checked(fetched), iterator)
        except IteratorExpired:
            return await self._open()
        finally:
            if page is None:
                self._buffer.give_back(reserved)
        self._buffer.put(page, reserved)
        self._position.fetched(page, asked_at)
        if page.next_iterator is None:
            return None
        return fetched.next_iterator if fetched.next_iterator is not None else await self._open()

    async def _open(self) -> str:
        return await self._patiently(self._try_to_open)

    async def _try_to_open(self) -> str:
        with self._pulse.attempting():
            return await self._stream.open(self._position.shard_id, self._position.to_poll())

    async def _read(self, iterator: str) -> Page:
        await self._until_due()
        loop = asyncio.get_running_loop()
        began, began_at = loop.time(), self._clock()
        page: Page | None = None
        try:
            with self._pulse.attempting():
                page = await self._stream.read(iterator, self._page_records_max)
        finally:
            size = page.size_bytes if page is not None else 0
            is_idle = page is not None and not page.records and not page.millis_behind_latest
            self._pace.answered(began, loop.time(), size, is_idle=is_idle)
            self.tip_seen_at = began_at if is_idle else None
        self._has_read.set()
        return page

    async def _until_due(self) -> None:
        loop = asyncio.get_running_loop()
        while (wait := min(self._pace.seconds_to_wait(loop.time()), self._until - loop.time())) > 0:
            await self._sleep(wait)

    def _is_time_over(self) -> bool:
        return asyncio.get_running_loop().time() >= self._until

    async def _patiently(self, call: Callable[..., Awaitable[Answer]], *arguments: object) -> Answer:
        retry = self._retry if self._has_read.is_set() else self._retry_at_first
        answer: Answer = await retry(call, *arguments)
        return answer

    def _retrying(self, *errors: type[BaseException]) -> tenacity.AsyncRetrying:
        return retrying(*errors, pause=_PAUSE, on_retry=self._note, is_over=self._is_time_over, sleep=self._sleep)

    def _note(self, error: BaseException, attempt: int, _pause: float) -> None:
        # beside any other reader of the shard a throttle now and then is no trouble
        is_usual = isinstance(error, Throttled) and attempt <= USUAL_THROTTLES
        level: Level = "debug" if is_usual else "warning"
        self._emit(ServiceTrouble(level=level, operation="read", reason=str(error), shard_id=self._position.shard_id))
        if isinstance(error, StreamNotFound):
            self._report_missing()
