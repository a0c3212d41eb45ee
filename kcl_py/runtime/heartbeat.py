"""Keeps this worker's session: one beat for all its leases, and the deadline that follows (fleet.md, section 2)."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable

import tenacity

from kcl_py.core.session import Process, Session
from kcl_py.errors import TROUBLE, ConditionFailed, RowUnreadable, ServiceUnavailable, Throttled
from kcl_py.interfaces import LeaseTable
from kcl_py.retrying import Sleep, jittered, retrying

CLOCK_DRIFT = 0.05  # monotonic clocks may differ in rate by this much (guarantees.md, Words)


class SessionEnded(Exception):
    """The entry was revoked, deleted or overwritten: every lease of the session is lost."""


class Heartbeat:
    """One session from its first entry to its last beat."""

    def __init__(
        self,
        table: LeaseTable,
        *,
        worker_id: str,
        process: Process | None,
        failover_seconds: float,
        clock: Callable[[], float],
        leases_max: int | None = None,
        cpu_percents: Callable[[], tuple[float, ...]] = tuple,
        on_deadline: Callable[[float], None],
        on_landed: Callable[[], None] = lambda: None,
        on_trouble: Callable[[BaseException], None],
        sleep: Sleep = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self._table = table
        self._worker_id = worker_id
        self._process = process
        self._failover_seconds = failover_seconds
        self._clock = clock
        self._leases_max = leases_max
        self._cpu_percents = cpu_percents
        self._on_deadline = on_deadline
        self._on_landed = on_landed
        self._on_trouble = on_trouble
        self._sleep = sleep
        self._rng = rng or random.Random()
        self._lock = asyncio.Lock()
        self._is_leaving = False
        self._has_beaten = False  # an entry could be created, which does not mean that it may be updated
        self.session: Session  # as it is known to stand in the table
        self.deadline = 0.0  # no call into user code begins past it

    @property
    def key(self) -> str:
        """The owner string of this session."""
        return self.session.key

    async def join(self) -> None:
        """Write the entry of a new session, before any lease can be its own.

        Raises:
            AccessDenied, TableError: the table cannot be written.
        """
        sent_at = self._clock()
        while True:
            session = Session(
                key=f"{self._worker_id}@{self._rng.getrandbits(32):08x}",
                process=self._process,
                leases_max=self._leases_max,
                cpu_percents=self._cpu_percents(),
                updated_at_seconds=int(time.time()),
            )
            try:
                await self._retrying()(self._table.write_session, None, session)
            except ConditionFailed:
                # either our lost answer or, one time in 2^32, somebody else's: a new draw settles both, and an entry
                # that nobody beats is revoked in time
                continue
            async with self._lock:  # a beat of the session before may still be under way
                self.session = session
            self._extend(sent_at)
            return

    async def keep(self) -> None:
        """Beat three times per failover time, for ever.

        Raises:
            SessionEnded: the session is over.
        """
        while True:
            began = self._clock()
            await self.beat()
            # a fleet that was started at once does not beat at once for ever
            period_seconds = self._failover_seconds / 3 * self._rng.uniform(0.9, 1.0)
            await self._sleep(max(0.0, began + period_seconds - self._clock()))

    async def beat(self) -> None:
        """Beat once, trying the same beat until it is known to have landed.

        Raises:
            SessionEnded: the session is over.
        """
        async with self._lock:
            sent_at = self._clock()  # before the first sending: the deadline may only err on the safe side
            after = self.session.beaten(int(time.time()), self._cpu_percents())
            if self._is_leaving:
                after = after.leaving()
            self.session = await self._written(after)
            self._has_beaten = True
            self._extend(sent_at)

    async def leave(self) -> None:
        """Mark the entry, so that nothing is given to this worker any more.

        Raises:
            SessionEnded: the session is over.
        """
        self._is_leaving = True
        key = self.key
        while self.key == key and not self.session.is_leaving:
            await self.beat()

    async def delete(self) -> None:
        """Take the entry away; a session that is over already needs nothing."""
        async with self._lock:
            with contextlib.suppress(SessionEnded):
                await self._written(None)

    async def _written(self, after: Session | None) -> Session:
        """Write the entry and return it as it now stands."""
        while True:
            try:
                await self._retrying()(self._table.write_session, self.session, after)
            except ConditionFailed:
                try:
                    seen: Session | None = await self._retrying()(self._table.session, self.key)
                except RowUnreadable:
                    raise SessionEnded("its entry does not parse") from None
                if seen is None:
                    raise SessionEnded("its entry is gone") from None
                if seen.is_revoked:
                    raise SessionEnded("it was revoked") from None
                # nobody else beats under our key, so this is a write of ours whose answer was lost
                self.session = seen
                if after is not None and seen.beat >= after.beat:
                    return seen
            else:
                return after if after is not None else self.session

    def _extend(self, sent_at: float) -> None:
        self.deadline = sent_at + self._failover_seconds * (1 - CLOCK_DRIFT)
        self._on_deadline(self.deadline)
        self._on_landed()

    def _retrying(self) -> tenacity.AsyncRetrying:
        return retrying(
            # a permission that was there and is gone may come back; one that never was is a mistake to be told of
            *(TROUBLE if self._has_beaten else (Throttled, ServiceUnavailable)),
            pause=jittered(0.1, self._failover_seconds / 6),
            on_retry=lambda error, _attempt, _pause: self._on_trouble(error),
            sleep=self._sleep,
        )
