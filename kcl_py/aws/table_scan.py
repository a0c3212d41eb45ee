"""A consistent scan of a whole table, in as many segments as its size deserves."""

from typing import Any

from pynamodb.connection.base import Connection
from pynamodb.expressions.operand import Path

from kcl_py.aws import columns
from kcl_py.aws.attributes import Attributes
from kcl_py.aws.reading import StartKey, pages, side_by_side
from kcl_py.aws.table_connection import TableConnection

SEGMENTS_MAX = 8


class TableScan:
    """Scans one table again and again; what it saw the last time decides how many segments are read side by side.

    Args:
        connection: reads.
        table_name: what is scanned: the lease table, or one beside it.

    Attributes:
        segments: of the next scan: one for every page of the last, and one less if none of those was cut short.
    """

    def __init__(self, connection: TableConnection, table_name: str) -> None:
        self.segments = 1
        self._connection = connection
        self._table_name = table_name

    async def items(self, owner: str | None = None) -> list[Attributes]:
        """Every item; of one owner's rows, if named, the keys alone.

        Raises:
            TableMissing: and whatever else a call raises.
        """
        segments = self.segments
        found = await side_by_side(self._segment(number, segments, owner) for number in range(segments))
        read = [page for segment in found for page in segment]
        is_cut = len(read) > segments
        self.segments = min(len(read), SEGMENTS_MAX) if is_cut else max(segments - 1, 1)
        # by key, because there are endpoints, such as moto, that answer every segment with the whole table
        items = {repr(item.get(columns.KEY, item)): item for page in read for item in page}
        return list(items.values())

    async def _segment(self, number: int, segments: int, owner: str | None) -> list[list[Attributes]]:
        condition = None if owner is None else Path(columns.OWNER) == owner
        names = None if owner is None else [columns.KEY]
        segment, total_segments = (number, segments) if segments > 1 else (None, None)

        def scan(connection: Connection, start: StartKey) -> dict[str, Any]:
            return connection.scan(
                self._table_name,
                condition,
                names,
                exclusive_start_key=start,
                segment=segment,
                total_segments=total_segments,
                consistent_read=True,
            )

        return [page async for page in pages(self._connection, "Scan", scan, self._table_name)]
