"""S6 to S8: who may write and deliver, and what a change of owner may repeat."""

from collections import defaultdict

from kcl_py.core.lease import Lease
from kcl_py.events import LeaseHandedOver, LeasePickedUp
from tests.simulation.facts import Delivered, Done, Entry, Leaving, Position, RowWritten
from tests.simulation.laws.history import History

_PRECIOUS = ("effective_owner", "checkpoint", "child_shard_ids")


def guarded(history: History) -> list[str]:
    """S6: a write that changes the effective owner, a checkpoint or children met the row as its writer had seen it."""
    broken = []
    for entry, write in history.writes:
        stood, stands, claimed = write.stood, write.stands, write.claimed
        if stood is None:
            if claimed is not None:
                broken.append(f"{entry.at:.3f} {entry.worker} wrote {write.key}, which is not there")
            continue
        changed = [name for name in _PRECIOUS if stands is None or getattr(stood, name) != getattr(stands, name)]
        if write.is_counter_free:
            is_as_seen = claimed is not None and _holders(stood) == _holders(claimed)
            is_allowed = is_as_seen and not changed and stands is not None and stands.counter == stood.counter
        else:
            is_as_seen = claimed is not None and _guard(stood) == _guard(claimed)
            is_allowed = is_as_seen and (stood.is_finished if stands is None else stands.counter == stood.counter + 1)
        if not is_allowed and (changed or write.is_counter_free):
            broken.append(
                f"{entry.at:.3f} {entry.worker} changed {write.key} ({', '.join(changed)}) unguarded: {write}"
            )
    return broken


def only_by_the_holder(history: History) -> list[str]:
    """S6: only the effective owner moves a checkpoint or names children."""
    return [
        f"{entry.at:.3f} {entry.worker} moved the checkpoint of {write.key}, which {write.stood.effective_owner} holds"
        for entry, write in history.writes
        if write.stood is not None
        and write.stands is not None
        and write.stood.checkpoint != write.stands.checkpoint
        and history.worker_of(write.stood.effective_owner) != entry.worker
    ]


def before_the_deadline(history: History) -> list[str]:
    """S7: no batch begins past the deadline that follows from the last beat of its session that landed."""
    broken = []
    for entry, batch in history.log.of(Delivered):
        picked_up = history.pick_ups.get((batch.shard_id, batch.token))
        if picked_up is None or picked_up[1].held_by is None:
            continue
        session = picked_up[1].held_by
        known = [deadline for at, deadline in history.deadlines_of.get(session, ()) if at <= entry.at]
        if not known or entry.at > max(known) + 1e-6:
            latest = f"{max(known):.3f}" if known else "never"
            broken.append(f"{entry.at:.3f} {session} begins a batch of {batch.shard_id}; its deadline was {latest}")
    return broken


def no_zombie(history: History) -> list[str]:
    """S7: once a later epoch was picked up, no batch of an earlier one begins."""
    newest: dict[str, int] = {}
    broken = []
    for entry, what in history.log.of(RowWritten, Delivered):
        if isinstance(what, RowWritten):
            if what.stands is not None and (what.key, what.stands.counter) in history.pick_ups:
                newest[what.key] = what.stands.counter
        elif isinstance(what, Delivered) and what.token < newest.get(what.shard_id, 0):
            newer = newest[what.shard_id]
            broken.append(
                f"{entry.at:.3f} {entry.worker} begins a batch of {what.shard_id} under {what.token}, after {newer}"
            )
    return broken


def few_repeats(history: History, records_max: int) -> list[str]:
    """S8: an epoch delivers at most so many records again that an earlier one had delivered."""
    seen: defaultdict[str, dict[Position, int]] = defaultdict(dict)
    repeats: defaultdict[tuple[str, int], set[Position]] = defaultdict(set)
    for _, batch in history.log.of(Delivered):
        of_shard = seen[batch.shard_id]
        for put in batch.records:
            if of_shard.setdefault(put.position, batch.token) < batch.token:
                repeats[batch.shard_id, batch.token].add(put.position)
    return [
        f"{shard_id}: the epoch of {token} repeats {len(again)} records, more than {records_max}"
        for (shard_id, token), again in repeats.items()
        if len(again) > records_max
    ]


def none_when_asked(history: History) -> list[str]:
    """S8: nothing is repeated after a hand-off or an orderly leave, if no door misbehaved and no batch was cut."""
    delivered: defaultdict[str, dict[Position, int]] = defaultdict(dict)  # under which token last
    in_flight: defaultdict[str, int] = defaultdict(int)
    epochs: dict[tuple[str, str], int] = {}  # the last token of a shard at a worker
    clean: dict[str, tuple[Entry, int | None]] = {}  # shards that were passed on with nothing open, and whose epoch
    broken = []
    leaving_since: dict[str, float] = {}
    for entry, what in history.log.of(Delivered, Done, RowWritten, Leaving, LeaseHandedOver, LeasePickedUp):
        if isinstance(what, LeasePickedUp):
            epochs[what.shard_id, entry.worker] = what.fencing_token
        elif isinstance(what, LeaseHandedOver):
            if what.is_forced:
                clean.pop(what.shard_id, None)
        elif isinstance(what, Leaving):
            leaving_since[entry.worker] = entry.at
        elif isinstance(what, Done):
            in_flight[what.shard_id] -= 1
        elif isinstance(what, RowWritten):
            began = leaving_since.get(entry.worker, entry.at) - 1
            is_calm = history.is_calm(began, entry.at, but="far")  # however slow the doors are
            if _is_passed_on(history, entry, what) and not in_flight[what.key] and is_calm:
                clean[what.key] = entry, epochs.get((what.key, entry.worker))
        elif isinstance(what, Delivered):
            in_flight[what.shard_id] += 1
            of_shard = delivered[what.shard_id]
            left, token = clean.pop(what.shard_id, (entry, None))
            # what an earlier epoch left open is not the giver's to answer for
            again = [put.position for put in what.records if of_shard.get(put.position) == token]
            if token is not None and again:
                broken.append(
                    f"{entry.at:.3f} {entry.worker} repeats {again[0]} of {what.shard_id}, which {left.worker} "
                    f"passed on at {left.at:.3f}"
                )
            for put in what.records:
                of_shard[put.position] = what.token
    return broken


def _is_passed_on(history: History, entry: Entry, write: RowWritten) -> bool:
    if write.stood is None or write.stands is None or write.stands.is_finished or write.stood.held_by is None:
        return False
    giver = write.stood.effective_owner
    return write.stands.effective_owner != giver and history.worker_of(giver) == entry.worker


def _guard(lease: Lease) -> tuple[str | None, str | None, int]:
    return lease.owner, lease.checkpoint_owner, lease.counter


def _holders(lease: Lease) -> tuple[str | None, str | None, str | None]:
    return lease.owner, lease.checkpoint_owner, lease.held_by
