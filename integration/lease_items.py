"""A lease table as an outsider sees it: plain boto3, items as DynamoDB's API writes them."""

import threading
from types import TracebackType
from typing import Any, NamedTuple, Self

from kcl_py import host
from kcl_py.core.checkpoint import Checkpoint

Item = dict[str, dict[str, Any]]


class Sample(NamedTuple):
    """One row's checkpoint, as a read that began at `at` found it."""

    at: float  # seconds since boot, when the answer was here
    shard: str
    checkpoint: Checkpoint


class LeaseItems:
    """Reads one table."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def every(self) -> list[Item]:
        """All items, by a consistent scan; none where there is no table."""
        items: list[Item] = []
        more: dict[str, Any] = {}
        while True:
            try:
                page = self._client.scan(TableName=self._table, ConsistentRead=True, **more)
            except self._client.exceptions.ResourceNotFoundException:
                return []
            items += page["Items"]
            if "LastEvaluatedKey" not in page:
                return sorted(items, key=lambda item: str(item["leaseKey"]["S"]))
            more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def leases(self) -> dict[str, Item]:
        """The lease rows by shard id."""
        return {item["leaseKey"]["S"]: item for item in self.every() if "checkpoint" in item}

    def checkpoints(self) -> dict[str, Checkpoint]:
        """Where each shard is."""
        return {shard: checkpoint_of(item) for shard, item in self.leases().items()}

    def leader_lock(self) -> Item | None:
        """The item that says who leads; None where nobody does."""
        return next((item for item in self.every() if item["leaseKey"] == {"S": "Leader"}), None)

    def worker_entries(self) -> list[Item]:
        """The items that are neither leases nor anything of a leader."""
        return [item for item in self.every() if item.get("entityType") == {"S": "WORKER_METRIC_STATS"}]


def checkpoint_of(item: Item) -> Checkpoint:
    """A row's position."""
    return Checkpoint(item["checkpoint"]["S"], int(item["checkpointSubSequenceNumber"]["N"]))


class Sampler:
    """Reads a table again and again while a `with` block runs, in a thread of its own."""

    def __init__(self, items: LeaseItems, interval_seconds: float = 0.25) -> None:
        self._items = items
        self._interval_seconds = interval_seconds
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.samples: list[Sample] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._is_over.is_set():
            checkpoints = self._items.checkpoints()
            at = host.boottime()
            self.samples += [Sample(at, shard, checkpoint) for shard, checkpoint in checkpoints.items()]
            self._is_over.wait(self._interval_seconds)
