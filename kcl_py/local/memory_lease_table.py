"""The LeaseTable door in memory: what DynamoDB promises about conditional writes, and no network."""

import threading
from collections.abc import Iterable, Mapping

import msgspec

from kcl_py.core.leadership import LeaderLock
from kcl_py.core.lease import Change, Lease
from kcl_py.core.session import Session, is_native_owner
from kcl_py.core.table import OddRow, TableSnapshot
from kcl_py.errors import ConditionFailed, RowUnreadable, TableMissing
from kcl_py.local.lease_rows import LeaseRows

LOCK_KEY = "Leader"


class MemoryLeaseTable:
    """A lease table that any number of workers share by sharing the object, from any threads and event loops.

    Args:
        create_table: false makes `prepare` raise `TableMissing` while the table does not exist.
        exists: the table stands there before anybody prepared it.

    Attributes:
        odd_rows: items that do not parse, by key, with the reason. Tests may change this and the next two.
        foreign_entries: what a Java fleet keeps beside the leases, by key, with the value that moves while it lives.
        legacy_tables: names of tables that a Java fleet keeps beside this one.
    """

    def __init__(self, *, create_table: bool = True, exists: bool = False) -> None:
        self.odd_rows: dict[str, str] = {}
        self.foreign_entries: dict[str, str] = {}
        self.legacy_tables: tuple[str, ...] = ()
        self._create_table = create_table
        self._exists = exists
        self._incarnation = int(exists)
        self._leases = LeaseRows()
        self._sessions: dict[str, Session] = {}
        self._leader_lock: LeaderLock | None = None
        self._lock = threading.Lock()  # held for an operation, never across an await

    async def prepare(self) -> str | None:
        """See `LeaseTable.prepare`."""
        with self._lock:
            if not self._exists:
                if not self._create_table:
                    raise TableMissing("the table in memory does not exist, and create_table is off")
                self._exists = True
                self._incarnation += 1
            return f"memory-table-{self._incarnation}"

    async def equip(self) -> None:
        """See `LeaseTable.equip`; this table lacks nothing."""

    async def snapshot(self) -> TableSnapshot:
        """See `LeaseTable.snapshot`."""
        with self._lock:
            return TableSnapshot(
                leases=tuple(self._leases[key] for key in sorted(self._leases)),
                sessions=tuple(self._sessions[key] for key in sorted(self._sessions)),
                odd_rows=tuple(OddRow(key, reason) for key, reason in sorted(self.odd_rows.items())),
                foreign_entries=tuple(sorted(self._foreign_pulse_of_entries())),
                lock=self._leader_lock,
                legacy_tables=self.legacy_tables,
            )

    async def lease(self, key: str) -> Lease | None:
        """See `LeaseTable.lease`."""
        with self._lock:
            self._check_exists()
            self._check_parses(key)
            return self._leases.get(key)

    async def lease_keys_of(self, owner: str) -> tuple[str, ...]:
        """See `LeaseTable.lease_keys_of`; this one is never stale."""
        with self._lock:
            self._check_exists()
            return self._leases.keys_of(owner)

    async def create(self, lease: Lease) -> bool:
        """See `LeaseTable.create`."""
        with self._lock:
            self._check_exists()
            if self._is_taken(lease.key):
                return False
            self._leases[lease.key] = lease
            return True

    async def write(self, change: Change) -> None:
        """See `LeaseTable.write`."""
        with self._lock:
            self._check_exists()
            before, row = change.before, self._leases.get(change.before.key)
            if row is None or _guard(row, change) != _guard(before, change):
                raise ConditionFailed(f"row {before.key} is not as it was seen; nothing was written")
            changed = {name: getattr(change.after, name) for name in change.changed_fields}
            self._leases[before.key] = msgspec.structs.replace(row, **changed)

    async def delete(self, lease: Lease) -> None:
        """See `LeaseTable.delete`."""
        with self._lock:
            self._check_exists()
            row = self._leases.get(lease.key)
            is_as_seen = row is not None and (*_owners(row), row.counter) == (*_owners(lease), lease.counter)
            if row is None or not is_as_seen or not row.is_finished:
                raise ConditionFailed(f"row {lease.key} is not as it was seen; nothing was deleted")
            del self._leases[lease.key]

    async def session(self, key: str) -> Session | None:
        """See `LeaseTable.session`."""
        with self._lock:
            self._check_exists()
            self._check_parses(key)
            return self._sessions.get(key)

    async def write_session(self, before: Session | None, after: Session | None) -> None:
        """See `LeaseTable.write_session`."""
        key = _session_key(before, after)
        with self._lock:
            self._check_exists()
            entry = self._sessions.get(key)
            if before is None:
                is_as_seen = not self._is_taken(key)
            else:
                is_as_seen = entry is not None and _session_guard(entry) == _session_guard(before)
            if not is_as_seen:
                raise ConditionFailed(f"entry {key} is not as it was seen; nothing was written")
            if after is None:
                del self._sessions[key]
            else:
                self._sessions[key] = after

    async def sessions(self, keys: Iterable[str]) -> tuple[Session, ...]:
        """See `LeaseTable.sessions`."""
        with self._lock:
            self._check_exists()
            return tuple(self._sessions[key] for key in sorted(set(keys)) if key in self._sessions)

    async def leader_lock(self) -> LeaderLock | None:
        """See `LeaseTable.leader_lock`."""
        with self._lock:
            self._check_exists()
            self._check_parses(LOCK_KEY)
            return self._leader_lock

    async def write_leader_lock(self, before: LeaderLock | None, after: LeaderLock | None) -> None:
        """See `LeaseTable.write_leader_lock`."""
        with self._lock:
            self._check_exists()
            lock = self._leader_lock
            if before is None:
                is_as_seen = lock is None and LOCK_KEY not in self.odd_rows
            else:
                is_as_seen = lock is not None and _lock_guard(lock, before) == _lock_guard(before, before)
            if not is_as_seen:
                raise ConditionFailed("the leader lock is not as it was seen; nothing was written")
            self._leader_lock = after

    async def foreign_pulse(self) -> Mapping[str, str]:
        """See `LeaseTable.foreign_pulse`."""
        with self._lock:
            return self._foreign_pulse_of_entries() | {
                key: f"{lease.owner} {lease.checkpoint_owner} {lease.counter}"
                for key, lease in self._leases.items()
                if any(owner is not None and not is_native_owner(owner) for owner in _owners(lease))
            }

    async def close(self) -> None:
        """Nothing to let go of: other workers may still use the object."""

    def put(self, lease: Lease) -> None:
        """Write a row as an outsider would: whole, and whatever stands there."""
        with self._lock:
            self._leases[lease.key] = lease

    def put_leader_lock(self, lock: LeaderLock) -> None:
        """Write the leader lock as an outsider would."""
        with self._lock:
            self._leader_lock = lock

    def erase(self, key: str) -> None:
        """Delete a row or a worker entry as an outsider would."""
        with self._lock:
            self._leases.pop(key, None)
            self._sessions.pop(key, None)

    def drop(self) -> None:
        """Delete the table; the next `prepare` creates another, with another id."""
        with self._lock:
            self._exists = False
            self._leases.clear()
            self._sessions.clear()
            self._leader_lock = None

    def _is_taken(self, key: str) -> bool:
        return any(key in items for items in (self._leases, self._sessions, self.odd_rows, self.foreign_entries))

    def _foreign_pulse_of_entries(self) -> dict[str, str]:
        """What a Java fleet keeps beside the leases; the leader lock is part of that if one of its workers has it."""
        lock = self._leader_lock
        if lock is None or is_native_owner(lock.owner):
            return self.foreign_entries
        return self.foreign_entries | {LOCK_KEY: f"{lock.owner} {lock.version}"}

    def _check_parses(self, key: str) -> None:
        if key in self.odd_rows:
            raise RowUnreadable(f"row {key} does not parse: {self.odd_rows[key]}; repair or delete it")

    def _check_exists(self) -> None:
        if not self._exists:
            raise TableMissing("the table in memory does not exist")


def _owners(lease: Lease) -> tuple[str | None, str | None]:
    return lease.owner, lease.checkpoint_owner


def _guard(lease: Lease, change: Change) -> tuple[str | None, str | None, object]:
    return lease.owner, lease.checkpoint_owner, lease.held_by if change.is_counter_free else lease.counter


def _session_key(before: Session | None, after: Session | None) -> str:
    named = before or after
    assert named is not None, "one of the two sessions names the entry"
    return named.key


def _session_guard(session: Session) -> tuple[int, bool]:
    return session.beat, session.is_revoked


def _lock_guard(lock: LeaderLock, seen: LeaderLock) -> tuple[str, str, bool]:
    """Whether it was released counts only if it was seen so."""
    return lock.owner, lock.version, lock.is_released and seen.is_released
