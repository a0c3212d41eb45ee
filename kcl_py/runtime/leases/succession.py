"""Who gets what a leaving worker lets go (fleet.md, section 7).

The fleet is read once, while the batches in flight are finished, and planned as if this worker were gone already. Right
before a lease is passed on, its heir's entry is read again. What others assigned to us meanwhile is found by a last,
consistent look; what went to a worker that left at the same time is found by the last look of whoever wrote it.
"""

import asyncio
from collections.abc import Callable

import msgspec

from kcl_py.core.balance import Fleet, LeaseView, Strategy, WorkerView
from kcl_py.core.lease import Change, Lease
from kcl_py.core.table import TableSnapshot
from kcl_py.errors import TROUBLE, ConditionFailed, RowUnreadable
from kcl_py.events import LeaseGivenUp, LeaseHandedOver, ServiceTrouble
from kcl_py.interfaces import LeaseTable
from kcl_py.runtime.emitter import Emitter


async def may_receive(table: LeaseTable, session: str) -> bool:
    """True if a session has an entry, is not revoked and is not leaving; also if the table does not answer just now."""
    try:
        entry = await table.session(session)
    except RowUnreadable:
        return False
    except TROUBLE:
        return True  # it was chosen as one that lives; if it does not, the leader assigns anew
    return entry is not None and not entry.is_revoked and not entry.is_leaving


class Succession:
    """One departure: made when the worker begins to leave."""

    def __init__(
        self,
        table: LeaseTable,
        strategy: Strategy,
        *,
        me: str,
        seems_dead: Callable[[str], bool],
        emit: Emitter,
    ) -> None:
        """Begin; `read` and `open` have to follow.

        Args:
            table: the lease table.
            strategy: the plan's.
            me: our session's key.
            seems_dead: whether a session was seen to be silent, if anybody watched.
            emit: where events go.
        """
        self._table = table
        self._strategy = strategy
        self.me = me
        self._seems_dead = seems_dead
        self._emit = emit
        self._fleet: Fleet | None = None  # without us: our leases are free
        self._heirs: dict[str, str] = {}
        self._is_open = asyncio.Event()

    async def read(self) -> None:
        """Read the fleet and plan. Without an answer nobody inherits: leases are given up, and the leader assigns."""
        try:
            self._see(await self._table.snapshot())
        except TROUBLE as trouble:
            self._emit(ServiceTrouble(operation="leave", reason=str(trouble)))

    def open(self) -> None:
        """Leases may be passed on from now on."""
        self._is_open.set()

    async def may_receive(self, session: str) -> bool:
        """True if the receiver of an open hand-off can have the lease."""
        return session != self.me and await may_receive(self._table, session)

    async def heir_of(self, lease: Lease) -> str | None:
        """Who is to have a lease of ours; None if nobody is there."""
        await self._is_open.wait()
        while (heir := self._heirs.get(lease.key) or self._any_heir(lease)) is not None:
            if await may_receive(self._table, heir):
                return heir
            await self._exclude(heir)
        return None

    async def last_look(self) -> None:
        """Pass on what names us, or a worker that is gone or leaving, and is not held."""
        snapshot = await self._table.snapshot()
        self._see(snapshot)
        staying = {session.key for session in snapshot.sessions if not session.is_revoked and not session.is_leaving}
        for lease in snapshot.leases:
            if not lease.is_finished and lease.is_owner_native and self._is_left_behind(lease, staying - {self.me}):
                await self._pass_on(lease)

    def _is_left_behind(self, lease: Lease, staying: set[str]) -> bool:
        if lease.effective_owner == self.me:
            return True
        is_nobodys = lease.owner is not None and lease.held_by is None and lease.checkpoint_owner is None
        return is_nobodys and lease.owner not in staying

    async def _pass_on(self, lease: Lease) -> None:
        heir = await self.heir_of(lease)
        change: Change = lease.released() if heir is None else lease.assigned(heir)
        try:
            await self._table.write(change)
        except ConditionFailed:
            return  # whoever wrote it takes care of it
        if heir is None:
            self._emit(LeaseGivenUp(shard_id=lease.key, checkpoint=str(lease.checkpoint)))
        else:
            self._emit(LeaseHandedOver(shard_id=lease.key, to=heir, checkpoint=str(lease.checkpoint)))

    def _see(self, snapshot: TableSnapshot) -> None:
        workers = tuple(
            WorkerView(key=session.key, leases_max=session.leases_max)
            for session in snapshot.sessions
            if session.key != self.me
            and not (session.is_revoked or session.is_leaving or self._seems_dead(session.key))
        )
        keys = {worker.key for worker in workers}
        leases = tuple(
            LeaseView(key=lease.key, owner=lease.owner, throughput_kbps=lease.throughput_kbps or 0.0)
            for lease in snapshot.leases
            if not lease.is_finished and lease.owner in keys
        )
        ours = tuple(
            LeaseView(key=lease.key, throughput_kbps=lease.throughput_kbps or 0.0)
            for lease in snapshot.leases
            if not lease.is_finished and lease.effective_owner == self.me
        )
        self._fleet = Fleet(workers=workers, leases=(*leases, *ours), is_settled=False)
        self._plan()

    def _plan(self) -> None:
        assert self._fleet is not None
        self._heirs = {move.key: move.to for move in self._strategy(self._fleet)}

    def _any_heir(self, lease: Lease) -> str | None:
        """For a lease that came after the reading; or None, because nobody has room."""
        if self._fleet is None or any(view.key == lease.key for view in self._fleet.leases):
            return None
        self._fleet = msgspec.structs.replace(self._fleet, leases=(*self._fleet.leases, LeaseView(key=lease.key)))
        self._plan()
        return self._heirs.get(lease.key)

    async def _exclude(self, session: str) -> None:
        """It left or died since: plan without it, and without all that did. What they own is not ours to plan."""
        assert self._fleet is not None
        if all(worker.key != session for worker in self._fleet.workers):
            return
        gone = {session, *await self._gone()}
        self._fleet = msgspec.structs.replace(
            self._fleet,
            workers=tuple(worker for worker in self._fleet.workers if worker.key not in gone),
            leases=tuple(view for view in self._fleet.leases if view.owner not in gone),
        )
        self._plan()

    async def _gone(self) -> set[str]:
        """Where one has left many may have: a whole fleet that stops is not asked one by one."""
        assert self._fleet is not None
        keys = {worker.key for worker in self._fleet.workers}
        try:
            entries = await self._table.sessions(keys)
        except TROUBLE:
            return set()
        return keys - {entry.key for entry in entries if not entry.is_revoked and not entry.is_leaving}
