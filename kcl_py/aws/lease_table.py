"""The LeaseTable door on DynamoDB."""

from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Executor
from typing import Any

import boto3
from pynamodb.connection.base import Connection
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.operand import Path
from pynamodb.expressions.update import Action

from kcl_py.aws import lease_row, table_connection, table_items
from kcl_py.aws.lease_row import Attributes, AttributeValue, RowError, RowUpdate
from kcl_py.aws.table_connection import TableConnection
from kcl_py.aws.table_life import INDEX, TableLife, TableOptions
from kcl_py.aws.translate import code_of
from kcl_py.core.lease import Change, Lease
from kcl_py.core.session import Session
from kcl_py.core.table import TableSnapshot
from kcl_py.errors import AccessDenied, ConditionFailed, RowUnreadable, ServiceUnavailable, TableError, TableMissing

Page = dict[str, Any]
StartKey = Any  # pynamodb takes a LastEvaluatedKey as it came, whatever its annotation says


class DynamoDBLeaseTable:
    """One lease table in DynamoDB. Every call is tried once; nothing is shared with another table in the process.

    Args:
        table_name: the table's name; the legacy tables beside it are named after it.
        session: a boto3 session whose credentials and region are used; None for the standard AWS settings.
        region: overrides the session's.
        endpoint_url: overrides AWS_ENDPOINT_URL_DYNAMODB, AWS_ENDPOINT_URL and the profile's.
        is_plain_http_allowed: take an http endpoint that is not loopback.
        options: what the table is created with.
        executor: where calls run, but for those about sessions, which have threads of their own; None for
            `table_connection.THREADS_MAX` threads.
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
        self._name = table_name
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
        self._is_index_active = False  # true once seen so
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
            items = [item async for item in self._scanned(self._name)]
        except TableMissing:
            items = []
        return table_items.snapshot_of(items, self._legacy_tables)

    async def lease(self, key: str) -> Lease | None:
        """See `LeaseTable.lease`."""
        item = await self._item(key)
        try:
            return None if item is None else lease_row.lease_of(item)
        except RowError as error:
            raise RowUnreadable(
                f"row {key} of table {self._name} does not parse: {error}; repair or delete it"
            ) from None

    async def lease_keys_of(self, owner: str) -> tuple[str, ...]:
        """See `LeaseTable.lease_keys_of`; until the index is ACTIVE, a consistent scan of the table answers."""
        if self._is_index_active or await self._life.has_active_index():
            try:
                keys = tuple([_key(item) async for item in self._queried(owner)])
            except TableError as error:
                if code_of(error) != "ValidationException":  # else somebody deleted the index
                    raise
                self._is_index_active = False
            else:
                self._is_index_active = True
                return keys
        return tuple(sorted([_key(item) async for item in self._scanned(self._name, owner)]))

    async def create(self, lease: Lease) -> bool:
        """See `LeaseTable.create`."""
        try:
            await self._put(lease.key, lease_row.lease_attributes(lease))
        except ConditionFailed:
            return False
        return True

    async def write(self, change: Change) -> None:
        """See `LeaseTable.write`."""
        before = change.before
        await self._update(
            before.key,
            lease_row.lease_update(change),
            Path(lease_row.KEY).exists()
            & _unchanged(lease_row.OWNER, before.owner)
            & _unchanged(lease_row.CHECKPOINT_OWNER, before.checkpoint_owner)
            & (Path(lease_row.COUNTER) == before.counter),
        )

    async def session(self, key: str) -> Session | None:
        """See `LeaseTable.session`.

        Raises:
            RowUnreadable: what stands there is no session of ours.
        """
        item = await self._item(key, is_about_session=True)
        try:
            return None if item is None else lease_row.session_of(item)
        except RowError as error:
            raise RowUnreadable(f"entry {key} of table {self._name} is no session: {error}") from None

    async def write_session(self, before: Session | None, after: Session | None) -> None:
        """See `LeaseTable.write_session`."""
        if before is None:
            if after is not None:
                await self._put(after.key, lease_row.session_attributes(after), is_about_session=True)
            return
        revoked = Path(lease_row.REVOKED)
        guard = (Path(lease_row.BEAT) == before.beat) & (
            revoked == True if before.is_revoked else revoked.does_not_exist()  # noqa: E712 - builds a condition
        )
        if after is not None:
            await self._update(before.key, lease_row.session_update(before, after), guard, is_about_session=True)
            return
        await self._connection.call(
            "DeleteItem",
            lambda connection: connection.delete_item(self._name, before.key, condition=guard),
            is_about_session=True,
        )

    async def foreign_pulse(self) -> Mapping[str, str]:
        """See `LeaseTable.foreign_pulse`.

        Raises:
            AccessDenied: also when the legacy tables may not be read, because then nothing proves that they are still.
        """
        pulse: dict[str, str] = {}
        for table_name in (self._name, *await self._life.legacy_tables()):
            try:
                found = table_items.pulse_of([item async for item in self._scanned(table_name)])
            except TableMissing:
                continue
            pulse.update({f"{table_name}/{key}": value for key, value in found.items()})
        return pulse

    async def close(self) -> None:
        """See `LeaseTable.close`; waits for calls in flight, which their timeouts end."""
        await self._connection.close()

    async def _item(self, key: str, *, is_about_session: bool = False) -> Attributes | None:
        answer = await self._connection.call(
            "GetItem",
            lambda connection: connection.get_item(self._name, key, consistent_read=True),
            is_about_session=is_about_session,
        )
        item: Attributes | None = answer.get("Item")
        return item

    async def _put(self, key: str, item: dict[str, AttributeValue], *, is_about_session: bool = False) -> None:
        absent = Path(lease_row.KEY).does_not_exist()
        await self._connection.call(
            "PutItem",
            lambda connection: connection.put_item(self._name, key, attributes=item, condition=absent),
            is_about_session=is_about_session,
        )

    async def _update(self, key: str, update: RowUpdate, guard: Condition, *, is_about_session: bool = False) -> None:
        actions: list[Action] = [Path(name).set(value) for name, value in update.assigned.items()]
        actions += [Path(name).remove() for name in update.removed]
        await self._connection.call(
            "UpdateItem",
            lambda connection: connection.update_item(self._name, key, actions=actions, condition=guard),
            is_about_session=is_about_session,
        )

    def _scanned(self, table_name: str, owner: str | None = None) -> AsyncIterator[Attributes]:
        """Every item of a table, read consistently; of one owner's rows, if named, the keys alone."""
        condition = None if owner is None else Path(lease_row.OWNER) == owner
        names = None if owner is None else [lease_row.KEY]

        def scan(connection: Connection, start: StartKey) -> Page:
            return connection.scan(table_name, condition, names, exclusive_start_key=start, consistent_read=True)

        return self._paged("Scan", scan, table_name)

    def _queried(self, owner: str) -> AsyncIterator[Attributes]:
        """The index's entries for one owner."""

        def query(connection: Connection, start: StartKey) -> Page:
            return connection.query(self._name, owner, index_name=INDEX, exclusive_start_key=start)

        return self._paged("Query", query, self._name)

    async def _paged(
        self, operation: str, read: Callable[[Connection, StartKey], Page], table_name: str
    ) -> AsyncIterator[Attributes]:
        start: StartKey = None
        while True:
            page = await self._connection.call(operation, _continued(read, start), table_name)
            if "Items" not in page:
                raise ServiceUnavailable(
                    f"dynamodb:{operation} on table {table_name} answered without items; try again"
                )
            for item in page["Items"]:
                yield item
            start = page.get("LastEvaluatedKey")
            if start is None:
                return


def _continued(read: Callable[[Connection, StartKey], Page], start: StartKey) -> Callable[[Connection], Page]:
    return lambda connection: read(connection, start)


def _unchanged(name: str, value: str | None) -> Condition:
    return Path(name).does_not_exist() if value is None else Path(name) == value


def _key(item: Attributes) -> str:
    return str(item[lease_row.KEY]["S"])
