"""How a lease table comes to be: found or created, awaited, and given what the options ask for.

The shape is that of KCL 3.5 (protocol reference, section 1.1), except that the index is part of CreateTable.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from kcl_py.aws import columns
from kcl_py.aws.table_connection import TableConnection
from kcl_py.aws.translate import code_of
from kcl_py.errors import ServiceUnavailable, TableError, TableMissing, TableRefused

INDEX = "LeaseOwnerToLeaseKeyIndex"
LEGACY_SUFFIXES = ("-CoordinatorState", "-WorkerMetricStats")
_KEYS = [{"AttributeName": columns.KEY, "KeyType": "HASH"}]
_INDEX_KEYS = [
    {"AttributeName": columns.OWNER, "KeyType": "HASH"},
    {"AttributeName": columns.KEY, "KeyType": "RANGE"},
]
_ATTRIBUTES = [
    {"AttributeName": columns.KEY, "AttributeType": "S"},
    {"AttributeName": columns.OWNER, "AttributeType": "S"},
]
_INDEX = {"IndexName": INDEX, "KeySchema": _INDEX_KEYS, "Projection": {"ProjectionType": "KEYS_ONLY"}}
_USABLE = ("ACTIVE", "UPDATING")
_ON_ITS_WAY = ("CREATING", "DELETING")
_BUSY = "ResourceInUseException"
_BACKUPS_STARTING = "ContinuousBackupsUnavailableException"
_POLL_SECONDS_MIN = 0.1
_POLL_SECONDS_MAX = 5.0


class TableOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a lease table is created with.

    Attributes:
        create_table: false where somebody else provisions the table; then nothing about it is ever changed.
        tags: given at creation only.
        deletion_protection: given at creation only.
        point_in_time_recovery: asked for at every start, for a table that exists too.
        ready_timeout_seconds: how long to wait for the table to become ACTIVE.
    """

    create_table: bool = True
    tags: Mapping[str, str] = msgspec.field(default_factory=dict)
    deletion_protection: bool = False
    point_in_time_recovery: bool = False
    ready_timeout_seconds: float = 600.0


class TableLife:
    """The life of one lease table, from before it exists."""

    def __init__(self, connection: TableConnection, options: TableOptions) -> None:
        self._connection = connection
        self._name = connection.table_name
        self._options = options
        self._description: dict[str, Any] = {}
        connection.describe_keys(
            {
                "TableName": self._name,
                "KeySchema": _KEYS,
                "AttributeDefinitions": _ATTRIBUTES,
                "GlobalSecondaryIndexes": [_INDEX],
            }
        )

    async def prepare(self) -> str | None:
        """See `LeaseTable.prepare`; other workers may do the same at the same time."""
        self._description = await self._usable()
        self._check_keys(self._description)
        table_id: str | None = self._description.get("TableId")
        return table_id

    async def equip(self) -> None:
        """See `LeaseTable.equip`; goes by what `prepare` saw."""
        if self._options.create_table:
            if _index_status(self._description) is None:
                await self._add_index(self._description)
            if self._options.point_in_time_recovery:
                await self._recover_in_time()

    async def has_active_index(self) -> bool:
        """Ask whether the index answers queries already."""
        description = await self._describe(self._name)
        return description is not None and _index_status(description) == "ACTIVE"

    async def legacy_tables(self) -> tuple[str, ...]:
        """Which of the tables that KCL 3.0 to 3.4 keep beside a lease table exist.

        Raises:
            AccessDenied: this identity may not ask.
        """
        existing = []
        for table_name in (self._name + suffix for suffix in LEGACY_SUFFIXES):
            description = await self._describe(table_name)
            if description is not None:
                self._connection.describe_keys(description)
                existing.append(table_name)
        return tuple(existing)

    async def _usable(self) -> dict[str, Any]:
        """Wait for the table, creating it when and if it is absent."""
        patience = self._patience("become ACTIVE")
        while True:
            description = await self._describe(self._name)
            if description is None:
                await self._create()
            else:
                status = description.get("TableStatus", "ACTIVE")
                if status in _USABLE:
                    return description
                if status not in _ON_ITS_WAY:
                    raise TableError(f"table {self._name} is {status}: make it ACTIVE, or use another table")
            await patience.pause()

    def _patience(self, event: str) -> "_Patience":
        return _Patience(self._options.ready_timeout_seconds, f"table {self._name} did not {event}")

    async def _describe(self, table_name: str) -> dict[str, Any] | None:
        try:
            answer = await self._connection.send("DescribeTable", {}, table_name)
        except TableMissing:
            return None
        if "Table" not in answer:
            raise ServiceUnavailable(f"dynamodb:DescribeTable on table {table_name} answered without it; try again")
        description: dict[str, Any] = answer["Table"]
        return description

    async def _create(self) -> None:
        if not self._options.create_table:
            raise TableMissing(
                f"table {self._name} does not exist, and create_table is off: create it with the partition key "
                f"{columns.KEY} (String) and the global secondary index {INDEX} (partition key {columns.OWNER}, "
                f"sort key {columns.KEY}, both String, projection KEYS_ONLY), or turn create_table on"
            )
        parameters: dict[str, object] = {
            "AttributeDefinitions": _ATTRIBUTES,
            "KeySchema": _KEYS,
            "GlobalSecondaryIndexes": [_INDEX],
            "BillingMode": "PAY_PER_REQUEST",
        }
        if self._options.tags:
            parameters["Tags"] = [{"Key": key, "Value": value} for key, value in self._options.tags.items()]
        if self._options.deletion_protection:
            parameters["DeletionProtectionEnabled"] = True
        try:
            await self._connection.send("CreateTable", parameters)
        except TableError as error:
            if code_of(error) != _BUSY:  # else somebody else created it just now
                raise

    def _check_keys(self, description: dict[str, Any]) -> None:
        types = {entry["AttributeName"]: entry["AttributeType"] for entry in description["AttributeDefinitions"]}
        if description["KeySchema"] != _KEYS or types.get(columns.KEY) != "S":
            raise TableRefused(
                f"table {self._name} is not a lease table: its key is {_in_words(description['KeySchema'], types)}, "
                f"not {columns.KEY} (S); nothing was changed. Choose another table name"
            )
        for index in description.get("GlobalSecondaryIndexes", ()):
            if index["IndexName"] == INDEX and index["KeySchema"] != _INDEX_KEYS:
                raise TableRefused(
                    f"table {self._name} has an index {INDEX} with the key {_in_words(index['KeySchema'], types)}, not "
                    f"{columns.OWNER}, {columns.KEY}; nothing was changed. Delete that index"
                )

    async def _add_index(self, description: dict[str, Any]) -> None:
        """Add the index to a table made without it; a table with provisioned capacity lends its own figures."""
        index = dict(_INDEX)
        if description.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED") == "PROVISIONED":
            capacity = description["ProvisionedThroughput"]
            index["ProvisionedThroughput"] = {
                name: capacity[name] for name in ("ReadCapacityUnits", "WriteCapacityUnits")
            }
        try:
            await self._connection.send(
                "UpdateTable",
                {"AttributeDefinitions": _ATTRIBUTES, "GlobalSecondaryIndexUpdates": [{"Create": index}]},
            )
        except TableError as error:
            if code_of(error) != _BUSY:  # else it is being changed, by another worker most likely
                raise

    async def _recover_in_time(self) -> None:
        patience = self._patience("accept point-in-time recovery")
        while True:
            try:
                await self._connection.send(
                    "UpdateContinuousBackups",
                    {"PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True}},
                )
            except TableError as error:
                if code_of(error) != _BACKUPS_STARTING:  # the answer for a table that was made just now
                    raise
            else:
                return
            await patience.pause()


class _Patience:
    """Pauses between looks, ever longer, until the time is up."""

    def __init__(self, limit_seconds: float, complaint: str) -> None:
        self._complaint = f"{complaint} within {limit_seconds:g} s; look at it, and try again"
        self._deadline = asyncio.get_running_loop().time() + limit_seconds
        self._pause_seconds = _POLL_SECONDS_MIN

    async def pause(self) -> None:
        if asyncio.get_running_loop().time() > self._deadline:
            raise ServiceUnavailable(self._complaint)
        await asyncio.sleep(self._pause_seconds)
        self._pause_seconds = min(self._pause_seconds * 2, _POLL_SECONDS_MAX)


def _index_status(description: dict[str, Any]) -> str | None:
    """The index's status; None if there is no index. Local stand-ins may leave the status out."""
    for index in description.get("GlobalSecondaryIndexes", ()):
        if index["IndexName"] == INDEX:
            return str(index.get("IndexStatus", "ACTIVE"))
    return None


def _in_words(keys: list[dict[str, str]], types: Mapping[str, str]) -> str:
    return ", ".join(f"{key['AttributeName']} ({types.get(key['AttributeName'], '?')})" for key in keys)
