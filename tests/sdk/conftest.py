"""Fixtures of the tests through the SDKs."""

from collections.abc import Iterator

import aioboto3
import aiobotocore
import aiohttp
import boto3
import botocore
import pynamodb
import pytest

from tests.sdk.furnished_table import FurnishedTable
from tests.virtual_time import run

SDKS = (aioboto3, aiobotocore, aiohttp, boto3, botocore, pynamodb)


def pytest_report_header() -> str:
    """Name the SDKs of this run, which integration/test_sdk_versions.py reads."""
    return "SDKs: " + ", ".join(f"{sdk.__name__} {sdk.__version__}" for sdk in SDKS)


@pytest.fixture(scope="session")
def _furnished() -> Iterator[FurnishedTable]:
    table = FurnishedTable()
    run(table.furnish())
    yield table
    run(table.clear_away())


@pytest.fixture
def table(_furnished: FurnishedTable) -> FurnishedTable:
    """A table with rows, an entry and a lock."""
    _furnished.restore()
    return _furnished
