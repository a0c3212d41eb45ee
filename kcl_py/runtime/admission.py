"""May this worker use this lease table? Decided before anything is written, and looked at again where a session begins
(fleet.md, sections 1 and 3).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from kcl_py.config import Config
from kcl_py.core.lease import Binding, Change, Lease
from kcl_py.core.shard import Shard
from kcl_py.core.table import TableKind
from kcl_py.errors import TROUBLE, ConditionFailed, RowUnreadable, TableRefused
from kcl_py.events import OddRowFound, ServiceTrouble, TableCreated, TableTakenOver
from kcl_py.interfaces import LeaseTable
from kcl_py.retrying import Sleep, jittered, retrying
from kcl_py.runtime.discovery import Discovery
from kcl_py.runtime.emitter import Emitter

Answer = TypeVar("Answer")
_SILENCE_FAILOVERS = 3
_LOOK_AGAIN = jittered(0.5, 10.0)
_FRESH_SECONDS = 2.0  # no table is deleted and restored in less, no stream deleted and made again


class Admission:
    """Looks at the table, refuses it or makes it ours."""

    def __init__(
        self,
        table: LeaseTable,
        discovery: Discovery,
        config: Config,
        *,
        clock: Callable[[], float],
        emit: Emitter,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._table = table
        self._discovery = discovery
        self._config = config
        self._clock = clock
        self._emit = emit
        self._sleep = sleep
        self._looked_at = float("-inf")

    async def admit(self, listing: tuple[Shard, ...]) -> None:
        """Check the table against the stream's shards, and adopt the rows that belong to nobody yet.

        Raises:
            TableRefused: it is another fleet's, stream's, application's or restored table; nothing was changed.
        """
        self._looked_at = self._clock()
        snapshot = await self._table.snapshot()
        for odd in snapshot.odd_rows:
            self._emit(OddRowFound(key=odd.key, reason=odd.reason))
        if snapshot.kind is TableKind.FRESH:
            self._emit(TableCreated(table=self._config.table_name))
            return
        self._check_bindings(snapshot.leases)
        self._check_checkpoints(snapshot.leases, listing)
        is_foreign = snapshot.kind is not TableKind.NATIVE
        if is_foreign:
            await self._wait_for_silence(snapshot.kind)
        strays = [lease for lease in snapshot.leases if is_foreign or lease.binding != self._binding]
        for lease in strays:
            await self._adopt(lease)
        if is_foreign:
            self._emit(TableTakenOver(table=self._config.table_name, leases=len(strays), kind=snapshot.kind.value))

    async def check_again(self) -> None:
        """Make sure, where a session begins, that table and stream are still those that were admitted (law S10).

        Asked before an entry is written, and after it was written at last, which may take minutes.

        Raises:
            TableRefused: it is another table of its name: whatever is in it, this worker's leases are not.
            StreamNotFound: the stream is gone, or another one has taken its name.
        """
        if self._is_stale(self._looked_at):
            looked_at = self._clock()
            self._check_identity(self._binding.table_id, await self._ask("look at the table", self._table.prepare))
            self._looked_at = looked_at
        if self._is_stale(self._discovery.described_at):
            await self._ask("describe the stream", self._discovery.check_stream)

    def _is_stale(self, looked_at: float) -> bool:
        return self._clock() - looked_at >= _FRESH_SECONDS

    async def _ask(self, operation: str, question: Callable[[], Awaitable[Answer]]) -> Answer:
        retry = retrying(
            *TROUBLE,
            pause=_LOOK_AGAIN,
            on_retry=lambda error, *_: self._emit(ServiceTrouble(operation=operation, reason=str(error))),
            sleep=self._sleep,
        )
        return await retry(question)

    @property
    def _binding(self) -> Binding:
        return self._discovery.binding

    async def prove_access(self, session: str) -> None:
        """Make every kind of read that a running worker makes: later, a refusal would be taken for trouble that passes.

        Raises:
            AccessDenied: names the IAM action.
        """
        with contextlib.suppress(RowUnreadable):
            await self._table.leader_lock()
        await self._table.sessions([session])
        await self._table.lease_keys_of(session)

    def _check_bindings(self, leases: tuple[Lease, ...]) -> None:
        table = self._config.table_name
        for binding in {lease.binding for lease in leases if lease.binding is not None}:
            if binding.stream != self._binding.stream:
                raise TableRefused(
                    f"lease table {table} belongs to stream {binding.stream}, and this worker reads "
                    f"{self._binding.stream} (ARN@creation time): give this stream an application or a table of its "
                    "own, or delete the table if the old stream is gone for good"
                )
            if binding.application != self._binding.application:
                raise TableRefused(
                    f"lease table {table} belongs to application {binding.application}, not "
                    f"{self._binding.application}: give every application a table of its own"
                )
            self._check_identity(binding.table_id, self._binding.table_id)

    def _check_identity(self, was: str | None, now: str | None) -> None:
        if None not in (was, now) and was != now and not self._config.accept_restored_table:
            raise TableRefused(
                f"lease table {self._config.table_name} was restored from a backup: its checkpoints lie in the past, "
                "and records after them will be processed again; say --accept-restored-table to go on"
            )

    def _check_checkpoints(self, leases: tuple[Lease, ...], listing: tuple[Shard, ...]) -> None:
        """An unbound row is adopted only if its checkpoint can be one of this stream's."""
        first = {shard.shard_id: int(shard.starting_sequence_number) for shard in listing}
        for lease in leases:
            fits = not lease.checkpoint.is_number or int(lease.checkpoint.sequence_number) >= first.get(lease.key, 0)
            if lease.binding is None and not fits:
                raise TableRefused(
                    f"lease table {self._config.table_name}: the checkpoint of {lease.key} lies before that shard "
                    "began, so it comes from another stream: use the table of this stream, or delete the row"
                )

    async def _wait_for_silence(self, kind: TableKind) -> None:
        table = self._config.table_name
        if not self._config.take_over:
            raise TableRefused(
                f"lease table {table} belongs to {kind.value}: stop its workers and say --take-over to go on from "
                "their checkpoints, or choose another table with --table-name"
            )
        before = await self._table.foreign_pulse()
        until = self._clock() + _SILENCE_FAILOVERS * self._config.failover_seconds
        while self._clock() < until:
            await self._sleep(min(self._config.failover_seconds / 2, max(0.05, until - self._clock())))
            moved = _moved(before, await self._table.foreign_pulse())
            if moved:
                raise TableRefused(
                    f"lease table {table} is in use by {kind.value} ({moved} changed just now): stop those workers "
                    "first; they must stay stopped after --take-over"
                )

    async def _adopt(self, lease: Lease) -> None:
        row: Lease | None = lease
        while row is not None and (row.binding != self._binding or not row.is_owner_native):
            try:
                await self._table.write(self._adoption(row))
            except ConditionFailed:
                row = await self._table.lease(row.key)
            else:
                return

    def _adoption(self, row: Lease) -> Change:
        return self._discovery.bound(row) if row.is_owner_native else row.taken_over(self._binding)


def _moved(before: Mapping[str, str], after: Mapping[str, str]) -> str | None:
    changed = [key for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)]
    return changed[0] if changed else None
