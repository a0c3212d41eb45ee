"""The DynamoDB endpoints that tests run against, and the lease tables on them."""

import contextlib
import functools
import itertools
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Executor
from typing import Any, Protocol

import boto3
import msgspec

from kcl_py.aws.lease_table import DynamoDBLeaseTable
from kcl_py.aws.table_life import TableOptions
from kcl_py.core.leadership import LeaderLock
from kcl_py.core.shard import HashRange
from kcl_py.interfaces import LeaseTable
from kcl_py.local.memory_lease_table import MemoryLeaseTable
from tests.tools import find_tool

START_SECONDS_MAX = 60
_numbers = itertools.count(1)


@contextlib.contextmanager
def dynamodb_local() -> Iterator[str]:
    """AWS's own DynamoDBLocal, empty, in a process of its own; gives its address.

    It keeps apart the tables of different access keys. An index that is added to a table is CREATING for half a minute.
    """
    folder = find_tool("dynamodb-local").parent
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        "java", f"-Djava.library.path={folder}", "-cp", f"{folder}/*",
        "com.amazonaws.services.dynamodbv2.local.main.ServerRunner",
        "-inMemory", "-disableTelemetry", "-delayTransientStatuses", "-port", str(port),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _await_answer(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=10)


def _await_answer(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=5)
        except urllib.error.HTTPError as error:  # an unsigned GET is refused: it is up
            error.close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("DynamoDBLocal ended, or did not answer in time")


@functools.cache  # a session reads the service's model when it makes its first client, which takes a while
def session_of(access_key: str) -> boto3.Session:
    """A boto3 session with keys of its own."""
    return boto3.Session(aws_access_key_id=access_key, aws_secret_access_key="secret", region_name="eu-west-1")


class TableUnderTest(Protocol):
    """One lease table that no other test uses, and what an outsider may do to it."""

    def door(self, *, options: TableOptions | None = None, executor: Executor | None = None) -> LeaseTable:
        """A worker's own door onto the table."""

    def delete(self, key: str) -> None:
        """Delete a row, as an operator would."""

    def backfill(self, key: str, hash_range: HashRange) -> None:
        """Write a row's hash range without touching its counter, as the Java KCL's leader does."""

    def put_leader_lock(self, lock: LeaderLock) -> None:
        """Write the whole leader lock, as a Java worker does that takes it."""

    def spoil(self, key: str) -> None:
        """Put an item there that parses as nothing."""

    async def close(self) -> None:
        """Close the doors."""


class MemoryTable:
    """The table in memory; every worker has the same door."""

    def __init__(self) -> None:
        self._tables: dict[bool, MemoryLeaseTable] = {}

    def door(self, *, options: TableOptions | None = None, executor: Executor | None = None) -> LeaseTable:
        create_table = options is None or options.create_table
        return self._tables.setdefault(create_table, MemoryLeaseTable(create_table=create_table))

    def delete(self, key: str) -> None:
        self._tables[True].erase(key)

    def backfill(self, key: str, hash_range: HashRange) -> None:
        (lease,) = (lease for lease in self._tables[True]._leases.values() if lease.key == key)
        self._tables[True].put(msgspec.structs.replace(lease, hash_range=hash_range))

    def put_leader_lock(self, lock: LeaderLock) -> None:
        self._tables[True].put_leader_lock(lock)

    def spoil(self, key: str) -> None:
        self._tables[True].odd_rows[key] = "it was spoilt"

    async def close(self) -> None:
        for table in self._tables.values():
            await table.close()


class DynamoDBTable:
    """A table at a DynamoDB endpoint.

    Attributes:
        name: the table's name, new for every test.
        session: the credentials that its doors use, unless told otherwise.
        client: plain boto3, to see and to change what stands there.
    """

    def __init__(self, url: str, test_name: str) -> None:
        number = next(_numbers)
        self.url = url
        self.name = f"{re.sub(r'[^a-zA-Z0-9]+', '-', test_name)[:60]}-{number}"
        self.session = session_of("AKIATEST")
        self.client: Any = self.session.client("dynamodb", endpoint_url=url)
        self._doors: list[DynamoDBLeaseTable] = []

    def door(
        self,
        *,
        options: TableOptions | None = None,
        executor: Executor | None = None,
        session: boto3.Session | None = None,
    ) -> DynamoDBLeaseTable:
        door = DynamoDBLeaseTable(
            self.name,
            session=session or self.session,
            endpoint_url=self.url,
            options=options,
            executor=executor,
            read_timeout_seconds=30,  # machines that run tests may be slow
            call_timeout_seconds=60,
        )
        self._doors.append(door)
        return door

    async def close(self) -> None:
        for door in self._doors:
            await door.close()
        self.client.close()

    def delete(self, key: str) -> None:
        self.client.delete_item(TableName=self.name, Key={"leaseKey": {"S": key}})

    def backfill(self, key: str, hash_range: HashRange) -> None:
        self.set(key, startingHashKey={"S": str(hash_range.start)}, endingHashKey={"S": str(hash_range.end)})

    def put_leader_lock(self, lock: LeaderLock) -> None:
        item = {
            "leaseKey": {"S": "Leader"},
            "entityType": {"S": "LEADER"},
            "ownerName": {"S": lock.owner},
            "leaseDuration": {"S": str(lock.duration_ms)},
            "recordVersionNumber": {"S": lock.version},
        }
        self.put(item | ({"isReleased": {"S": "1"}} if lock.is_released else {}))

    def spoil(self, key: str) -> None:
        self.put({"leaseKey": {"S": key}, "entityType": {"N": "7"}})

    def item(self, key: str) -> dict[str, dict[str, Any]]:
        """The whole item, as it stands there."""
        answer = self.client.get_item(TableName=self.name, Key={"leaseKey": {"S": key}}, ConsistentRead=True)
        item: dict[str, dict[str, Any]] = answer["Item"]
        return item

    def put(self, item: dict[str, dict[str, Any]]) -> None:
        """Write a whole item, whatever stands there."""
        self.client.put_item(TableName=self.name, Item=item)

    def set(self, key: str, **attributes: dict[str, Any]) -> None:
        """Write some attributes of an item."""
        names = {f"#{number}": name for number, name in enumerate(attributes)}
        values = {f":{number}": value for number, value in enumerate(attributes.values())}
        self.client.update_item(
            TableName=self.name,
            Key={"leaseKey": {"S": key}},
            UpdateExpression="SET " + ", ".join(f"#{number} = :{number}" for number in range(len(attributes))),
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values,
        )

    def create_with(self, table_name: str, key: str = "leaseKey") -> None:
        """Create a table with nothing but a key."""
        self.client.create_table(
            TableName=table_name,
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
