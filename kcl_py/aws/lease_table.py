"""The LeaseTable door on DynamoDB."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from typing import TypeVar

import boto3

from kcl_py.aws import columns, guard, lease_row, lock_row, session_row, table_connection, table_items
from kcl_py.aws.attributes import Attributes, RowError
from kcl_py.aws.item_calls import ItemCalls
from kcl_py.aws.lane import Lane
from kcl_py.aws.owner_index import OwnerIndex
from kcl_py.aws.table_connection import TableConnection
from kcl_py.aws.table_life import TableLife, TableOptions
from kcl_py.aws.table_scan import TableScan
from kcl_py.core.leadership import LeaderLock
from kcl_py.core.lease import Change, Lease
from kcl_py.core.session import Session
from kcl_py.core.table import TableSnapshot
from kcl_py.errors import AccessDenied, ConditionFailed, RowUnreadable, TableMissing

T = TypeVar("T")
_KEY_BYTES_MAX = 2048


class DynamoDBLeaseTable:
    """One lease table in DynamoDB. Every call is tried once; nothing is shared with another table in the process.

    Args:
        table_name: the table's name; the legacy tables beside it are named after it.
        session: a boto3 session whose credentials and region are used; None for the standard AWS settings.
        region: overrides the session's.
        endpoint_url: overrides AWS_ENDPOINT_URL_DYNAMODB, AWS_ENDPOINT_URL and the profile's.
        is_plain_http_allowed: take an http endpoint that is not loopback.
        options: what the table is created with.
        executor: where reads and writes of single rows run; everything else has threads of its own, see `Lane`.
        connect_timeout_seconds: for a connection to be accepted.
        read_timeout_seconds: between two packets of an answer.
        call_timeout_seconds: for a whole call, from when a thread took it up.
    """

    def __init__(
        self,
        table_name: str,
        *,
        session: boto3.Session | None = None,
        region: str | None = None,
        endpoint_url: str | None = None,
        is_plain_http_allowed: bool = False,
        options: TableOptions | None = None,
        executor: Executor | None = None,
        connect_timeout_seconds: float = table_connection.CONNECT_TIMEOUT_SECONDS,
        read_timeout_seconds: float = table_connection.READ_TIMEOUT_SECONDS,
        call_timeout_seconds: float = table_connection.CALL_TIMEOUT_SECONDS,
    ) -> None:
        self._connection = TableConnection(
            table_name,
            session=session,
            region=region,
            endpoint_url=endpoint_url,
            is_plain_http_allowed=is_plain_http_allowed,
            executor=executor,
            connect_timeout_seconds=connect_timeout_seconds,
            read_timeout_seconds=read_timeout_seconds,
            call_timeout_seconds=call_timeout_seconds,
        )
        self._life = TableLife(self._connection, options or TableOptions())
        self._scan = TableScan(self._connection, table_name)
        self._index = OwnerIndex(self._connection, self._life, self._scan)
        self._rows = ItemCalls(self._connection, Lane.ROW)
        self._entries = ItemCalls(self._connection, Lane.SESSION)
        self._bulk = ItemCalls(self._connection, Lane.BULK)
        self._legacy_tables: tuple[str, ...] | None = None  # once looked for

    async def prepare(self) -> str | None:
        """See `LeaseTable.prepare`.

        Raises:
            ServiceUnavailable: the table did not become ACTIVE in time.
        """
        return await self._life.prepare()

    async def equip(self) -> None:
        """See `LeaseTable.equip`."""
        await self._life.equip()

    async def snapshot(self) -> TableSnapshot:
        """See `LeaseTable.snapshot`.

        An identity that may not describe the legacy tables gets a snapshot without them. That is enough to be safe: a
        Java fleet that keeps them also leaves rows without `entityType`, or rows that name its workers, and either
        keeps this table from being taken for ours. The proof of silence in `foreign_pulse` does ask for the permission.
        The legacy tables are looked for once: nobody makes them beside a table that kcl_py has joined.
        """
        if self._legacy_tables is None:
            try:
                self._legacy_tables = await self._life.legacy_tables()
            except AccessDenied:
                self._legacy_tables = ()
        try:
            items = await self._scan.items()
        except TableMissing:
            items = []
        legacy_tables = self._legacy_tables
        # ten thousand rows take a third of a second
        return await self._connection.aside(lambda: table_items.snapshot_of(items, legacy_tables))

    async def lease(self, key: str) -> Lease | None:
        """See `LeaseTable.lease`."""
        return self._read(await self._rows.get(key), lease_row.lease_of, f"row {key}")

    async def lease_keys_of(self, owner: str) -> tuple[str, ...]:
        """See `LeaseTable.lease_keys_of`; until the index is ACTIVE, a consistent scan of the table answers."""
        return await self._index.keys_of(owner)

    async def create(self, lease: Lease) -> bool:
        """See `LeaseTable.create`."""
        try:
            await self._rows.put(lease_row.lease_attributes(lease))
        except ConditionFailed:
            return False
        return True

    async def write(self, change: Change) -> None:
        """See `LeaseTable.write`."""
        await self._rows.update(change.before.key, lease_row.lease_update(change), guard.of_change(change))

    async def delete(self, lease: Lease) -> None:
        """See `LeaseTable.delete`."""
        await self._rows.delete(lease.key, guard.of_deletion(lease))

    async def session(self, key: str) -> Session | None:
        """See `LeaseTable.session`."""
        if not _may_be_a_key(key):
            return None
        return self._read(await self._entries.get(key), session_row.session_of, f"worker entry {key}")

    async def write_session(self, before: Session | None, after: Session | None) -> None:
        """See `LeaseTable.write_session`."""
        if before is None:
            if after is not None:
                await self._entries.put(session_row.session_attributes(after))
        elif after is None:
            await self._entries.delete(before.key, guard.of_session(before))
        else:
            update = session_row.session_update(before, after)
            await self._entries.update(before.key, update, guard.of_session(before))

    async def sessions(self, keys: Iterable[str]) -> tuple[Session, ...]:
        """See `LeaseTable.sessions`.

        Raises:
            Throttled: the table left some entries out again and again.
        """
        keys = sorted(filter(_may_be_a_key, set(keys)))
        return table_items.snapshot_of(await self._bulk.get_all(keys), ()).sessions

    async def leader_lock(self) -> LeaderLock | None:
        """See `LeaseTable.leader_lock`."""
        return self._read(await self._entries.get(columns.LOCK_KEY), lock_row.lock_of, "the leader lock")

    async def write_leader_lock(self, before: LeaderLock | None, after: LeaderLock | None) -> None:
        """See `LeaseTable.write_leader_lock`."""
        if before is None:
            if after is not None:
                await self._entries.put(lock_row.lock_attributes(after))
        elif after is None:
            await self._entries.delete(columns.LOCK_KEY, guard.of_lock(before))
        elif before.is_released or before.owner != after.owner:
            await self._entries.put(lock_row.lock_attributes(after), guard.of_lock(before))
        else:
            update = lock_row.lock_update(before, after)
            await self._entries.update(columns.LOCK_KEY, update, guard.of_lock(before))

    async def foreign_pulse(self) -> Mapping[str, str]:
        """See `LeaseTable.foreign_pulse`.

        Raises:
            AccessDenied: also when the legacy tables may not be read, because then nothing proves that they are still.
        """
        legacy_tables = await self._life.legacy_tables()
        scans = {name: TableScan(self._connection, name) for name in legacy_tables}
        pulse: dict[str, str] = {}
        for table_name, scan in {self._connection.table_name: self._scan, **scans}.items():
            try:
                found = table_items.pulse_of(await scan.items())
            except TableMissing:
                continue
            pulse.update({f"{table_name}/{key}": value for key, value in found.items()})
        return pulse

    async def close(self) -> None:
        """See `LeaseTable.close`; waits for calls in flight, which their timeouts end."""
        await self._connection.close()

    def _read(self, item: Attributes | None, row_of: Callable[[Attributes], T], name: str) -> T | None:
        try:
            return None if item is None else row_of(item)
        except RowError as error:
            raise RowUnreadable(
                f"{name} of table {self._connection.table_name} does not parse: {error}; repair or delete it"
            ) from None


def _may_be_a_key(owner: str) -> bool:
    """False if DynamoDB would refuse the whole call for it: rows name owners, and anybody may have written a row."""
    return 1 <= len(owner.encode("utf-8", "surrogatepass")) <= _KEY_BYTES_MAX
