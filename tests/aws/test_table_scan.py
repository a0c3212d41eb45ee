"""A large table is scanned in segments, and how many follows its size."""

import asyncio
import json
from typing import Any

import pytest

from kcl_py.aws.lane import Lane
from kcl_py.aws.table_connection import TableConnection
from kcl_py.aws.table_life import TableLife, TableOptions
from kcl_py.aws.table_scan import SEGMENTS_MAX, TableScan
from kcl_py.errors import ServiceUnavailable
from tests.aws.gate import Gate
from tests.aws.scripted_dynamodb import NOWHERE, ScriptedDynamoDB

ROWS = 800


class PagedTable:
    """Answers scans of a table of numbered rows by segment, so many rows to a page."""

    def __init__(self, scripted: ScriptedDynamoDB, rows_per_page: int) -> None:
        self.rows_per_page = rows_per_page
        self.rows = ROWS
        self.gate: Gate | None = None
        self.refused_segment: int | None = None
        scripted.answer_by("Scan", self.page)

    def page(self, body: dict[str, Any]) -> dict[str, Any]:
        if self.gate is not None:
            self.gate.pass_through()
        if self.refused_segment is not None and self.refused_segment == body.get("Segment"):
            raise ConnectionResetError
        segments = body.get("TotalSegments", 1)
        mine = [number for number in range(self.rows) if number % segments == body.get("Segment", 0)]
        first = int(body["ExclusiveStartKey"]["leaseKey"]["S"]) + 1 if "ExclusiveStartKey" in body else 0
        rest = [number for number in mine if number >= first]
        page = rest[: self.rows_per_page]
        answer: dict[str, Any] = {"Items": [{"leaseKey": {"S": str(number)}} for number in page]}
        return answer | ({"LastEvaluatedKey": {"leaseKey": {"S": str(page[-1])}}} if rest[len(page) :] else {})


@pytest.fixture
async def scan(scripted: ScriptedDynamoDB):
    connection = TableConnection("leases", session=scripted.session, endpoint_url=NOWHERE)
    TableLife(connection, TableOptions())  # tells pynamodb the keys
    yield TableScan(connection, "leases")
    await connection.close()


def requests_of(scripted: ScriptedDynamoDB) -> list[dict[str, Any]]:
    """The requests since the last look."""
    bodies = [json.loads(request.body) for request in scripted.requests]
    scripted.requests.clear()
    return bodies


async def test_a_table_that_fits_on_a_page_is_read_in_one_request(scan: TableScan, scripted: ScriptedDynamoDB) -> None:
    PagedTable(scripted, ROWS)
    for _ in range(3):
        assert len(await scan.items()) == ROWS
    requests = requests_of(scripted)
    assert [(request.get("Segment"), request["ConsistentRead"]) for request in requests] == [(None, True)] * 3


@pytest.mark.parametrize(("rows_per_page", "segments"), [(400, 2), (300, 3), (100, 8), (10, SEGMENTS_MAX)])
async def test_a_table_of_several_pages_is_next_read_in_as_many_segments(
    scan: TableScan, scripted: ScriptedDynamoDB, rows_per_page: int, segments: int
) -> None:
    PagedTable(scripted, rows_per_page)
    await scan.items()
    requests_of(scripted)
    assert {item["leaseKey"]["S"] for item in await scan.items()} == {str(number) for number in range(ROWS)}
    requests = requests_of(scripted)
    assert {request["TotalSegments"] for request in requests} == {segments}
    assert {request["Segment"] for request in requests} == set(range(segments))
    assert all(request["ConsistentRead"] for request in requests)


async def test_a_table_that_shrank_is_read_in_fewer_segments_by_and_by(
    scan: TableScan, scripted: ScriptedDynamoDB
) -> None:
    table = PagedTable(scripted, 100)
    await scan.items()
    table.rows = 50
    seen = []
    for _ in range(SEGMENTS_MAX + 1):
        assert len(await scan.items()) == 50
        seen.append(scan.segments)
    assert seen == [7, 6, 5, 4, 3, 2, 1, 1, 1]


async def test_segments_are_read_side_by_side(scan: TableScan, scripted: ScriptedDynamoDB, gate: Gate) -> None:
    table = PagedTable(scripted, 100)
    await scan.items()
    table.gate = gate
    reading = asyncio.create_task(scan.items())
    await gate.hold(Lane.BULK.threads_max)
    gate.open()
    assert len(await reading) == ROWS


async def test_a_segment_that_fails_fails_the_scan_and_the_next_one_is_as_wide(
    scan: TableScan, scripted: ScriptedDynamoDB
) -> None:
    table = PagedTable(scripted, 200)
    await scan.items()
    table.refused_segment = 2
    with pytest.raises(ServiceUnavailable, match="dynamodb:Scan on table leases"):
        await scan.items()
    assert scan.segments == 4


async def test_an_endpoint_that_knows_no_segments_gives_each_row_once(
    scan: TableScan, scripted: ScriptedDynamoDB
) -> None:
    scripted.answer("Scan", {"Items": [{"leaseKey": {"S": "a"}}, {"leaseKey": {"S": "b"}}]})
    scan.segments = 3
    assert await scan.items() == [{"leaseKey": {"S": "a"}}, {"leaseKey": {"S": "b"}}]
    assert len(scripted.requests) == 3


async def test_a_page_without_items_is_no_empty_page(scan: TableScan, scripted: ScriptedDynamoDB) -> None:
    scripted.answer("Scan", {})
    with pytest.raises(ServiceUnavailable, match="without items"):
        await scan.items()
