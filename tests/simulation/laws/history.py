"""A log with the questions that several laws ask of it. Each answer is worked out once."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property

from kcl_py.core.checkpoint import Checkpoint
from kcl_py.core.lease import Lease
from kcl_py.events import LeasePickedUp, RecordsMissing
from tests.simulation.facts import (
    Delivered,
    Done,
    Drained,
    Joined,
    LockWritten,
    Log,
    Position,
    Put,
    Raised,
    Resharded,
    RowWritten,
    StreamReplaced,
    Trimmed,
)
from tests.simulation.facts import Entry as LogEntry
from tests.simulation.laws.circumstances import Circumstances
from tests.simulation.laws.sessions import Sessions, worker_of

__all__ = ["History", "PickUp", "position_of", "worker_of"]
PickUp = tuple[LogEntry, Lease]


class History:
    """What happened, ready to be judged."""

    def __init__(
        self,
        log: Log,
        failover_seconds: float = 10.0,
        *,
        audit_seconds: float = 60.0,
        stall_timeout_seconds: float = 1800.0,
        repeats_max: int | None = None,
        page_bytes_max: int = 1 << 20,
        checkpoint_seconds: float | None = None,
    ) -> None:
        """Take a log.

        Args:
            log: of one simulation.
            failover_seconds, audit_seconds, stall_timeout_seconds: what all workers were told.
            repeats_max: records that a change of owner may repeat; None if nobody knows.
            page_bytes_max: what a page weighs at most, or is taken to weigh before it was seen.
            checkpoint_seconds: how often progress is written; None if nobody knows.
        """
        self.log = log
        self.failover_seconds = failover_seconds
        self.audit_seconds = audit_seconds
        self.stall_timeout_seconds = stall_timeout_seconds
        self.repeats_max = repeats_max
        self.page_bytes_max = page_bytes_max
        self.checkpoint_seconds = checkpoint_seconds
        self.circumstances = Circumstances(log, failover_seconds, audit_seconds)
        self.is_calm = self.circumstances.is_calm
        self.sessions = Sessions(log, failover_seconds)
        self.worker_of = self.sessions.worker_of

    @cached_property
    def ends_at(self) -> float:
        """When everybody was told to stop; the last instant if nobody was."""
        return next((entry.at for entry, _ in self.log.of(Drained)), self.log.entries[-1].at)

    # -- records ------------------------------------------------------------------------------------------------------

    @cached_property
    def puts(self) -> dict[str, list[Put]]:
        """By shard, in order; those into a stream that took the name of this one are not among them."""
        puts: defaultdict[str, list[Put]] = defaultdict(list)
        for _, put in self._of_this_stream():
            puts[put.shard_id].append(put)
        return dict(puts)

    @cached_property
    def put_at(self) -> dict[str, list[float]]:
        """When each of them was put."""
        times: defaultdict[str, list[float]] = defaultdict(list)
        for entry, put in self._of_this_stream():
            times[put.shard_id].append(entry.at)
        return dict(times)

    def _of_this_stream(self) -> Iterator[tuple[LogEntry, Put]]:
        for entry, what in self.log.of(Put, StreamReplaced):
            if isinstance(what, StreamReplaced):
                return
            yield entry, what

    @cached_property
    def _positions(self) -> dict[str, list[Position]]:
        return {shard_id: [put.position for put in puts] for shard_id, puts in self.puts.items()}

    def index_after(self, shard_id: str, position: Position | None) -> int:
        """How many of the shard's records lie at or below a position; none for None."""
        return 0 if position is None else bisect_right(self._positions.get(shard_id, []), position)

    def between(self, shard_id: str, after: Position | None, before: Position | None) -> list[Put]:
        """The shard's records between two places, both left out; None is its beginning, or its end."""
        positions = self._positions.get(shard_id, [])
        end = len(positions) if before is None else bisect_left(positions, before)
        return self.puts.get(shard_id, [])[self.index_after(shard_id, after) : end]

    @cached_property
    def gone_since(self) -> dict[tuple[str, Position], int]:
        """The records that nobody could read any more, and from which line of the log on."""
        gone: dict[tuple[str, Position], int] = {}
        there: dict[tuple[str, Position], None] = {}
        for entry, what in self.log.of(Put, Trimmed, StreamReplaced):
            if isinstance(what, Put):
                there[what.shard_id, what.position] = None
            elif isinstance(what, Trimmed):
                for put in what.records:
                    gone.setdefault((put.shard_id, put.position), entry.index)
            else:
                for place in there:
                    gone.setdefault(place, entry.index)
                there.clear()
        return gone

    def is_gone(self, put: Put, index: int) -> bool:
        """True if a record was trimmed, or its stream deleted, before this line of the log."""
        return self.gone_since.get((put.shard_id, put.position), index) < index

    def gap(self, entry: LogEntry, missing: RecordsMissing) -> list[Put]:
        """The records that a published gap says are missing.

        One that reaches to what is there, whatever that is, means those that were gone by then.
        """
        shard_id = missing.shard_id
        after = (int(missing.after.partition("/")[0]), -1) if missing.after[:1].isdigit() else None
        before = (int(missing.before), -1) if missing.before.isdigit() else None
        covered = self.between(shard_id, after, before)
        if missing.before in ("the tip", "the oldest record"):
            covered = [put for put in covered if self.is_gone(put, entry.index)]
        elif before is None:
            covered = covered[: bisect_right(self.put_at.get(shard_id, []), entry.at)]
        family = {shard_id} if missing.before == "SHARD_END" else set()  # what followed may have passed unseen as well
        for child, parents in self.parents.items():
            if family.intersection(parents):
                family.add(child)
                covered = covered + [put for put in self.puts.get(child, []) if self.is_gone(put, entry.index)]
        return [put for put in covered if put.position[0] != (after or (-1,))[0] or self.is_gone(put, entry.index)]

    def record_at(self, shard_id: str, place: str) -> Put | None:
        """The last record of a sequence number, as an event names it; None if it is no number, or not the shard's."""
        if not place[:1].isdigit():
            return None
        number = int(place.partition("/")[0])
        found = self.between(shard_id, (number, -1), (number + 1, -1))
        return found[-1] if found else None

    @cached_property
    def deliveries_of(self) -> dict[str, list[float]]:
        """When each shard's batches began."""
        times: defaultdict[str, list[float]] = defaultdict(list)
        for entry, batch in self.log.of(Delivered):
            times[batch.shard_id].append(entry.at)
        return dict(times)

    @cached_property
    def calls_of(self) -> dict[tuple[str, str], list[tuple[LogEntry, Delivered | Done | Raised]]]:
        """What was seen of user code, by worker and shard."""
        calls: defaultdict[tuple[str, str], list[tuple[LogEntry, Delivered | Done | Raised]]] = defaultdict(list)
        for entry, what in self.log.of(Delivered, Done, Raised):
            calls[entry.worker, what.shard_id].append((entry, what))
        return dict(calls)

    @cached_property
    def parents(self) -> dict[str, tuple[str, ...]]:
        """Of each child of a reshard."""
        return {child: reshard.parents for _, reshard in self.log.of(Resharded) for child in reshard.children}

    # -- rows ---------------------------------------------------------------------------------------------------------

    @cached_property
    def writes(self) -> list[tuple[LogEntry, RowWritten]]:
        return list(self.log.of(RowWritten))

    @cached_property
    def owner_changes(self) -> list[tuple[LogEntry, RowWritten]]:
        """Those that name another owner for a row that is unfinished, or none."""
        return [
            (entry, write)
            for entry, write in self.writes
            if write.stood is not None
            and write.stands is not None
            and not write.stands.is_finished
            and write.stood.owner != write.stands.owner
        ]

    @cached_property
    def writes_of(self) -> dict[str, list[tuple[LogEntry, RowWritten]]]:
        """By row."""
        by_row: defaultdict[str, list[tuple[LogEntry, RowWritten]]] = defaultdict(list)
        for entry, write in self.writes:
            by_row[write.key].append((entry, write))
        return dict(by_row)

    @cached_property
    def _announced(self) -> set[int]:
        """The writes, by line, of which their writer says that they began an epoch."""
        written: dict[tuple[str, int, str], int] = {}
        announced = set()
        for entry, what in self.log.of(RowWritten, LeasePickedUp):
            if isinstance(what, LeasePickedUp):
                announced.add(written.get((what.shard_id, what.fencing_token, entry.worker), -1))
            elif what.stands is not None:
                written[what.key, what.stands.counter, entry.worker] = entry.index
        return announced

    def is_pick_up(self, entry: LogEntry, write: RowWritten) -> bool:
        """True for the write that begins an epoch; a holder that writes its vanished row anew goes on in its own.

        Who has lost a lease whose row still names it picks it up again; that this is no checkpoint, only it can tell.
        """
        if write.stood is None or write.stands is None or write.stands.held_by is None or write.is_counter_free:
            return False
        return write.stood.held_by != write.stands.held_by or entry.index in self._announced

    @cached_property
    def pick_ups_of(self) -> dict[str, list[PickUp]]:
        """The writes that began an epoch, by shard, in order."""
        by_row: defaultdict[str, list[PickUp]] = defaultdict(list)
        for entry, write in self.writes:
            if write.stands is not None and self.is_pick_up(entry, write):
                by_row[write.key].append((entry, write.stands))
        return dict(by_row)

    @cached_property
    def _pick_ups(self) -> dict[tuple[str, int, str], list[PickUp]]:
        epochs: defaultdict[tuple[str, int, str], list[PickUp]] = defaultdict(list)
        for shard_id, picked_up in self.pick_ups_of.items():
            for entry, row in picked_up:
                epochs[shard_id, row.counter, entry.worker].append((entry, row))
        return dict(epochs)

    def pick_up_of(self, entry: LogEntry, call: Delivered | Done | Raised) -> PickUp | None:
        """The write that began the epoch of a call. (A table that is made anew gives the same tokens again.)"""
        epochs = self._pick_ups.get((call.shard_id, call.token, entry.worker), ())
        return next((one for one in reversed(epochs) if one[0].index < entry.index), None)

    @cached_property
    def _written_at(self) -> dict[str, list[float]]:
        return {key: [entry.at for entry, _ in writes] for key, writes in self.writes_of.items()}

    def row_at(self, shard_id: str, at: float) -> Lease | None:
        """The row as it stood at an instant."""
        times = self._written_at.get(shard_id, [])
        last = bisect_right(times, at) - 1
        return self.writes_of[shard_id][last][1].stands if last >= 0 else None

    @cached_property
    def ended_at(self) -> dict[str, float]:
        """When each row said SHARD_END first."""
        ended: dict[str, float] = {}
        for entry, write in self.writes:
            if write.stands is not None and write.stands.is_finished:
                ended.setdefault(write.key, entry.at)
        return ended

    # -- who, and when things went wrong ------------------------------------------------------------------------------

    @cached_property
    def joined(self) -> dict[str, tuple[LogEntry, Joined]]:
        """How each worker began."""
        return {entry.worker: (entry, joined) for entry, joined in self.log.of(Joined)}

    def is_manual(self, worker: str) -> bool:
        """True if a worker's processors checkpoint by themselves."""
        return worker in self.joined and self.joined[worker][1].is_manual

    @property
    def lock_writes(self) -> list[tuple[LogEntry, LockWritten]]:
        """Every change of the leader lock."""
        return self.sessions.lock_writes

    @property
    def troubles(self) -> list[tuple[float, float, str]]:
        """From when to when what was wrong with the doors."""
        return self.circumstances.troubles

    @property
    def membership_changes(self) -> list[tuple[float, str]]:
        """When which worker came, went, stood still or came back."""
        return self.circumstances.changes


def position_of(checkpoint: Checkpoint) -> Position | None:
    """The last record that a checkpoint covers; None if it is no number."""
    return (int(checkpoint.sequence_number), checkpoint.sub_sequence_number) if checkpoint.is_number else None
