"""S8: what a change of owner may repeat."""

from collections import defaultdict
from collections.abc import Iterator

import msgspec

from kcl_py.events import (
    BatchDelivered,
    BatchDone,
    EventLoopBlocked,
    LeaseHandedOver,
    LeasePickedUp,
    SessionLost,
    ShardStalled,
)
from tests.simulation.facts import (
    Delivered,
    Done,
    Drained,
    Entry,
    Failed,
    Leaving,
    Position,
    RowErased,
    RowWritten,
)
from tests.simulation.laws.circumstances import RESETS
from tests.simulation.laws.history import History
from tests.simulation.laws.judgement import Judgement

LATE_SECONDS = 3.0  # for a write, beyond the interval


def few_repeats(history: History, records_max: int | None = None) -> Judgement:
    """S8: an epoch delivers at most so many records again that an earlier one had delivered: the cap and one page, with
    automatic checkpoints. What an operator's reset repeats is the operator's.
    """
    judgement = Judgement()
    records_max = history.repeats_max if records_max is None else records_max
    if records_max is not None:
        for epoch, again in repeats_by_epoch(history):
            judgement.demand(again <= records_max, f"{epoch} repeats {again} records, more than {records_max}")
    return judgement


def repeats_by_epoch(history: History) -> Iterator[tuple[str, int]]:
    """How many records each epoch delivered again, unless its processor checkpoints by itself."""
    seen: defaultdict[str, dict[Position, int]] = defaultdict(dict)  # in which epoch first
    repeats: defaultdict[tuple[int, str], set[Position]] = defaultdict(set)  # by epoch, the line in which it began
    for entry, what in history.log.of(Delivered, RowErased, *RESETS):
        if isinstance(what, RowErased):
            seen.pop(what.key, None)
            continue
        if not isinstance(what, Delivered):
            seen.clear()
            continue
        picked_up = history.pick_up_of(entry, what)
        if picked_up is None or history.is_manual(entry.worker):
            continue
        began, of_shard = picked_up[0].index, seen[what.shard_id]
        again = repeats[began, f"{entry.worker} with {what.shard_id} under {what.token}"]
        again.update(put.position for put in what.records if of_shard.setdefault(put.position, began) < began)
    for (_, epoch), again in repeats.items():
        yield epoch, len(again)


def written_on_time(history: History) -> Judgement:
    """S8: with automatic checkpoints what is done is written within the checkpoint interval, so that a worker that dies
    has little to repeat. Judged where the doors work and the worker runs.
    """
    judgement = Judgement()
    interval = history.checkpoint_seconds
    if interval is None:
        return judgement
    unwritten: dict[tuple[str, str], Entry] = {}  # by worker and shard: the first batch done since the last write
    holders: dict[str, str] = {}
    for entry, what in history.log.of(Done, RowWritten, *RESETS, Drained):
        if isinstance(what, Done):
            if not history.is_manual(entry.worker) and holders.get(what.shard_id) == entry.worker:
                unwritten.setdefault((entry.worker, what.shard_id), entry)
            continue
        if isinstance(what, RowWritten):
            holders[what.key] = history.worker_of(what.stands.held_by) if what.stands is not None else ""
        keys = [key for key in unwritten if not isinstance(what, RowWritten) or key[1] == what.key]
        for key in keys:
            done = unwritten.pop(key)
            end = done.at + interval + LATE_SECONDS
            is_able = history.circumstances.is_able_throughout(key[0], done.at, end)
            if isinstance(what, RowWritten | Drained) and is_able and history.is_calm(done.at, end):
                judgement.demand(entry.at <= end, f"{done.at:.3f} {key} is done, and written at {entry.at:.3f}")
    return judgement


class _PassedOn(msgspec.Struct):
    """A shard that was let go in order, with no batch in flight."""

    entry: Entry
    token: int | None


def none_when_asked(history: History) -> Judgement:
    """S8: nothing is repeated after a hand-off or an orderly leave, with automatic checkpoints as with manual ones, for
    `shutdown_requested` checkpoints here. It is demanded where no door misbehaved, no batch was cut or had raised, and
    the worker that let go was in order itself.
    """
    judgement = Judgement()
    orderly = _Orderly(history)
    delivered: defaultdict[str, dict[Position, int]] = defaultdict(dict)  # under which token last
    clean: dict[str, _PassedOn] = {}
    for entry, what in history.log.of(Delivered, RowErased, RowWritten, LeaseHandedOver, *_Orderly.TOLD, *RESETS):
        orderly.heard(entry)
        if isinstance(what, RESETS):
            break
        if isinstance(what, LeaseHandedOver):
            if what.is_forced:
                clean.pop(what.shard_id, None)
        elif isinstance(what, RowErased):
            clean.pop(what.key, None)
        elif isinstance(what, RowWritten):
            if _is_passed_on(history, entry, what):
                clean.pop(what.key, None)
                if orderly.is_in_order(entry, what.key) and _giver(what) not in orderly.lost:
                    clean[what.key] = _PassedOn(entry, orderly.tokens.get((entry.worker, what.key)))
        elif isinstance(what, Delivered):
            of_shard = delivered[what.shard_id]
            left = clean.pop(what.shard_id, None)
            if left is not None and left.token is not None:
                # what an earlier epoch left open is not the giver's to answer for
                again = [put.position for put in what.records if of_shard.get(put.position) == left.token]
                judgement.demand(
                    not again,
                    f"{entry.at:.3f} {entry.worker} repeats {again[:1]} of {what.shard_id}, which {left.entry.worker} "
                    f"passed on at {left.entry.at:.3f}",
                )
            for put in what.records:
                of_shard[put.position] = what.token
    return judgement


class _Orderly:
    """Whether a worker that passes a shard on does so in order."""

    TOLD = (BatchDelivered, BatchDone, LeasePickedUp, Leaving, Failed, EventLoopBlocked, SessionLost, ShardStalled)

    def __init__(self, history: History) -> None:
        self._history = history
        self._in_flight: set[tuple[str, str]] = set()  # worker and shard: a batch is, or has raised
        self._leaving_since: dict[str, float] = {}
        self._disturbed: set[str] = set()
        self.lost: set[str] = set()  # sessions that ended before they let go
        self.tokens: dict[tuple[str, str], int] = {}  # of the newest epoch of a shard at a worker

    def heard(self, entry: Entry) -> None:
        match entry.what:
            case BatchDelivered(shard_id=shard_id) | ShardStalled(shard_id=shard_id):
                self._in_flight.add((entry.worker, shard_id))
            case BatchDone(shard_id=shard_id):
                self._in_flight.discard((entry.worker, shard_id))
            case LeasePickedUp(shard_id=shard_id, fencing_token=token):
                self._in_flight.discard((entry.worker, shard_id))
                self.tokens[entry.worker, shard_id] = token
            case Leaving():
                self._leaving_since[entry.worker] = entry.at
            case Failed() | EventLoopBlocked():
                self._disturbed.add(entry.worker)
            case SessionLost(session=session):
                self.lost.add(session)

    def is_in_order(self, entry: Entry, shard_id: str) -> bool:
        history, worker = self._history, entry.worker
        began = self._leaving_since.get(worker, entry.at) - 1
        circumstances = history.circumstances
        stood_still = any(
            name == worker and at != self._leaving_since.get(worker)
            for at, name in circumstances.changes_between(began - history.failover_seconds, entry.at)
            if history.joined[worker][0].at != at
        )
        is_undisturbed = worker not in self._disturbed and not stood_still
        # however slow the doors are
        return (
            is_undisturbed and (worker, shard_id) not in self._in_flight and history.is_calm(began, entry.at, but="far")
        )


def _is_passed_on(history: History, entry: Entry, write: RowWritten) -> bool:
    if write.stood is None or write.stands is None or write.stands.is_finished or write.stood.held_by is None:
        return False
    giver = _giver(write)
    return write.stands.effective_owner != giver and history.worker_of(giver) == entry.worker


def _giver(write: RowWritten) -> str | None:
    return None if write.stood is None else write.stood.effective_owner
