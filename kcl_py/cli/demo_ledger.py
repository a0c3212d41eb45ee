"""What was put and what was processed, per key and in order: the demo's proof."""

import random
from collections import Counter, defaultdict
from typing import Literal

from kcl_py.aws.producer import Entry
from kcl_py.cli.demo_facts import Processed

KEYS = 40
RECORDS_PER_BATCH = 60
Epoch = tuple[str, str, int]
"""Worker, shard and fencing token: from a lease's pick-up to its end."""
End = Literal["let go", "lost", "killed"]
"""How an epoch ended: nothing of one that was let go in order may come again."""


class Ledger:
    """Counts per key, in the order of the workers' reports."""

    def __init__(self) -> None:
        self._put: Counter[str] = Counter()
        self._first: defaultdict[str, list[int]] = defaultdict(list)  # numbers as they came for the first time
        self._last_had: dict[tuple[str, int], Epoch] = {}  # each record, by key and number
        self._repeats: Counter[tuple[Epoch, Epoch]] = Counter()  # who had it before, and who had it again
        self._open: dict[tuple[str, str], Epoch] = {}  # by worker and shard
        self._end: dict[Epoch, End] = {}
        self._dice = random.Random(7)

    def next_entries(self) -> list[Entry]:
        """The next records to put: each carries its number within its key."""
        entries = []
        for _ in range(RECORDS_PER_BATCH):
            key = f"customer-{self._dice.randrange(KEYS)}"
            entries.append(Entry(data=str(self._put[key]).encode(), partition_key=key))
            self._put[key] += 1
        return entries

    def processed(self, fact: Processed) -> None:
        """Records reached a processor."""
        epoch = (fact.worker, fact.shard_id, fact.fencing_token)
        for key, number in fact.records:
            before = self._last_had.get((key, number))
            if before is None:
                self._first[key].append(number)
            else:
                self._repeats[before, epoch] += 1
            self._last_had[key, number] = epoch

    def picked_up(self, worker: str, shard_id: str, fencing_token: int) -> None:
        """A worker has a shard from here on."""
        self._open[worker, shard_id] = (worker, shard_id, fencing_token)

    def let_go(self, worker: str, shard_id: str) -> None:
        """A worker handed a shard over, gave it up or finished it."""
        self._close(worker, shard_id, "let go")

    def lost(self, worker: str, shard_id: str) -> None:
        """A worker could not keep a shard, as one that hears nothing from its table for too long."""
        self._close(worker, shard_id, "lost")

    def killed(self, worker: str) -> None:
        """A worker was killed with all shards that it still had."""
        for holder, shard_id in list(self._open):
            if holder == worker:
                self._close(worker, shard_id, "killed")

    @property
    def is_behind(self) -> bool:
        """True until as many records were processed as were put."""
        return len(self._last_had) < self._put.total()

    def proof(self, finished_shards: int) -> tuple[list[str], bool]:
        """Compare both sides, key by key; lines to print, and whether all of it holds."""
        put = self._put.total()
        distinct = len(self._last_had)
        in_order = [key for key, count in self._put.items() if self._first.get(key) == list(range(count))]
        repeats = Counter[End | None]()
        for (before, after), count in self._repeats.items():
            repeats[self._end.get(before) if before != after else None] += count
        by_kill, by_loss = repeats["killed"], repeats["lost"]
        unexplained = repeats.total() - by_kill - by_loss
        is_proven = distinct == put and len(in_order) == len(self._put) and not unexplained
        lines = [
            "",
            f"put          {put:>6} records under {len(self._put)} keys",
            f"processed    {distinct:>6} of them, {put - distinct} missing",
            f"in put order {len(in_order):>6} of {len(self._put)} keys, across {finished_shards} finished shards",
            f"repeated     {by_kill:>6} that were not checkpointed when their worker was killed",
            f"             {unexplained:>6} by hand-offs, splits and merges",
        ]
        if by_loss:
            lines.append(
                f"             {by_loss:>6} because this machine was too slow for a worker to keep its session"
            )
        return lines, is_proven

    def _close(self, worker: str, shard_id: str, end: End) -> None:
        epoch = self._open.pop((worker, shard_id), None)
        if epoch is not None:
            self._end[epoch] = end
