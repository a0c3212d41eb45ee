"""What this worker was assigned: asked of the index about once a second, read consistently, picked up if it may start.

The index may lag behind the table, or not exist yet. So whatever it says is checked against the row, a held lease that
its answer lacks is read at once, and rows that we have reason to believe are ours are read without asking it.
"""

from collections.abc import Iterable

from kcl_py.core.lease import Lease
from kcl_py.errors import ConditionFailed, RowUnreadable
from kcl_py.events import OddRowFound
from kcl_py.interfaces import LeaseTable
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.in_parallel import in_parallel
from kcl_py.runtime.leases.gatekeeper import Gatekeeper
from kcl_py.runtime.leases.holdings import Holdings

READS_AT_ONCE = 8


class Intake:
    """The way of leases into a worker, and the eye on those that it holds."""

    def __init__(self, table: LeaseTable, holdings: Holdings, gatekeeper: Gatekeeper, emit: Emitter) -> None:
        self._table = table
        self._holdings = holdings
        self._gatekeeper = gatekeeper
        self._emit = emit
        self._finished: set[str] = set()  # rows that name us and are done: nothing to pick up, ever
        self._odd: set[str] = set()  # rows that do not parse, told once
        self._arriving: set[str] = set()  # a hand-off to us is open

    @property
    def is_awaiting_hand_off(self) -> bool:
        """True while a hand-off to us is open: it may complete at any moment."""
        return bool(self._arriving)

    async def look(self, me: str) -> None:
        """Ask the index, check what it says and what it does not say, and pick up what may start."""
        named = frozenset(await self._table.lease_keys_of(me))
        self._finished &= named
        self._arriving.clear()
        held = self._holdings.keys
        self._holdings.look_at(held - named)
        wanted = ((named | self._holdings.loose) - held) - self._finished
        self._gatekeeper.forget_others(wanted)
        await self._consider(wanted - self._gatekeeper.resting, me)

    async def look_at_arriving(self, me: str) -> None:
        """Read only the rows whose hand-off to us is open."""
        arriving = frozenset(self._arriving) - self._holdings.keys
        self._arriving.clear()
        await self._consider(arriving, me)

    async def take(self, row: Lease, me: str) -> bool:
        """Begin to pick a lease up, if its shard may start and no call of an earlier epoch of it can still run here.

        Returns:
            True if so.

        Args:
            row: as read consistently: ours, unowned, or owned by a session that is revoked or has no entry.
            me: our session's key.
        """
        if not self._holdings.has_room_for(row.key) or not await self._gatekeeper.may_start(row):
            return False
        self._holdings.pick_up(row, me)
        return True

    async def _consider(self, keys: Iterable[str], me: str) -> None:
        await in_parallel((self._consider_one(key, me) for key in sorted(keys)), at_once=READS_AT_ONCE)

    async def _consider_one(self, key: str, me: str) -> None:
        row = await self._row(key)
        if row is not None:
            await self._settle(row, me)

    async def _row(self, key: str) -> Lease | None:
        try:
            row = await self._table.lease(key)
        except RowUnreadable as odd:
            if key not in self._odd:
                self._odd.add(key)
                self._emit(OddRowFound(key=key, reason=str(odd)))
            return None
        if row is None:
            self._holdings.is_settled(key)
        return row

    async def _settle(self, row: Lease, me: str) -> None:
        """Do what the row says about us."""
        if row.is_finished or row.effective_owner != me:
            self._holdings.is_settled(row.key)
            if row.is_finished:
                self._finished.add(row.key)
            elif row.owner == me:
                self._arriving.add(row.key)
        elif row.checkpoint_owner is not None:
            await self._complete(row)
        else:
            await self.take(row, me)

    async def _complete(self, row: Lease) -> None:
        """A hand-off from us was opened after we had lost the lease: there is nothing to finish."""
        if self._holdings.has_room_for(row.key):
            try:
                await self._table.write(row.handed_over())
            except ConditionFailed:
                return  # it changed again: the next look sees it
            self._holdings.is_settled(row.key)
