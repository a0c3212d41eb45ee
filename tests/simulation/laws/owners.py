"""S6 and S7: who may write, and who may deliver."""

from kcl_py.core.lease import Lease
from tests.simulation.facts import Delivered, EntryWritten, RowWritten, TableDropped, TableRestored
from tests.simulation.laws.history import History
from tests.simulation.laws.judgement import Judgement

_PRECIOUS = ("effective_owner", "checkpoint", "child_shard_ids")


def guarded(history: History) -> Judgement:
    """S6: a write that changes the effective owner, a checkpoint or children met the row as its writer had seen it."""
    judgement = Judgement()
    for entry, write in history.writes:
        stood, stands, claimed = write.stood, write.stands, write.claimed
        if stood is None:
            judgement.demand(
                claimed is None, f"{entry.at:.3f} {entry.worker} wrote {write.key}, which is not there, as if it were"
            )
            continue
        if not entry.worker:  # an operator, who guards nothing
            continue
        changed = [name for name in _PRECIOUS if stands is None or getattr(stood, name) != getattr(stands, name)]
        if not changed and not write.is_counter_free:
            continue
        if write.is_counter_free:
            is_as_seen = claimed is not None and _holders(stood) == _holders(claimed)
            is_allowed = is_as_seen and not changed and stands is not None and stands.counter == stood.counter
        else:
            is_as_seen = claimed is not None and _guard(stood) == _guard(claimed)
            is_allowed = is_as_seen and (stood.is_finished if stands is None else stands.counter == stood.counter + 1)
        judgement.demand(
            is_allowed, f"{entry.at:.3f} {entry.worker} changed {write.key} ({', '.join(changed)}) unguarded: {write}"
        )
    return judgement


def only_by_the_holder(history: History) -> Judgement:
    """S6: only the effective owner moves a checkpoint or names children."""
    judgement = Judgement()
    for entry, write in history.writes:
        stood, stands = write.stood, write.stands
        if stood is None or stands is None:
            continue
        if stood.checkpoint != stands.checkpoint or stood.child_shard_ids != stands.child_shard_ids:
            judgement.demand(
                history.worker_of(stood.effective_owner) == entry.worker,
                f"{entry.at:.3f} {entry.worker} moved the checkpoint of {write.key}, held by {stood.effective_owner}",
            )
    return judgement


def only_from_the_dead(history: History) -> Judgement:
    """S6: who holds a lease keeps it until it lets go itself, or its session is revoked or has no entry."""
    judgement = Judgement()
    dead_since: dict[str, int] = {}
    for entry, what in history.log.of(EntryWritten, RowWritten):
        if isinstance(what, EntryWritten):
            if what.is_revoked or what.beat is None:
                dead_since.setdefault(what.key, entry.index)
            continue
        holder = what.stood.held_by if what.stood is not None else None
        if holder is None or what.stands is None or holder != what.stood.effective_owner:
            continue
        if what.stands.effective_owner != holder and history.worker_of(holder) != entry.worker:
            is_of_this_table = any(one.index < entry.index for one, _ in history.sessions.entries_of.get(holder, ()))
            judgement.demand(
                holder in dead_since or not is_of_this_table or bool(history.circumstances.resets),
                f"{entry.at:.3f} {entry.worker} takes {what.key} from {holder}, which lives",
            )
    return judgement


def before_the_deadline(history: History) -> Judgement:
    """S7: no batch begins past the deadline that follows from the last beat of its session that landed."""
    judgement = Judgement()
    for entry, batch in history.log.of(Delivered):
        picked_up = history.pick_up_of(entry, batch)
        if picked_up is None or picked_up[1].held_by is None:
            continue
        session = picked_up[1].held_by
        deadline = history.sessions.deadline_at(session, entry.at)
        judgement.judged += 1
        if deadline is None or entry.at > deadline + 1e-6:
            latest = f"{deadline:.3f}" if deadline is not None else "never"
            judgement.append(f"{entry.at:.3f} {session} begins a batch of {batch.shard_id}; its deadline was {latest}")
    return judgement


def no_zombie(history: History) -> Judgement:
    """S7: once a later epoch was picked up, no batch of an earlier one begins. Another table is law S10's."""
    judgement = Judgement()
    newest: dict[str, int] = {}  # by shard: the line of the log in which its newest epoch began
    for entry, what in history.log.of(RowWritten, Delivered):
        if isinstance(what, RowWritten):
            if history.is_pick_up(entry, what):
                newest[what.key] = entry.index
            continue
        picked_up = history.pick_up_of(entry, what)
        if picked_up is not None and not history.circumstances.is_of_another_table(picked_up[0], entry):
            judgement.demand(
                picked_up[0].index >= newest.get(what.shard_id, 0),
                f"{entry.at:.3f} {entry.worker} delivers from {what.shard_id} under {what.token}; a later epoch has "
                "begun",
            )
    return judgement


def tokens_grow(history: History) -> Judgement:
    """S7: a later epoch of a shard has a higher fencing token, also if its row vanished in between; tokens begin anew
    with a table that is made anew, or restored.
    """
    judgement = Judgement()
    highest: dict[str, int] = {}
    for entry, what in history.log.of(RowWritten, TableDropped, TableRestored):
        if isinstance(what, TableDropped | TableRestored):
            highest.clear()
        elif isinstance(what, RowWritten) and what.stands is not None and history.is_pick_up(entry, what):
            token = what.stands.counter
            judgement.demand(
                token > highest.get(what.key, -1),
                f"{entry.at:.3f} {entry.worker} picked {what.key} up under {token}, after {highest.get(what.key)}",
            )
            highest[what.key] = max(token, highest.get(what.key, -1))
    return judgement


def _guard(lease: Lease) -> tuple[str | None, str | None, int]:
    return lease.owner, lease.checkpoint_owner, lease.counter


def _holders(lease: Lease) -> tuple[str | None, str | None, str | None]:
    return lease.owner, lease.checkpoint_owner, lease.held_by
