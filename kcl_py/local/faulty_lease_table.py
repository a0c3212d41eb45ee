"""Faults for the LeaseTable door, by rule: the one place where tests and the simulation make a table misbehave."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Literal, TypeVar

import msgspec

from kcl_py.core.leadership import LeaderLock
from kcl_py.core.lease import Change, Lease
from kcl_py.core.session import Session
from kcl_py.core.table import TableSnapshot
from kcl_py.errors import CredentialsError, ServiceUnavailable, Throttled
from kcl_py.interfaces import LeaseTable
from kcl_py.local.memory_lease_table import LOCK_KEY

Operation = Literal[
    "prepare",
    "equip",
    "snapshot",
    "lease",
    "lease_keys_of",
    "create",
    "write",
    "delete",
    "session",
    "write_session",
    "sessions",
    "leader_lock",
    "write_leader_lock",
    "foreign_pulse",
]
Answer = TypeVar("Answer")


class Fault(msgspec.Struct, kw_only=True):
    """A rule: what goes wrong, and with which calls.

    Attributes:
        kind: `fail` (nothing is done, no answer), `lose_answer` (it is done, no answer), `throttle` (nothing is done,
            told to slow down), `expire` (nothing is done, the credentials are refused), `delay` (done `seconds` late),
            `delay_answer` (done at once, answered `seconds` late), `stale_index` (`lease_keys_of` answers what it
            answered the time before).
        operation: the door's method; None for every one.
        key: the row, entry or owner that the call is about; None for every one.
        nth: hits only this matching call, counted from 1; None for all.
        times: hits at most so many calls; None for no limit.
        seconds: how late, for the delays.
    """

    kind: Literal["fail", "lose_answer", "throttle", "expire", "delay", "delay_answer", "stale_index"]
    operation: Operation | None = None
    key: str | None = None
    nth: int | None = None
    times: int | None = None
    seconds: float = 0.0
    matches: int = 0  # counted by the table
    hits: int = 0  # counted by the table

    def strikes(self, operation: str, key: str | None) -> bool:
        """Count a call; True if this rule is for it."""
        if self.operation not in (None, operation) or self.key not in (None, key):
            return False
        if self.kind == "stale_index" and operation != "lease_keys_of":
            return False
        self.matches += 1
        if self.nth not in (None, self.matches) or self.hits == self.times:
            return False
        self.hits += 1
        return True


class Call(msgspec.Struct):
    """One call, and what it cost: DynamoDB bills each row that is read or written, a refused write too.

    Attributes:
        operation: the door's method.
        key: the row, entry or owner that it is about, if it is about one.
        rows: how many items of the table it read or wrote; an absent item is billed like a small one.
        index_rows: how many entries of the index it read or wrote; a change of owner deletes one and puts another.
    """

    operation: Operation
    key: str | None
    rows: int = 0
    index_rows: int = 0


class FaultyLeaseTable:
    """A lease table seen through a bad network: one per worker, around a table that they share.

    Args:
        table: the table behind it.
        faults: rules, tried in order; the first that strikes decides.

    Attributes:
        faults: may be changed while the table is in use.
        calls: every call so far, in order.
    """

    def __init__(self, table: LeaseTable, faults: Iterable[Fault] = ()) -> None:
        self.faults = list(faults)
        self.calls: list[Call] = []
        self._table = table
        self._last_keys: dict[str, tuple[str, ...]] = {}
        self._lock = threading.Lock()

    async def prepare(self) -> str | None:
        """See `LeaseTable.prepare`."""
        return await self._through("prepare", None, self._table.prepare, rows=0)

    async def equip(self) -> None:
        """See `LeaseTable.equip`."""
        await self._through("equip", None, self._table.equip, rows=0)

    async def snapshot(self) -> TableSnapshot:
        """See `LeaseTable.snapshot`."""
        return await self._through("snapshot", None, self._table.snapshot, rows=_size)

    async def lease(self, key: str) -> Lease | None:
        """See `LeaseTable.lease`."""
        return await self._through("lease", key, lambda: self._table.lease(key))

    async def lease_keys_of(self, owner: str) -> tuple[str, ...]:
        """See `LeaseTable.lease_keys_of`."""
        call, fault = self._begun("lease_keys_of", owner)
        if fault is not None and fault.kind == "stale_index":
            keys = self._last_keys.get(owner, ())
        else:
            keys = await _suffered(fault, "lease_keys_of", lambda: self._table.lease_keys_of(owner))
        self._last_keys[owner] = keys
        call.index_rows = len(keys)
        return keys

    async def create(self, lease: Lease) -> bool:
        """See `LeaseTable.create`."""
        entries = lease.owner is not None
        return await self._through("create", lease.key, lambda: self._table.create(lease), index_rows=entries)

    async def write(self, change: Change) -> None:
        """See `LeaseTable.write`."""
        before, after = change.before.owner, change.after.owner
        entries = len({before, after} - {None}) if before != after else 0
        await self._through("write", change.before.key, lambda: self._table.write(change), index_rows=entries)

    async def delete(self, lease: Lease) -> None:
        """See `LeaseTable.delete`."""
        entries = lease.owner is not None
        await self._through("delete", lease.key, lambda: self._table.delete(lease), index_rows=entries)

    async def session(self, key: str) -> Session | None:
        """See `LeaseTable.session`."""
        return await self._through("session", key, lambda: self._table.session(key))

    async def write_session(self, before: Session | None, after: Session | None) -> None:
        """See `LeaseTable.write_session`."""
        named = before or after
        key = None if named is None else named.key
        await self._through("write_session", key, lambda: self._table.write_session(before, after))

    async def sessions(self, keys: Iterable[str]) -> tuple[Session, ...]:
        """See `LeaseTable.sessions`."""
        wanted = frozenset(keys)
        return await self._through("sessions", None, lambda: self._table.sessions(wanted), rows=len(wanted))

    async def leader_lock(self) -> LeaderLock | None:
        """See `LeaseTable.leader_lock`."""
        return await self._through("leader_lock", None, self._table.leader_lock)

    async def write_leader_lock(self, before: LeaderLock | None, after: LeaderLock | None) -> None:
        """See `LeaseTable.write_leader_lock`."""
        await self._through("write_leader_lock", None, lambda: self._table.write_leader_lock(before, after))

    async def foreign_pulse(self) -> Mapping[str, str]:
        """See `LeaseTable.foreign_pulse`; counts what moves, though the table is read whole."""
        return await self._through("foreign_pulse", None, self._table.foreign_pulse, rows=len)

    async def close(self) -> None:
        """Close the table behind."""
        await self._table.close()

    async def _through(
        self,
        operation: Operation,
        key: str | None,
        ask: Callable[[], Awaitable[Answer]],
        *,
        rows: int | Callable[[Answer], int] = 1,
        index_rows: int = 0,
    ) -> Answer:
        """Make the call if the fault lets it through; what it costs is counted only then, whatever becomes of it."""
        call, fault = self._begun(operation, key)

        async def counted() -> Answer:
            call.rows = rows if isinstance(rows, int) else 0
            answer = await ask()
            if answer is not False:  # a row that stood there already was not created
                call.rows = rows if isinstance(rows, int) else rows(answer)
                call.index_rows = index_rows
            return answer

        return await _suffered(fault, operation, counted)

    def _begun(self, operation: Operation, key: str | None) -> tuple[Call, Fault | None]:
        call = Call(operation, key)
        with self._lock:
            self.calls.append(call)
            return call, next((fault for fault in self.faults if fault.strikes(operation, key)), None)


def _size(snapshot: TableSnapshot) -> int:
    kinds = (snapshot.leases, snapshot.sessions, snapshot.odd_rows, snapshot.foreign_entries)
    return sum(map(len, kinds)) + (snapshot.lock is not None and LOCK_KEY not in snapshot.foreign_entries)


async def _suffered(fault: Fault | None, operation: str, call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Make the call, with what the fault does to it."""
    if fault is None:
        return await call()
    if fault.kind == "fail":
        raise ServiceUnavailable(f"{operation} got no usable answer (fault: it never arrived)")
    if fault.kind == "throttle":
        raise Throttled(f"{operation} was throttled (fault); nothing was done")
    if fault.kind == "expire":
        raise CredentialsError(f"{operation}: the credentials have expired (fault); nothing was done")
    if fault.kind == "delay":
        await asyncio.sleep(fault.seconds)
    answer = await call()
    if fault.kind == "lose_answer":
        raise ServiceUnavailable(f"{operation} got no usable answer (fault: it was lost)")
    if fault.kind == "delay_answer":
        await asyncio.sleep(fault.seconds)
    return answer
