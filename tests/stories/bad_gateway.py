"""A proxy in trouble between a worker and DynamoDB: what it answers, and what our door makes of it."""

from collections.abc import Awaitable, Callable
from typing import Any

from botocore.exceptions import ClientError
from pynamodb.exceptions import PynamoDBConnectionError

from kcl_py.aws.translate import translated
from kcl_py.interfaces import LeaseTable
from kcl_py.local.faulty_lease_table import FaultyLeaseTable

# pynamodb hands neither status nor headers on, and botocore puts the status where a page has no code
_PAGE = {"Error": {"Code": "502", "Message": "Bad Gateway"}}


class BadGateway:
    """A `LeaseTable` that answers as the door on AWS does when DynamoDB's answer is a page of HTML.

    Args:
        table: whose calls it takes from now on, until it is mended.
    """

    def __init__(self, table: FaultyLeaseTable) -> None:
        self._table = table
        self._behind: LeaseTable = table._table
        table._table = self  # type: ignore[assignment]

    def mend(self) -> None:
        """Calls reach the table again."""
        self._table._table = self._behind

    def __getattr__(self, operation: str) -> Callable[..., Awaitable[Any]]:
        async def call(*_arguments: object) -> object:
            page = ClientError(_PAGE, operation)
            raise translated(PynamoDBConnectionError("it failed", page), "dynamodb:UpdateItem", "table app")

        return call
