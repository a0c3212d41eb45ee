"""Where a shard that somebody holds makes no progress though records wait for it."""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from kcl_py.core.lease import Lease
from kcl_py.events import (
    BatchDone,
    CheckpointOverdue,
    LeaseGivenUp,
    LeaseHandedOver,
    LeasePickedUp,
    LeaseRestarted,
    LeaseWasLost,
    ProcessorFailed,
    ShardFinished,
)
from tests.simulation.facts import Delivered, Done, Entry, Position, Raised, RowWritten
from tests.simulation.laws.history import History, position_of

ENDINGS = (LeaseGivenUp, LeaseHandedOver, LeaseRestarted, LeaseWasLost, ShardFinished)
_PATIENCE_SECONDS = 20.0  # the slowest idle read is every 15 s where nobody asks for less


class Standstill(NamedTuple):
    """A held shard with a record that nobody was given, from when to when."""

    worker: str
    shard_id: str
    begin: float
    end: float


class EpochTale:
    """What is seen of one epoch from outside, in order.

    Attributes:
        begins_after: the last record that its checkpoint covered.
        signs: what was seen of it.
        ended_at: when it was over; the end of the log if it never was.
    """

    def __init__(self, shard_id: str, began: Entry, position: Position | None) -> None:
        self.shard_id = shard_id
        self.worker = began.worker
        self.began = began
        self.begins_after = position
        self.signs: list[Entry] = []
        self.ended_at = float("inf")


def tales_of(history: History) -> list[EpochTale]:
    """Every epoch that the data plane was given."""
    tales: list[EpochTale] = []
    newest: dict[tuple[str, str], EpochTale] = {}  # by worker and shard
    picked_up: dict[tuple[str, str, int], Lease] = {}
    by_shard: defaultdict[str, list[EpochTale]] = defaultdict(list)
    for entry, what in history.log.of(
        LeasePickedUp, Delivered, Done, BatchDone, Raised, ProcessorFailed, CheckpointOverdue, RowWritten, *ENDINGS
    ):
        if isinstance(what, LeasePickedUp):
            row = picked_up.get((entry.worker, what.shard_id, what.fencing_token))
            if row is None:
                continue  # it only says so; what it delivers is law S3's
            tale = EpochTale(what.shard_id, entry, position_of(row.checkpoint))
            tales.append(tale)
            newest[entry.worker, what.shard_id] = tale
            by_shard[what.shard_id].append(tale)
        elif isinstance(what, RowWritten):
            if what.stands is not None and history.is_pick_up(entry, what):  # whoever held it before holds it no more
                picked_up[entry.worker, what.key, what.stands.counter] = what.stands
                for tale in by_shard.pop(what.key, ()):
                    tale.ended_at = min(tale.ended_at, entry.at)
        elif (entry.worker, what.shard_id) in newest:
            tale = newest[entry.worker, what.shard_id]
            if isinstance(what, ENDINGS):
                tale.ended_at = min(tale.ended_at, entry.at)
            else:
                tale.signs.append(entry)
    return tales


def standstills(history: History) -> Iterator[Standstill]:
    """The times in which a record waited for longer than anything excuses: nothing was in flight, nothing had raised,
    the worker ran, and the doors were in order.
    """
    for tale in tales_of(history):
        position, since, is_free = tale.begins_after, tale.began.at, True
        for sign in [*tale.signs, None]:
            until = min(sign.at if sign is not None else history.ends_at, tale.ended_at, history.ends_at)
            first = history.index_after(tale.shard_id, position)
            puts, what_was_put = history.put_at.get(tale.shard_id, []), history.puts.get(tale.shard_id, [])
            while first < len(puts) and history.is_gone(what_was_put[first], tale.began.index):
                first += 1
            if is_free and first < len(puts):
                begin = max(since, puts[first])
                if _is_inexcusable(history, tale.worker, begin, until):
                    yield Standstill(tale.worker, tale.shard_id, begin, until)
            if sign is None:
                break
            since = sign.at
            what = sign.what
            if isinstance(what, Delivered):
                position, is_free = what.records[-1].position, False
            elif isinstance(what, CheckpointOverdue):
                is_free = False
            elif not (isinstance(what, Done) and history.is_manual(tale.worker)):  # which may come from beside the call
                is_free = isinstance(what, Done | BatchDone)  # a manual one returns, and nothing is done


def _is_inexcusable(history: History, worker: str, begin: float, end: float) -> bool:
    circumstances = history.circumstances
    return (
        end - begin > _PATIENCE_SECONDS
        and history.is_calm(begin, begin + _PATIENCE_SECONDS)
        and circumstances.is_able_throughout(worker, begin - history.failover_seconds, begin + _PATIENCE_SECONDS)
    )
