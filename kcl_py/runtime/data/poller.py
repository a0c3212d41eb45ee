"""Pages of one shard by GetRecords, at the allowed pace, into the buffer.

The place in the shard is kept as the last record *fetched into the buffer*, never as an iterator: an iterator that
expires or is refused is replaced by one that opens at that record, inclusively. If the record is not there any more,
records behind it may be gone as well, and that is said aloud (a gap is never silent).
"""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import tenacity

from kcl_py.core.position import ReadFrom
from kcl_py.core.record import Record
from kcl_py.core.shard import ChildShard
from kcl_py.errors import (
    AccessDenied,
    CredentialsError,
    EncryptionKeyError,
    IteratorExpired,
    ServiceUnavailable,
    StreamNotFound,
    Throttled,
)
from kcl_py.events import Level, RecordsMissing, ServiceTrouble
from kcl_py.interfaces import Page, Stream
from kcl_py.retrying import Sleep, jittered, retrying
from kcl_py.runtime.data.buffer import PageBuffer
from kcl_py.runtime.data.pace import Pace
from kcl_py.runtime.data.pulse import Pulse
from kcl_py.runtime.emitter import Emitter

_PAUSE = jittered(0.3, 10.0)
USUAL_THROTTLES = 4  # in a row, about four seconds
_TRANSIENT = (Throttled, ServiceUnavailable, CredentialsError, EncryptionKeyError, StreamNotFound)


class Poller:
    """Reads one shard from a place to its end."""

    def __init__(
        self,
        stream: Stream,
        shard_id: str,
        start: ReadFrom,
        buffer: PageBuffer,
        *,
        pace: Pace,
        pulse: Pulse,
        page_records_max: int,
        confirm_end: Callable[[], Awaitable[tuple[ChildShard, ...] | None]],
        report_missing: Callable[[], None],
        may_have_gap: bool,
        has_read: asyncio.Event,
        emit: Emitter,
        clock: Callable[[], float],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """Prepare to read.

        Args:
            stream: where from.
            shard_id: the shard.
            start: the place to begin; one given by a sequence number is inclusive.
            buffer: where pages go; it says when there is room for another.
            pace: when the next read may begin.
            pulse: told of every attempt.
            page_records_max: records asked for in one call.
            confirm_end: asked when the service gives no next iterator and names no children; answers with the
                children, or None if the shard is open after all.
            report_missing: told when the service does not know the shard.
            has_read: set once any shard of the worker was read, so that reading is known to be permitted.
            may_have_gap: whether records after the start may have been trimmed, if the first one is not there.
            emit: where events go.
            clock: the clock shared with the keeper, seconds.
            sleep: how to wait.
        """
        self._stream = stream
        self._shard_id = shard_id
        self._place = start
        self._buffer = buffer
        self._pace = pace
        self._pulse = pulse
        self._page_records_max = page_records_max
        self._confirm_end = confirm_end
        self._report_missing = report_missing
        self._may_have_gap = may_have_gap
        self._has_read = has_read
        self._emit = emit
        self._clock = clock
        self._sleep_for = sleep
        self._anchor = start.sequence_number  # must come first, or something was trimmed; None once it was looked for
        self._fetched: str | None = None  # sequence number of the last record put into the buffer
        self._is_end_said = False  # the last page was the first of two that speak of the end and name no children
        self.tip_seen_at: float | None = (
            None  # when the last read began (shared clock), if it was empty and nothing was behind
        )

    async def run(self) -> None:
        """Read to the end of the shard, then return.

        Raises:
            SequenceRefused: the place is not one of this shard.
            AccessDenied: reading is not permitted, and never was while this poller ran.
        """
        iterator: str | None = await self._open()
        while iterator is not None:
            iterator = await self._step(iterator)

    async def _step(self, iterator: str) -> str | None:
        """Read one page into the buffer; the iterator to go on with, None at the end of the shard."""
        await self._until_due()  # with no room reserved, which others can use meanwhile
        with self._pulse.waiting():  # others hold the room, and are watched as well
            reserved = await self._buffer.reserve()
        page = None
        try:
            fetched = await self._fetch(iterator)
            page = await self._with_children(fetched, iterator)
        except IteratorExpired:
            return await self._open()
        finally:
            if page is None:
                self._buffer.give_back(reserved)
        if page.records or page.next_iterator is None:
            self._buffer.put(page, reserved)
        else:
            self._buffer.give_back(reserved)
        if page.records:
            self._fetched = page.records[-1].sequence_number
        if page.next_iterator is None:
            return None
        return fetched.next_iterator if fetched.next_iterator is not None else await self._open()

    async def _with_children(self, page: Page, iterator: str) -> Page:
        """The page as it is; if it is the last one and names no children, with those that the listing shows.

        A page of a shard that is open after all gets the iterator that was just used up, to say that more follows. So
        does one that was the first to speak of the end: an open shard may have been said to end, and then have closed
        before it was listed. Kinesis names the children on the last page; who does not must say twice that it is.
        """
        if page.next_iterator is not None or page.child_shards:
            self._is_end_said = False
            return page
        children = await self._confirm_end()
        is_believed = children is not None and self._is_end_said and not page.records
        self._is_end_said = children is not None
        if children is None or not is_believed:
            return msgspec.structs.replace(page, next_iterator=iterator)
        return msgspec.structs.replace(page, child_shards=children)

    async def _fetch(self, iterator: str) -> Page:
        page: Page = await self._retrying()(self._read, iterator)
        return self._checked(page)

    def _checked(self, page: Page) -> Page:
        """Look for the record that must come first, and drop what was fetched before."""
        is_at_tip = page.millis_behind_latest == 0 or page.next_iterator is None
        if self._anchor is not None and (page.records or is_at_tip):
            anchor, self._anchor = self._anchor, None
            first = page.records[0].sequence_number if page.records else "the tip"
            if first != anchor and (self._fetched is not None or self._may_have_gap):
                self._emit(
                    RecordsMissing(
                        shard_id=self._shard_id,
                        after=anchor,
                        before=first,
                        reason="the record at this place was trimmed before what follows it was read",
                    )
                )
        if self._fetched is not None and page.records:
            fetched = int(self._fetched)
            if int(page.records[0].sequence_number) <= fetched:
                return msgspec.structs.replace(page, records=_after(page.records, fetched))
        return page

    async def _open(self) -> str:
        if self._fetched is not None:
            self._place = ReadFrom("AT_SEQUENCE_NUMBER", sequence_number=self._fetched)
            self._anchor = self._fetched
        iterator: str = await self._retrying()(self._try_to_open)
        return iterator

    async def _try_to_open(self) -> str:
        with self._pulse.attempting():
            return await self._stream.open(self._shard_id, self._place)

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
        while (wait := self._pace.seconds_to_wait(loop.time())) > 0:
            await self._sleep(wait)

    async def _sleep(self, seconds: float) -> None:
        with self._pulse.waiting():
            await self._sleep_for(seconds)

    def _retrying(self) -> tenacity.AsyncRetrying:
        # a permission that was there and is gone may come back; one that never was is a mistake to be told of
        errors = (*_TRANSIENT, AccessDenied) if self._has_read.is_set() else _TRANSIENT
        return retrying(*errors, pause=_PAUSE, on_retry=self._note, sleep=self._sleep)

    def _note(self, error: BaseException, attempt: int, _pause: float) -> None:
        # beside any other reader of the shard a throttle now and then is no trouble
        is_usual = isinstance(error, Throttled) and attempt <= USUAL_THROTTLES
        level: Level = "debug" if is_usual else "warning"
        self._emit(ServiceTrouble(level=level, operation="read", reason=str(error), shard_id=self._shard_id))
        if isinstance(error, StreamNotFound):
            self._report_missing()


def _after(records: list[Record], sequence_number: int) -> list[Record]:
    return [record for record in records if int(record.sequence_number) > sequence_number]
