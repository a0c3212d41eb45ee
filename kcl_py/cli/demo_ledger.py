"""What was put and what was processed, per key and in order: the demo's proof."""

import random
import threading
import time
from collections import defaultdict
from typing import ClassVar

from kcl_py.aws.producer import Entry
from kcl_py.core.batch import RecordBatch
from kcl_py.processor import Checkpointer, RecordProcessor

KEYS = 40
RECORDS_PER_BATCH = 60
LAST_BATCH_SECONDS = 1.5  # the end of a shard takes a moment, so that one sees its children wait


class Ledger:
    """Counts per key. The producer and every shard's thread write into it."""

    def __init__(self) -> None:
        self._put: defaultdict[str, int] = defaultdict(int)
        self._processed: defaultdict[str, list[int]] = defaultdict(list)
        self._lock = threading.Lock()
        self._dice = random.Random(7)

    def next_entries(self) -> list[Entry]:
        """The next records to put: each carries its number within its key."""
        entries = []
        for _ in range(RECORDS_PER_BATCH):
            key = f"customer-{self._dice.randrange(KEYS)}"
            entries.append(Entry(data=str(self._put[key]).encode(), partition_key=key))
            self._put[key] += 1
        return entries

    def processed(self, key: str, number: int) -> None:
        """A record reached the processor."""
        with self._lock:
            self._processed[key].append(number)

    @property
    def is_behind(self) -> bool:
        """True until as many records were processed as were put."""
        with self._lock:
            return sum(map(len, self._processed.values())) < sum(self._put.values())

    def proof(self, finished_shards: int) -> tuple[list[str], bool]:
        """Compare both sides, key by key; lines to print, and whether all of it holds."""
        put = sum(self._put.values())
        first = {key: list(dict.fromkeys(numbers)) for key, numbers in self._processed.items()}
        distinct = sum(map(len, first.values()))
        repeats = sum(map(len, self._processed.values())) - distinct
        in_order = [key for key, count in self._put.items() if first.get(key) == list(range(count))]
        is_proven = distinct == put and len(in_order) == len(self._put)
        lines = [
            "",
            f"put          {put:>6} records under {len(self._put)} keys",
            f"processed    {distinct:>6} of them, {put - distinct} missing, {repeats} repeated",
            f"in put order {len(in_order):>6} of {len(self._put)} keys, across {finished_shards} finished shards",
            "every record was processed, in order per key" if is_proven else "THE PROOF FAILED: please report this",
        ]
        return lines, is_proven


class LedgerProcessor(RecordProcessor):
    """Writes what it gets into the ledger."""

    ledger: ClassVar[Ledger]

    def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:  # noqa: ARG002
        """Note every record."""
        for record in records:
            self.ledger.processed(record.partition_key, int(record.data))
        if records.is_at_shard_end:
            time.sleep(LAST_BATCH_SECONDS)
