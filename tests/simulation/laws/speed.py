"""L6, L8 and L9: how soon deliveries go on after a worker left, after the last fault, and after a start."""

from collections.abc import Iterator

from tests.simulation.facts import CoreChosen, Crashed, Delivered, Done, Entry, Healed, Leaving, Left
from tests.simulation.laws.history import History, position_of
from tests.simulation.laws.judgement import Judgement
from tests.simulation.laws.liveness import PLAN_SECONDS, TAKEOVER_SECONDS, went_on_at

LOOK_SECONDS = 1.0  # between two questions what one was assigned
DRAIN_SECONDS = 0.5  # for everything else between the last batch of the one and the first of the other
START_SECONDS = 5.0
GRACE_SECONDS_MAX = 25.0
INSTANT_SECONDS = 1e-6


def drain(history: History) -> Judgement:
    """L6: what a worker that is told to stop holds goes on elsewhere about a second after its last batch is done.

    Judged where the doors work, somebody else runs, and nobody else comes or goes.
    """
    judgement = Judgement()
    for entry, _ in history.log.of(Leaving):
        if entry.at >= history.ends_at or not _is_alone_in_going(history, entry):
            continue
        for shard_id in history.writes_of:
            row = history.row_at(shard_id, entry.at)
            if row is None or row.is_finished or row.held_by is None or history.worker_of(row.held_by) != entry.worker:
                continue
            free_at = _free_at(history, entry, shard_id)
            after = went_on_at(history, shard_id, entry.at)
            end = free_at + DRAIN_SECONDS + LOOK_SECONDS if free_at is not None else history.ends_at
            if end >= history.ends_at or history.ended_at.get(shard_id, end) < end:
                continue
            judgement.demand(
                after is not None and after <= end,
                f"{entry.at:.3f} {entry.worker} is done with {shard_id} at {free_at}, and it goes on at {after}",
            )
    return judgement


def heal(history: History) -> Judgement:
    """L8: two failover times after the last fault every shard that may be read is held by somebody who lives, and where
    records wait deliveries go on; by one of the core, if what ails the others never ends.
    """
    judgement = Judgement()
    healed = next((entry.at for entry, _ in history.log.of(Healed)), None)
    circumstances = history.circumstances
    if healed is None or circumstances.resets:
        return judgement
    end = healed + 2 * history.failover_seconds + TAKEOVER_SECONDS + START_SECONDS
    if any(history.log.of(CoreChosen)):
        end += PLAN_SECONDS  # of several who died at once, one may have been given what another held
    is_leaving = any(entry.at > healed - GRACE_SECONDS_MAX for entry, _ in history.log.of(Leaving) if entry.at < end)
    is_near = history.is_calm(healed + history.failover_seconds + INSTANT_SECONDS, end)  # services may be slow for good
    if end >= history.ends_at or is_leaving or not is_near:
        return judgement
    living = circumstances.at(end).able
    for shard_id in history.writes_of:
        parents = history.parents.get(shard_id, ())
        row = history.row_at(shard_id, end)
        if history.row_at(shard_id, healed) is None:  # a child, or a row that an audit makes anew: see L5
            continue
        if row is None or row.is_finished or any(history.ended_at.get(one, end) > healed for one in parents):
            continue
        holder = history.worker_of(row.held_by)
        if holder in circumstances.blocked_for_ever:
            continue  # it beats; law L4 says how long it may
        is_held = holder in living
        judgement.demand(
            is_held,
            f"{end:.3f} {shard_id} is still {row.held_by or 'nobody'}'s, and all was well from {healed:.3f} on",
        )
        if is_held and _has_backlog(history, shard_id, healed, end):
            judgement.demand(_is_heard_of(history, shard_id, healed, end), f"{healed:.3f} {shard_id} does not go on")
    return judgement


def cold_start(history: History) -> Judgement:
    """L9: from an empty table to the first delivery it takes five seconds; and as long on a host whose workers were
    killed, if there are no others.
    """
    judgement = Judgement()
    for joined_at, is_first in _starts(history):
        put_at = _first_undone(history, joined_at)
        if put_at is None:
            continue
        begin = max(joined_at, put_at)
        end = begin + START_SECONDS
        times = [entry.at for entry, _ in history.log.of(Delivered) if entry.at >= joined_at]
        is_alone = history.circumstances.is_anybody_able_throughout(joined_at, end)
        if end < history.ends_at and history.is_calm(joined_at, end) and is_alone:
            what = "an empty table" if is_first else "a dead worker's table"
            judgement.demand(
                bool(times) and times[0] <= end, f"{joined_at:.3f} {what}: the first delivery is at {times[:1]}"
            )
    return judgement


def _is_alone_in_going(history: History, leaving: Entry) -> bool:
    end = leaving.at + GRACE_SECONDS_MAX
    circumstances = history.circumstances
    others = [name for _, name in circumstances.upsets_between(leaving.at - history.failover_seconds, end)]
    is_killed = any(one.worker == leaving.worker for one, _ in history.log.of(Crashed))
    is_calm = history.is_calm(leaving.at - history.failover_seconds, end)
    return is_calm and set(others) == {leaving.worker} and not is_killed and bool(circumstances.at(leaving.at).able)


def _free_at(history: History, leaving: Entry, shard_id: str) -> float | None:
    """When nothing of the shard was in flight any more; None if the call raised, or never returned."""
    free_at: float | None = leaving.at
    for entry, what in history.calls_of.get((leaving.worker, shard_id), ()):
        if isinstance(what, Delivered):
            if entry.at > leaving.at + DRAIN_SECONDS:
                break
            free_at = None
        elif isinstance(what, Done):
            free_at = max(entry.at, leaving.at)
    return free_at


def _has_backlog(history: History, shard_id: str, at: float, end: float) -> bool:
    """True if records waited at an instant for whoever holds the shard a while later."""
    entry, row = [one for one in history.pick_ups_of[shard_id] if one[0].at <= end][-1]
    position = position_of(row.checkpoint)
    for call, what in history.calls_of.get((entry.worker, shard_id), ()):
        if isinstance(what, Delivered) and entry.index < call.index and call.at < at:
            position = what.records[-1].position
    first, put_at = history.index_after(shard_id, position), history.put_at.get(shard_id, [])
    waits = zip(history.puts.get(shard_id, [])[first:], put_at[first:], strict=True)
    return any(when < at and not history.is_gone(put, entry.index) for put, when in waits)


def _is_heard_of(history: History, shard_id: str, begin: float, end: float) -> bool:
    calls = (calls for (_, one), calls in history.calls_of.items() if one == shard_id)
    return any(begin <= entry.at <= end for of_worker in calls for entry, _ in of_worker)


def _starts(history: History) -> Iterator[tuple[float, bool]]:
    """When a fleet began, or began again on the one host where it was killed; and whether the table was empty."""
    before: list[str] = []
    for entry, joined in history.joined.values():
        is_same_host = joined.host and all(history.joined[name][1].host == joined.host for name in before)
        dead = {one.worker for one, _ in history.log.of(Crashed, Left) if one.index < entry.index}
        if not before or (is_same_host and dead.issuperset(before)):
            yield entry.at, not before
        before.append(entry.worker)


def _first_undone(history: History, at: float) -> float | None:
    """When the first record was put that was not done at an instant; None if there never was one."""
    done = {
        (put.shard_id, put.position) for entry, what in history.log.of(Done) if entry.at < at for put in what.records
    }
    times = [
        when
        for shard_id, puts in history.puts.items()
        for put, when in zip(puts, history.put_at[shard_id], strict=True)
        if (shard_id, put.position) not in done
    ]
    return min(times, default=None)
