"""How what is too much for one answer is read: page after page, and several readings side by side."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from typing import Any, TypeVar

from pynamodb.connection.base import Connection

from kcl_py.aws.attributes import Attributes
from kcl_py.aws.lane import Lane
from kcl_py.aws.table_connection import TableConnection
from kcl_py.errors import ServiceUnavailable

Page = dict[str, Any]
StartKey = Any  # pynamodb takes a LastEvaluatedKey as it came, whatever its annotation says
T = TypeVar("T")


async def pages(
    connection: TableConnection, operation: str, read: Callable[[Connection, StartKey], Page], table_name: str
) -> AsyncIterator[list[Attributes]]:
    """The items of each page of a scan or query.

    Raises:
        ServiceUnavailable: a page came without items, so that nobody takes it for an empty one.
    """
    start: StartKey = None
    while True:
        page = await connection.call(operation, _continued(read, start), table_name, lane=Lane.BULK)
        if "Items" not in page:
            raise ServiceUnavailable(f"dynamodb:{operation} on table {table_name} answered without items; try again")
        yield page["Items"]
        start = page.get("LastEvaluatedKey")
        if start is None:
            return


async def side_by_side(readings: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run all of them; the first that fails ends the others, and its error is raised as it is."""
    tasks = [asyncio.ensure_future(reading) for reading in readings]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _continued(read: Callable[[Connection, StartKey], Page], start: StartKey) -> Callable[[Connection], Page]:
    return lambda connection: read(connection, start)
