"""How far a shard is done: records are delivered in order, completed in any order, and the position is contiguous.

The position is the highest checkpoint such that everything delivered up to it is complete. It never goes back, and
never passes an unfinished record. A whole batch that completes in its turn costs one step, whatever it holds; records
are looked at one by one only in a batch that completes in pieces. A batch's records are let go once it is complete; one
position and one count stay until a checkpoint covers it.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence

from kcl_py.core.checkpoint import Checkpoint
from kcl_py.core.record import Record


class Batch:
    """Records that were delivered together, and which of them are complete. `Watermark` alone makes and changes it."""

    __slots__ = ("_records", "above", "count", "first_unfinished", "last")

    def __init__(self, records: Sequence[Record]) -> None:
        self.count = len(records)
        self.last = Checkpoint.at(records[-1])
        self.first_unfinished = 0  # every index below it is complete; `count` once all are
        self.above: set[int] = set()  # indexes that are complete, all above `first_unfinished`
        self._records = records  # empty once all are complete

    @property
    def is_complete(self) -> bool:
        """True once every record is complete."""
        return self.first_unfinished == self.count

    @property
    def outstanding(self) -> int:
        """How many records are not complete."""
        return self.count - self.first_unfinished - len(self.above)

    @property
    def position(self) -> Checkpoint | None:
        """The last record before the first unfinished one; None if the very first is unfinished."""
        if self.is_complete:
            return self.last
        return Checkpoint.at(self._records[self.first_unfinished - 1]) if self.first_unfinished else None

    @property
    def completed_records(self) -> Sequence[Record]:
        """Those before the first unfinished one; none once all are complete."""
        return self._records[: self.first_unfinished]

    def complete_one(self, index: int) -> None:
        """The record at `index` is complete."""
        if not 0 <= index < self.count:
            raise IndexError(f"record {index} of a batch of {self.count}")
        if index > self.first_unfinished:
            self.above.add(index)
        elif index == self.first_unfinished:
            self.complete_below(index + 1)

    def complete_below(self, index: int) -> None:
        """Every record before `index` is complete."""
        for passed in range(self.first_unfinished, index) if self.above else ():
            self.above.discard(passed)
        self.first_unfinished = max(self.first_unfinished, index)
        while self.first_unfinished in self.above:
            self.above.remove(self.first_unfinished)
            self.first_unfinished += 1
        if self.is_complete:
            self._records = ()

    def index_after(self, position: Checkpoint) -> int:
        """How many records, from the first, lie at or below `position`."""
        return self.count if position >= self.last else bisect_right(self._records, position, key=Checkpoint.at)


class Watermark:
    """What one epoch of one shard has delivered, completed and checkpointed.

    Attributes:
        delivered_to: the last record delivered, at first where the epoch began; what was withdrawn is none.
        reached: the last record ever delivered.
        outstanding: records delivered and not complete.
        uncheckpointed: records delivered that no durable checkpoint covers. A batch counts in full until its last
            record is covered, so this is never too low (law S8 bounds re-deliveries by it).
    """

    def __init__(self, begin: Checkpoint) -> None:
        self.delivered_to = self.reached = begin
        self.outstanding = 0
        self.uncheckpointed = 0
        self._position = begin  # where the batches that are still open follow
        self._open: deque[Batch] = deque()  # in delivery order; the first is never complete
        self._uncovered: deque[tuple[Checkpoint, int]] = deque()  # last record and count of each batch not covered

    @property
    def position(self) -> Checkpoint:
        """Everything delivered up to here is complete; where the epoch began as long as nothing is."""
        return (self._open[0].position if self._open else None) or self._position

    def delivered(self, records: Sequence[Record]) -> Batch:
        """Note a delivery. `records` must not change afterwards.

        Raises:
            ValueError: there are none, or they do not follow what was delivered before.
        """
        if not records or Checkpoint.at(records[0]) <= self.delivered_to:
            raise ValueError(f"a delivery of {len(records)} records does not follow {self.delivered_to}")
        batch = Batch(records)
        self._open.append(batch)
        self._uncovered.append((batch.last, batch.count))
        self.delivered_to = batch.last
        self.reached = max(self.reached, batch.last)
        self.outstanding += batch.count
        self.uncheckpointed += batch.count
        return batch

    def completed(self, batch: Batch) -> None:
        """Every record of `batch` is complete."""
        self._complete_below(batch, batch.count)

    def completed_record(self, batch: Batch, index: int) -> None:
        """One record is complete, counted from the batch's first. Doing it twice changes nothing.

        Raises:
            IndexError: there is no such record.
        """
        before = batch.outstanding
        batch.complete_one(index)
        self.outstanding -= before - batch.outstanding
        self._advance()

    def completed_to(self, position: Checkpoint) -> None:
        """Every record delivered at or below `position` is complete, in whatever batch: the user said so.

        Raises:
            ValueError: nothing was delivered up to there.
        """
        if position > self.reached:
            raise ValueError(f"{position} was not delivered; the last record that was is {self.reached}")
        for batch in tuple(self._open):
            index = batch.index_after(position)
            self._complete_below(batch, index)
            if index < batch.count:
                break
        if position > self.delivered_to:  # of what was withdrawn
            self.delivered_to = self._position = position

    def delivered_again(self, batch: Batch) -> int:
        """A batch failed and is delivered again: from which index on.

        That is its first unfinished record. Completions after it are taken back, since those records are delivered
        again too; the same `batch` stands for them, with the same indexes.
        """
        self.outstanding += len(batch.above)
        batch.above.clear()
        return batch.first_unfinished

    def withdrawn(self, batch: Batch) -> None:
        """The last delivery was in vain: what is unfinished of `batch` counts as not delivered.

        Raises:
            IndexError: nothing is open.
            ValueError: another one was delivered later.
        """
        if batch.is_complete:
            return
        if self._open[-1] is not batch:
            raise ValueError("a later batch was delivered")
        self._open.pop()
        self._uncovered.pop()
        self.outstanding -= batch.outstanding
        self.uncheckpointed -= batch.count
        self.delivered_to = self._open[-1].last if self._open else self._position
        if batch.position is not None:
            self.completed(self.delivered(batch.completed_records))

    def checkpointed(self, position: Checkpoint) -> None:
        """A checkpoint at `position` is durable."""
        while self._uncovered and self._uncovered[0][0] <= position:
            self.uncheckpointed -= self._uncovered.popleft()[1]

    def _complete_below(self, batch: Batch, index: int) -> None:
        before = batch.outstanding
        batch.complete_below(index)
        self.outstanding -= before - batch.outstanding
        self._advance()

    def _advance(self) -> None:
        while self._open and self._open[0].is_complete:
            self._position = self._open.popleft().last
