"""The shared lease table as one worker's calls reach it; every write is noted with the row that it met."""

from collections.abc import Awaitable, Callable
from typing import Any

from kcl_py.core.leadership import LeaderLock
from kcl_py.core.lease import Change, Lease
from kcl_py.core.session import Session
from kcl_py.local.memory_lease_table import MemoryLeaseTable
from tests.simulation.facts import EntryWritten, LockWritten, Log, RowWritten


class WatchedTable:
    """A `LeaseTable`. The table in memory never waits inside a call, so what is noted is one instant."""

    def __init__(self, table: MemoryLeaseTable, worker: str, log: Log) -> None:
        self._table = table
        self._worker = worker
        self._log = log

    def __getattr__(self, operation: str) -> Callable[..., Awaitable[Any]]:
        call: Callable[..., Awaitable[Any]] = getattr(self._table, operation)
        return call

    async def create(self, lease: Lease) -> bool:
        stood = await self._row(lease.key)
        is_created = await self._table.create(lease)
        if is_created:
            self._note(lease.key, None, stood, lease)
        return is_created

    async def write(self, change: Change) -> None:
        key = change.before.key
        stood = await self._row(key)
        await self._table.write(change)
        self._note(key, change.before, stood, await self._row(key), is_counter_free=change.is_counter_free)

    async def delete(self, lease: Lease) -> None:
        stood = await self._row(lease.key)
        await self._table.delete(lease)
        self._note(lease.key, lease, stood, None)

    async def write_session(self, before: Session | None, after: Session | None) -> None:
        await self._table.write_session(before, after)
        if after is not None:
            fact = EntryWritten(
                key=after.key, beat=after.beat, is_revoked=after.is_revoked, is_leaving=after.is_leaving
            )
        else:
            assert before is not None
            fact = EntryWritten(key=before.key, beat=None)
        self._log.note(self._worker, fact)

    async def write_leader_lock(self, before: LeaderLock | None, after: LeaderLock | None) -> None:
        await self._table.write_leader_lock(before, after)
        owner = None if after is None or after.is_released else after.owner
        self._log.note(self._worker, LockWritten(owner=owner, standby=after.standby if after else None))

    async def _row(self, key: str) -> Lease | None:
        return await self._table.lease(key)

    def _note(
        self,
        key: str,
        claimed: Lease | None,
        stood: Lease | None,
        stands: Lease | None,
        *,
        is_counter_free: bool = False,
    ) -> None:
        self._log.note(
            self._worker,
            RowWritten(key=key, claimed=claimed, stood=stood, stands=stands, is_counter_free=is_counter_free),
        )
