"""Kinesis and DynamoDB that others wrote: our own model is no evidence about AWS."""

from collections.abc import Iterator
from contextlib import contextmanager

from integration.services import Services
from tests.contracts.kinesis_services import kinesis_local
from tests.dynamodb_services import dynamodb_local
from tests.tools import find_tool


@contextmanager
def independent_services() -> Iterator[Services]:
    """npm's kinesis-local and AWS's DynamoDBLocal, each in a process of its own; skips where one is missing."""
    find_tool("kinesis-local")
    with dynamodb_local() as dynamodb_url, kinesis_local() as kinesis:
        yield Services(kinesis.client.meta.endpoint_url, dynamodb_url)
