"""The calls that read and write items of one table by their key."""

import asyncio
from collections.abc import Sequence
from typing import Any

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.operand import Path
from pynamodb.expressions.update import Action

from kcl_py.aws import columns
from kcl_py.aws.attributes import Attributes, AttributeValue, RowUpdate, text_of
from kcl_py.aws.lane import Lane
from kcl_py.aws.reading import side_by_side
from kcl_py.aws.table_connection import TableConnection
from kcl_py.errors import ServiceUnavailable, Throttled
from kcl_py.retrying import jittered

KEYS_MAX = 100  # of one BatchGetItem
ATTEMPTS_MAX = 4
ABSENT = Path(columns.KEY).does_not_exist()
_PAUSE = jittered(base_seconds=0.05, max_seconds=0.4)


class ItemCalls:
    """Makes the calls of one lane; single reads are consistent, writes conditional."""

    def __init__(self, connection: TableConnection, lane: Lane) -> None:
        self._connection = connection
        self._name = connection.table_name
        self._lane = lane

    async def get(self, key: str) -> Attributes | None:
        """Read an item; None if it is absent."""
        answer = await self._connection.call(
            "GetItem",
            lambda connection: connection.get_item(self._name, key, consistent_read=True),
            lane=self._lane,
        )
        item: Attributes | None = answer.get("Item")
        return item

    async def put(self, item: dict[str, AttributeValue], guard: Condition = ABSENT) -> None:
        """Write a whole item, by default a new one."""
        key = item[columns.KEY]["S"]
        await self._connection.call(
            "PutItem",
            lambda connection: connection.put_item(self._name, key, attributes=item, condition=guard),
            lane=self._lane,
        )

    async def update(self, key: str, update: RowUpdate, guard: Condition) -> None:
        """Write some attributes of an item."""
        actions: list[Action] = [Path(name).set(value) for name, value in update.assigned.items()]
        actions += [Path(name).remove() for name in update.removed]
        await self._connection.call(
            "UpdateItem",
            lambda connection: connection.update_item(self._name, key, actions=actions, condition=guard),
            lane=self._lane,
        )

    async def delete(self, key: str, guard: Condition) -> None:
        """Delete an item."""
        await self._connection.call(
            "DeleteItem",
            lambda connection: connection.delete_item(self._name, key, condition=guard),
            lane=self._lane,
        )

    async def get_all(self, keys: Sequence[str]) -> list[Attributes]:
        """Read those of many items that exist, in any order, eventually consistent.

        Raises:
            Throttled: the table left some out again and again.
        """
        chunks = [keys[start : start + KEYS_MAX] for start in range(0, len(keys), KEYS_MAX)]
        return [item for items in await side_by_side(map(self._get_chunk, chunks)) for item in items]

    async def _get_chunk(self, keys: Sequence[str]) -> list[Attributes]:
        found: list[Attributes] = []
        for attempt in range(1, ATTEMPTS_MAX + 1):
            items, keys = await self._get_some(keys)
            found += items
            if not keys:
                return found
            if attempt < ATTEMPTS_MAX:
                await asyncio.sleep(_PAUSE(attempt))
        raise Throttled(f"dynamodb:BatchGetItem on table {self._name} left {len(keys)} items out; nothing was done")

    async def _get_some(self, keys: Sequence[str]) -> tuple[list[Attributes], list[str]]:
        """One attempt; gives the keys that it did not get to, too."""
        wanted: Any = [{columns.KEY: key} for key in keys]  # maps, whatever pynamodb's annotation says
        answer = await self._connection.call(
            "BatchGetItem",
            lambda connection: connection.batch_get_item(self._name, wanted),
            lane=self._lane,
        )
        if "Responses" not in answer:
            raise ServiceUnavailable(f"dynamodb:BatchGetItem on table {self._name} answered without items; try again")
        left = answer.get("UnprocessedKeys", {}).get(self._name, {}).get("Keys", [])
        return answer["Responses"].get(self._name, []), [text_of(key, columns.KEY) or "" for key in left]
