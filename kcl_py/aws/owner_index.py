"""Which rows name an owner: the index's answer, or a scan's until the index is ACTIVE."""

import asyncio
from typing import Any

from pynamodb.connection.base import Connection

from kcl_py.aws import columns
from kcl_py.aws.attributes import Attributes
from kcl_py.aws.reading import StartKey, pages
from kcl_py.aws.table_connection import TableConnection
from kcl_py.aws.table_life import INDEX, TableLife
from kcl_py.aws.table_scan import TableScan
from kcl_py.aws.translate import code_of
from kcl_py.errors import TableError

SCAN_SECONDS = 4.0  # while the index is not there, an answer is good for so long: its rows are read one by one anyway


class OwnerIndex:
    """Looks rows up by their `leaseOwner`."""

    def __init__(self, connection: TableConnection, life: TableLife, scan: TableScan) -> None:
        self._connection = connection
        self._life = life
        self._scan = scan
        self._is_active = False  # true once seen so
        self._scanned: dict[str, tuple[float, tuple[str, ...]]] = {}  # when, and what a scan found for an owner

    async def keys_of(self, owner: str) -> tuple[str, ...]:
        """See `LeaseTable.lease_keys_of`."""
        now = asyncio.get_running_loop().time()
        at, keys = self._scanned.get(owner, (float("-inf"), ()))
        if now - at < SCAN_SECONDS:
            return keys
        if self._is_active or await self._life.has_active_index():
            try:
                keys = await self._queried(owner)
            except TableError as error:
                if code_of(error) != "ValidationException":  # else somebody deleted the index
                    raise
                self._is_active = False
            else:
                self._is_active = True
                self._scanned.clear()
                return keys
        found = tuple(sorted(_key(item) for item in await self._scan.items(owner)))
        self._scanned = {owner: (now, found)}
        return found

    async def _queried(self, owner: str) -> tuple[str, ...]:
        name = self._connection.table_name

        def query(connection: Connection, start: StartKey) -> dict[str, Any]:
            return connection.query(name, owner, index_name=INDEX, exclusive_start_key=start)

        return tuple([_key(item) async for page in pages(self._connection, "Query", query, name) for item in page])


def _key(item: Attributes) -> str:
    return str(item[columns.KEY]["S"])
