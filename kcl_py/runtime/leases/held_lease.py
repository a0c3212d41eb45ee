"""A lease that we hold, and the only way to change it: one lock, one conditional write, or LeaseLost.

An answer may be lost after the write took effect. Every attempt at one counter is remembered until the counter is
known to have moved, and a consistent read settles which of them landed (core.lease.settle). Once the row is seen to be
neither ours unchanged nor ours as written, the epoch is over for good, even if the row still names us.
"""

import asyncio
from collections.abc import Callable

import msgspec

from kcl_py.core.lease import Change, Lease, Settlement, settle
from kcl_py.errors import (
    TROUBLE,
    AccessDenied,
    ConditionFailed,
    CredentialsError,
    LeaseLost,
    RowUnreadable,
    ServiceUnavailable,
    Throttled,
)
from kcl_py.interfaces import LeaseTable
from kcl_py.retrying import Sleep, jittered, retrying

_PAUSE = jittered(0.1, 2.0)
_TRY_AGAIN = (*TROUBLE, ConditionFailed)
Transition = Callable[[Lease], Change]


class HeldLease:
    """One epoch of one lease, as the keeper holds it."""

    def __init__(
        self,
        table: LeaseTable,
        seen: Lease,
        *,
        is_session_live: Callable[[], bool],
        on_retry: Callable[[str, BaseException], None],
        on_recreated: Callable[[Lease], None],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """Begin with the row as last read; nothing is held until `pick_up` has written it.

        Args:
            table: where the row stands.
            seen: the row, by a consistent read.
            is_session_live: whether our own deadline is still ahead, so that nobody else can have taken the lease.
            on_retry: told the lease's key and the error before a write is tried again.
            on_recreated: told the row that was written anew after it had vanished.
            sleep: how to wait between attempts.
        """
        self._table = table
        self._is_session_live = is_session_live
        self._on_retry = on_retry
        self._on_recreated = on_recreated
        self._sleep = sleep
        self._lock = asyncio.Lock()
        self._attempts: list[Change] = []  # all at the counter of `lease`, none known to have landed or failed
        self._over = asyncio.Event()
        self.lease = seen
        self.fencing_token = 0  # the counter that the pick-up wrote; 0 = not picked up

    @property
    def is_over(self) -> bool:
        """True once the epoch has ended; it never begins again."""
        return self._over.is_set()

    async def wait_until_over(self) -> None:
        """Return when the epoch has ended."""
        await self._over.wait()

    async def look(self, *, is_patient: bool = False) -> bool:
        """Read the row, and note a hand-off that others opened or readdressed, which leaves the counter alone.

        Args:
            is_patient: read it after a write under way; else that is left to find out the same.

        Returns:
            False if the row is gone or was written by somebody else: the next change finds out what that means.
        """
        if self.is_over or (self._lock.locked() and not is_patient):
            return True
        async with self._lock:
            try:
                row = await self._table.lease(self.lease.key)
            except RowUnreadable:
                return False
            seen = (self.lease.counter, self.lease.effective_owner)
            if row is None or (row.counter, row.effective_owner) != seen:
                return False
            self.lease = msgspec.structs.replace(self.lease, owner=row.owner, checkpoint_owner=row.checkpoint_owner)
            return True

    async def pick_up(self, transition: Transition) -> Lease:
        """Take the lease; its counter is the new epoch's fencing token.

        Raises:
            LeaseLost: somebody else was first.
        """
        lease = await self.change(transition)
        self.fencing_token = lease.counter
        return lease

    async def change(self, transition: Transition) -> Lease:
        """Write one transition, trying again for as long as the epoch lasts; changes of one lease follow each other.

        Args:
            transition: makes the change from the lease as it stands; asked again if an earlier write of ours, whose
                answer was lost, turns out to have landed.

        Returns:
            The lease as written.

        Raises:
            LeaseLost: the epoch is over.
            ValueError: the transition refused.
        """
        async with self._lock:
            retry = retrying(
                *_TRY_AGAIN,
                pause=_PAUSE,
                on_retry=lambda error, _attempt, _pause: self._on_retry(self.lease.key, error),
                is_over=lambda: self.is_over,
                sleep=self._sleep,
            )
            tried: list[Change] = []  # by this call
            try:
                return await retry(self._try, transition, tried)
            except _TRY_AGAIN:
                raise LeaseLost(f"{self.lease.key}: the lease was lost while it was being written") from None

    def end(self) -> None:
        """The epoch is over: writes that still wait give up."""
        self._over.set()

    async def _try(self, transition: Transition, tried: list[Change]) -> Lease:
        if self.is_over:
            raise LeaseLost(f"{self.lease.key}: the epoch is over")
        if self._attempts and await self._is_settled_by(tried):
            return self.lease
        change = transition(self.lease)
        tried.append(change)
        self._attempts.append(change)
        try:
            await self._table.write(change)
        except ServiceUnavailable:
            raise  # it may have landed: the next try finds out
        except ConditionFailed:
            if await self._is_settled_by(tried):
                return self.lease
            raise
        except (Throttled, CredentialsError, AccessDenied):
            self._attempts.remove(change)
            raise
        return self._stands(change.after)

    def _stands(self, lease: Lease) -> Lease:
        self.lease = lease
        self._attempts.clear()
        return lease

    async def _is_settled_by(self, tried: list[Change]) -> bool:
        """Read the row and take from it what is certain; True if one of `tried` is what it says.

        Raises:
            LeaseLost: somebody else wrote it, or may have.
        """
        row = await self._row()
        if row is None and self.fencing_token and self._is_session_live():
            await self._recreate()
            return False
        if row is not None and row == self.lease.recreated():
            self._stands(row)  # we wrote it anew, and that answer was lost as well
            return False
        match settle(self._attempts, row):
            case Settlement.LANDED:
                assert row is not None
                is_given_away = row.effective_owner != self._attempts[0].before.effective_owner
                self._stands(row)
                if any(change.has_made(row) for change in tried):
                    return True
                if self.fencing_token and is_given_away:
                    self.end()
                    raise LeaseLost(f"{self.lease.key}: it was given away by a call that nobody waited for")
                return False
            case Settlement.NOT_LANDED:
                assert row is not None
                # a hand-off may have been opened, which leaves the counter alone: the next try names the owners as read
                self.lease = self._attempts[0].guarded_by(row).before
                return False
            case Settlement.LOST:
                self.end()
                raise LeaseLost(f"{self.lease.key}: another worker has it, or may have had it in between")

    async def _row(self) -> Lease | None:
        try:
            return await self._table.lease(self.lease.key)
        except RowUnreadable as odd:
            self.end()
            raise LeaseLost(str(odd)) from None

    async def _recreate(self) -> None:
        """Write the row again: it vanished under a live session, from which nobody takes a lease.

        It may itself have given the lease away, by a write whose answer was lost, before the row vanished. Then the
        new row fences whoever picked it up; what that one had checkpointed is delivered again, and nothing is skipped.
        """
        lease = self.lease.recreated()
        if not await self._table.create(lease):
            self.end()
            raise LeaseLost(f"{self.lease.key}: its row was deleted, and made anew by somebody else")
        self._on_recreated(self._stands(lease))
