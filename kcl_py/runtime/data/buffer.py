"""Reads ahead within a byte budget, then waits; never drops (law S12)."""

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec

from kcl_py.interfaces import Page

PAGES_MAX = 2  # for one shard: one in the processor's hands and one ready keep it busy
_FIRST_PAGE_BYTES = 1 << 20  # what a page is taken to weigh before one was seen: a second's worth of a shard's writes


class _Turn(msgspec.Struct, eq=False):
    size: int
    holds_nothing: Callable[[], bool]
    granted: asyncio.Future[None]


class ByteBudget:
    """What all shards of one worker may hold together, bytes.

    Room is reserved before a page is fetched, in the order of asking. A shard that holds nothing may fetch one page
    beyond the budget as long as nobody else has, so that shards whose calls hang with full hands do not starve it.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._waiting: deque[_Turn] = deque()
        self.used = 0  # bytes held or reserved; at most bytes_max and one page for each fetch in flight

    async def reserve(self, size: int, *, holds_nothing: Callable[[], bool]) -> None:
        """Wait for room.

        Args:
            size: bytes.
            holds_nothing: whether whoever asks has nothing in its hands; asked whenever there is room for such a one,
                because who waits may have been done meanwhile with what it held.
        """
        turn = _Turn(size, holds_nothing, asyncio.get_running_loop().create_future())
        self._waiting.append(turn)
        self._admit()
        try:
            await turn.granted
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
                self._admit()  # it may have been first, and too large
            else:
                self.release(size)
            raise

    def release(self, size: int) -> None:
        """Give room back; a negative size says that a page weighs more than was reserved."""
        self.used -= size
        self._admit()

    def _admit(self) -> None:
        is_somebody_first = False
        for turn in tuple(self._waiting):
            if turn.granted.cancelled():
                continue  # whoever asked goes, and takes it back
            fits = self.used == 0 or self.used + turn.size <= self._bytes_max
            if (fits and not is_somebody_first) or (self.used <= self._bytes_max and turn.holds_nothing()):
                self._waiting.remove(turn)
                self.used += turn.size
                turn.granted.set_result(None)
            else:
                is_somebody_first = True  # first come, first served; only the empty-handed may pass


class PageBuffer:
    """The pages of one shard between poller and consumer. Closing it drops what nobody has taken."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._pages: deque[Page] = deque()
        self._in_hand = 0  # bytes of the page that the consumer works on
        self._expected_bytes = _FIRST_PAGE_BYTES
        self._changed = asyncio.Event()
        self._is_closed = False

    @property
    def is_empty(self) -> bool:
        """True if whatever was put was taken, and is done with."""
        return not self._pages and not self._in_hand

    async def reserve(self) -> int:
        """Wait until a page may be fetched.

        Returns:
            The bytes that were reserved for it.
        """
        while len(self._pages) + bool(self._in_hand) >= PAGES_MAX and not self._is_closed:
            self._changed.clear()
            await self._changed.wait()
        reserved = self._expected_bytes
        await self._budget.reserve(reserved, holds_nothing=lambda: self.is_empty)
        return reserved

    def put(self, page: Page, reserved: int) -> None:
        """Queue a page in place of its reservation, unless it tells nothing."""
        if self._is_closed or not (page.records or page.next_iterator is None):
            # who reads on at the tip is not kept waiting for the room that its catching up took
            self._expected_bytes = min(self._expected_bytes, _FIRST_PAGE_BYTES)
            self._budget.release(reserved)
            return
        weight = _weight(page)
        self._expected_bytes = max(weight, 1)
        self._budget.release(reserved - weight)
        self._pages.append(page)
        self._changed.set()

    def give_back(self, reserved: int) -> None:
        """The page that room was reserved for will not come."""
        self._budget.release(reserved)

    async def get(self) -> Page | None:
        """Take the next page, letting go of the one taken before; None once the buffer is closed."""
        self._drop_in_hand()
        while not self._pages:
            if self._is_closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        page = self._pages.popleft()
        self._in_hand = _weight(page)
        return page

    def close(self) -> None:
        """No page is wanted any more: whoever waits is woken, and what was read ahead is dropped."""
        self._is_closed = True
        while self._pages:
            self._budget.release(_weight(self._pages.popleft()))
        self._changed.set()

    def release_all(self) -> None:
        """Close, and let go of the page in hand too."""
        self.close()
        self._drop_in_hand()

    def _drop_in_hand(self) -> None:
        if self._in_hand:
            size, self._in_hand = self._in_hand, 0
            self._budget.release(size)
            self._changed.set()


def _weight(page: Page) -> int:
    return max(page.size_bytes, 1)
