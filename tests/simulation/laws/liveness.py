"""L1, L2 and L7: whose leases are soon elsewhere, and whose stay where they are."""

from collections.abc import Iterator
from typing import NamedTuple

from kcl_py.events import HandOffOpened, LeaseAssigned, SessionLost, SessionStarted, WorkerReady
from kcl_py.runtime.fleet.coordinator import OBSERVE_SECONDS, TURNS_PER_FAILOVER
from tests.simulation.facts import Blocked, Crashed, EntryWritten, Failed, Trouble
from tests.simulation.laws.history import History, position_of
from tests.simulation.laws.judgement import Judgement

TAKEOVER_SECONDS = 3.0  # on top of the failover time
PLAN_SECONDS = 5.0
STRAY_SECONDS = 12.0  # for which a write may be under way, and be answered
SETTLE_SECONDS = 30.0  # after the last membership change all moves are made


class Takeover(NamedTuple):
    """What became of a lease of a worker that crashed."""

    shard_id: str
    worker: str
    crashed_at: float
    took_seconds: float | None  # until its records were delivered elsewhere, or it was picked up; None for never
    allowed_seconds: float


def takeovers(history: History) -> Iterator[Takeover]:
    """Those that can be judged: nothing else went wrong meanwhile, and nobody else came or went."""
    failover, circumstances = history.failover_seconds, history.circumstances
    for entry, _ in history.log.of(Crashed):
        longest = entry.at + 2 * failover + TAKEOVER_SECONDS
        if len(circumstances.upsets_between(entry.at - failover, longest)) > 1:
            continue
        if not history.is_calm(entry.at, longest) or not circumstances.at(entry.at).able:
            continue
        lock = history.sessions.leader_at(entry.at)
        survivors = (
            {history.worker_of(key) for key in (lock.owner, lock.standby) if key} - {entry.worker} if lock else set()
        )
        allowed = (1 if survivors else 2) * failover + TAKEOVER_SECONDS
        looked = max(OBSERVE_SECONDS, OBSERVE_SECONDS * len(circumstances.at(entry.at).able) / 100)  # above 100 workers
        allowed += min(looked, failover / TURNS_PER_FAILOVER) - OBSERVE_SECONDS if looked > OBSERVE_SECONDS else 0
        for shard_id in history.writes_of:
            row = history.row_at(shard_id, entry.at)
            if row is None or row.is_finished or history.worker_of(row.effective_owner) != entry.worker:
                continue
            after = went_on_at(history, shard_id, entry.at)
            if after is None and shard_id in history.ended_at:
                continue  # its last request arrived after the crash: SHARD_END, and nothing is left to take over
            if after is not None or history.ends_at > entry.at + allowed:
                took = after - entry.at if after is not None else None
                yield Takeover(shard_id, entry.worker, entry.at, took, allowed)


def soon_elsewhere(history: History) -> Judgement:
    """L1: what a worker that crashed held is delivered elsewhere (where no records wait: picked up) within F + 3 s if
    leader or standby survives, and within 2 F + 3 s otherwise; above 100 workers everybody is looked at less often.
    """
    judgement = Judgement()
    for one in takeovers(history):
        judgement.demand(
            one.took_seconds is not None and one.took_seconds <= one.allowed_seconds,
            f"{one.crashed_at:.3f} {one.worker} crashed, and {one.shard_id} was elsewhere after {one.took_seconds} s",
        )
    return judgement


def no_orphan(history: History) -> Judgement:
    """L2: an unfinished shard whose parents are done has an owner who lives, or gets one within two plan intervals.

    Judged where nothing else went wrong meanwhile, and nobody came or went.
    """
    judgement = Judgement()
    circumstances = history.circumstances
    patience = 2 * PLAN_SECONDS
    for shard_id, begin, end in _orphaned(history):
        if circumstances.changes_between(begin - history.failover_seconds, min(end, begin + patience)):
            continue
        if history.is_calm(begin, begin + patience) and circumstances.at(begin).able:
            judgement.demand(end - begin <= patience, f"{begin:.3f} {shard_id} has no owner for {end - begin:.3f} s")
    return judgement


def nobody_dies_of_throttling(history: History) -> Judgement:
    """L7: while the table throttles everybody's writes, no worker that runs is declared dead for its silence."""
    judgement = Judgement()
    troubles = list(history.log.of(Trouble))
    if not any(what.what == "throttle all" for _, what in troubles):
        return judgement
    judgement.judged = sum(what.what == "throttle all" for _, what in troubles)
    for entry, written in history.log.of(EntryWritten):
        if not written.is_revoked:
            continue
        worker = history.worker_of(written.key)
        since = entry.at - 2 * history.failover_seconds
        own = [(one.at, what) for one, what in troubles if one.worker == worker and one.at <= entry.at]
        is_throttled = any(what.what == "throttle all" and entry.at <= what.until for _, what in own)
        is_ill_otherwise = any(what.what != "throttle all" and what.until >= since for _, what in own)
        is_running = worker in history.circumstances.at(entry.at).beating and not any(
            name == worker for _, name in history.circumstances.changes_between(since, entry.at)
        )
        if is_throttled and is_running and not is_ill_otherwise:
            judgement.append(f"{entry.at:.3f} {entry.worker} declared {written.key} dead, which was only throttled")
    return judgement


def went_on_at(history: History, shard_id: str, at: float) -> float | None:
    """When a shard went on after an instant: its first delivery after the next pick-up, or that alone if nothing waited
    then.
    """
    picked_up = next((one for one in history.pick_ups_of.get(shard_id, ()) if one[0].at > at), None)
    if picked_up is None:
        return None
    waits = history.index_after(shard_id, position_of(picked_up[1].checkpoint))
    put_at, began_at = history.put_at.get(shard_id, []), picked_up[0].at
    if waits >= len(put_at) or put_at[waits] > began_at:
        return began_at
    return next((at for at in history.deliveries_of.get(shard_id, ()) if at > began_at), None)


def sessions_last(history: History) -> Judgement:
    """L7: a session ends only because it was revoked, or its entry is gone; not because an answer got lost."""
    judgement = Judgement()
    dead: set[str] = set()
    for entry, what in history.log.of(EntryWritten, SessionStarted, SessionLost):
        if isinstance(what, EntryWritten):
            if what.is_revoked or what.beat is None:
                dead.add(what.key)
        elif isinstance(what, SessionStarted):
            judgement.judged += 1
        elif what.session not in dead and not history.circumstances.resets:
            judgement.append(f"{entry.at:.3f} {entry.worker} lost {what.session}, though nobody took it: {what.reason}")
    return judgement


def only_the_leader_plans(history: History) -> Judgement:
    """L3: who has lost the leader lock makes no move any more, once what it had sent has landed."""
    judgement = Judgement()
    for entry, _ in history.log.of(LeaseAssigned, HandOffOpened):
        lock = history.sessions.leader_at(entry.at - STRAY_SECONDS)
        now = history.sessions.leader_at(entry.at)
        leaders = {history.worker_of(one.owner) for one in (lock, now) if one is not None}
        since = [written for written, _ in history.lock_writes if entry.at - STRAY_SECONDS < written.at <= entry.at]
        judgement.demand(
            entry.worker in leaders or any(one.worker == entry.worker for one in since) or lock is None,
            f"{entry.at:.3f} {entry.worker} makes a move, and {leaders} leads",
        )
    return judgement


_PASSES = ("Throttled", "ServiceUnavailable", "CredentialsError", "AccessDenied")


def nobody_fails(history: History) -> Judgement:
    """X: no worker gives up by itself, unless the doors gave it no usable answer when it started, stream or table are
    not what they were, or its own loop was blocked.
    """
    judgement = Judgement()
    ready = {entry.worker for entry, _ in history.log.of(WorkerReady)}
    blocked = {entry.worker for entry, _ in history.log.of(Blocked)}
    reset_at = min((at for at, _, _ in history.circumstances.resets), default=float("inf"))
    judgement.judged = len(history.joined)
    for entry, failed in history.log.of(Failed):
        is_start = entry.worker not in ready and failed.error.startswith(_PASSES)
        is_stall = entry.worker in blocked and failed.error.startswith("WorkerStalled")
        is_stuck = any(failed.error.startswith(f"{name} leaves") for name in history.circumstances.blocked_for_ever)
        if not is_start and not is_stall and not is_stuck and entry.at < reset_at:
            judgement.append(f"{entry.at:.3f} {entry.worker} failed: {failed.error}")
    return judgement


def _orphaned(history: History) -> Iterator[tuple[str, float, float]]:
    """Each shard and the times in which it had no owner whose session was alive, though its parents were done."""
    dead = {
        key: min((entry.at for entry, fact in written if fact.is_revoked or fact.beat is None), default=float("inf"))
        for key, written in history.sessions.entries_of.items()
    }
    end = history.ends_at
    for key, writes in history.writes_of.items():
        parents_done = max((history.ended_at.get(parent, end) for parent in history.parents.get(key, ())), default=0.0)
        times = [entry.at for entry, _ in writes[1:]] + [end]
        orphaned_since: float | None = None
        for (entry, write), until in zip(writes, times, strict=True):
            row = write.stands
            owner = row.effective_owner if row is not None else None
            dies_at = dead.get(owner, 0.0) if owner is not None else 0.0
            if row is None or row.is_finished or dies_at >= until:
                begins = None
            else:
                begins = max(entry.at, dies_at, parents_done)
            if begins is None or begins > entry.at:
                if orphaned_since is not None:
                    yield key, orphaned_since, entry.at
                orphaned_since = None
            if begins is not None and begins < until and orphaned_since is None:
                orphaned_since = begins
        if orphaned_since is not None:
            yield key, orphaned_since, end
