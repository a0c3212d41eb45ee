"""S9 and L5: a shard ends only when it has ended, and its children are found whoever dies."""

from kcl_py.events import RecordsMissing
from tests.simulation.facts import Resharded, RowWritten
from tests.simulation.laws.history import History
from tests.simulation.laws.judgement import Judgement
from tests.simulation.laws.liveness import PLAN_SECONDS, TAKEOVER_SECONDS

RETENTION_SECONDS = 24 * 3600.0


def shard_end(history: History) -> Judgement:
    """S9: SHARD_END is written only for a shard that a split or a merge has closed, names its children, and comes when
    every child's row stands, or has stood; or for one that retention has passed, and a gap says so. (That its records
    are done is law S1.)
    """
    judgement = Judgement()
    children: dict[str, tuple[float, tuple[str, ...]]] = {}
    given_up: set[str] = set()  # as trimmed
    stood: set[str] = set()
    for entry, what in history.log.of(Resharded, RecordsMissing, RowWritten):
        if isinstance(what, Resharded):
            children.update((parent, (entry.at, what.children)) for parent in what.parents)
        elif isinstance(what, RecordsMissing):
            if what.before == "SHARD_END":
                given_up.add(what.shard_id)
        else:
            stood.add(what.key)
            if what.stands is None or not what.stands.is_finished or (what.stood and what.stood.is_finished):
                continue
            closed_at, of_shard = children.get(what.key, (float("inf"), ()))
            where = f"{entry.at:.3f} {entry.worker} ends {what.key}, "
            if what.key in given_up:
                is_past = entry.at - closed_at >= RETENTION_SECONDS
                judgement.demand(is_past, where + "which is not out of retention")
                continue
            judgement.demand(bool(of_shard), where + "which is open")
            unnamed = [child for child in of_shard if child not in what.stands.child_shard_ids]
            judgement.demand(not unnamed, where + f"and does not name {unnamed}")
            unborn = [child for child in of_shard if child not in stood]
            judgement.demand(not unborn, where + f"and the rows of {unborn} do not stand")
    return judgement


def discovery(history: History) -> Judgement:
    """L5: the children of a shard that ended are held within one audit interval, whoever died meanwhile.

    Judged where the doors worked and somebody was there all the time; an interval shorter than a takeover counts as
    one, for a child may belong to the ender when that dies. A child that closed longer ago than retention is nowhere.
    """
    judgement = Judgement()
    closed_at = {parent: entry.at for entry, reshard in history.log.of(Resharded) for parent in reshard.parents}
    takeover = 2 * history.failover_seconds + TAKEOVER_SECONDS
    patience = max(history.audit_seconds, takeover) + 2 * PLAN_SECONDS
    for child, parents in history.parents.items():
        if any(parent not in history.ended_at for parent in parents):
            continue
        begin = max(history.ended_at[parent] for parent in parents)
        end = begin + patience
        if end > history.ends_at or not history.is_calm(begin, end):
            continue
        if end - closed_at.get(child, end) >= RETENTION_SECONDS:
            continue
        if history.circumstances.is_anybody_able_throughout(begin - history.failover_seconds, end):
            held = [entry.at for entry, _ in history.pick_ups_of.get(child, ())]
            judgement.demand(
                any(at <= end for at in held),
                f"{begin:.3f} {child} may be read, and nobody holds it for {patience:g} s",
            )
    return judgement
