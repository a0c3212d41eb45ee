"""How far one shard was fetched, whichever way it is read: where to go on, and what must be true there.

The position is kept as the last record *fetched into the buffer*, never as an iterator or a subscription: whatever
expires, ends or is refused is replaced by a read that begins at that record, inclusively. If the record is not there
any more, records behind it may be gone as well, and that is said aloud (a gap is never silent).

Where the last page is so young that nothing behind it can have left the stream's retention, the record need not be
looked for, and a subscription goes on right after the place that the page named, which moves on also when no records
come.
"""

from collections.abc import Awaitable, Callable

import msgspec

from kcl_py.core.position import ReadFrom
from kcl_py.core.record import Record
from kcl_py.core.shard import ChildShard
from kcl_py.events import RecordsMissing
from kcl_py.interfaces import Page
from kcl_py.runtime.emitter import Emitter

SURELY_KEPT_SECONDS = 12 * 3600.0  # half of the shortest retention that a stream can have


class ShardPosition:
    """Of one epoch; whoever reads the shard moves it on."""

    def __init__(
        self,
        shard_id: str,
        start: ReadFrom,
        *,
        confirm_end: Callable[[], Awaitable[tuple[ChildShard, ...] | None]],
        may_have_gap: bool,
        done: str | None = None,
        emit: Emitter,
        clock: Callable[[], float],
    ) -> None:
        """Stand where the epoch begins, or where it goes on after it stood still.

        Args:
            shard_id: the shard.
            start: the place to begin; one given by a sequence number is inclusive.
            confirm_end: asked when the service gives no place to go on and names no children; answers with the
                children, or None if the shard is open after all.
            may_have_gap: whether records after the start may have been trimmed, if the first one is not there.
            done: the last place that is done, if the record to start at is not.
            emit: where events go.
            clock: shared with the keeper, includes suspend, seconds.
        """
        self.shard_id = shard_id
        self._start = start
        self._confirm_end = confirm_end
        self._may_have_gap = may_have_gap
        self._done = done
        self._emit = emit
        self._clock = clock
        self._anchor = start.sequence_number  # must come first, or something was trimmed; None once it was looked for
        self._fetched: str | None = None  # sequence number of the last record put into the buffer
        self._continuation: str | None = None  # what a subscription goes on after; at or behind `_fetched`
        self._complete_until = float("-inf")  # what arrived before this instant of the clock was fetched
        self._is_end_said = False  # the last page was the first of two that speak of the end and name no children

    @property
    def is_sure(self) -> bool:
        """True if nothing that was not fetched yet can have been trimmed."""
        return self._clock() - self._complete_until < SURELY_KEPT_SECONDS

    def to_poll(self) -> ReadFrom:
        """Where to open an iterator."""
        if self._fetched is None:
            return self._start
        if not self.is_sure:
            self._anchor = self._fetched
        return ReadFrom("AT_SEQUENCE_NUMBER", sequence_number=self._fetched)

    def to_subscribe(self) -> ReadFrom:
        """Where to begin a subscription."""
        after = self._continuation or self._fetched
        is_anchored = self._anchor is not None and self._fetched is not None  # that record is to be seen first
        if after is None or is_anchored or not self.is_sure:
            return self.to_poll()
        return ReadFrom("AFTER_SEQUENCE_NUMBER", sequence_number=after)

    def forget_continuation(self) -> bool:
        """The service refuses it: go on at the last record; False if there was none to forget."""
        continuation, self._continuation = self._continuation, None
        return continuation is not None

    def checked(self, page: Page) -> Page:
        """Look for the record that must come first, and drop what was fetched before."""
        is_at_tip = page.millis_behind_latest == 0 or page.next_iterator is None
        if self._anchor is not None and (page.records or is_at_tip):
            anchor, self._anchor = self._anchor, None
            first = page.records[0].sequence_number if page.records else "the tip"
            if first != anchor and (self._fetched is not None or self._may_have_gap):
                self._emit(
                    RecordsMissing(
                        shard_id=self.shard_id,
                        after=self._done if self._fetched is None and self._done else anchor,
                        before=first,
                        reason="the record at this place was trimmed before what follows it was read",
                    )
                )
        if self._fetched is not None and page.records:
            fetched = int(self._fetched)
            if int(page.records[0].sequence_number) <= fetched:
                return msgspec.structs.replace(page, records=_after(page.records, fetched))
        return page

    async def with_children(self, page: Page, going_on: str) -> Page:
        """The page as it is; if it is the last one and names no children, with those that the listing shows.

        A page of a shard that is open after all gets `going_on` in place of an iterator, to say that more follows. So
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
            return msgspec.structs.replace(page, next_iterator=going_on)
        return msgspec.structs.replace(page, child_shards=children)

    def fetched(self, page: Page, asked_at: float, continuation: str | None = None) -> None:
        """A page is in the buffer, or was empty.

        Args:
            page: without what was fetched before.
            asked_at: an instant, on the clock, before which the service cannot have made the page.
            continuation: what a subscription goes on after, if the page says so.
        """
        if page.records:
            self._fetched = page.records[-1].sequence_number
        if continuation is not None or page.records:
            self._continuation = continuation
        if page.millis_behind_latest is not None:
            self._complete_until = asked_at - page.millis_behind_latest / 1_000


def _after(records: list[Record], sequence_number: int) -> list[Record]:
    return [record for record in records if int(record.sequence_number) > sequence_number]
