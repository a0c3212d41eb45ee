"""L1 to L3: how soon a fleet finds itself again, and that it then keeps still."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from kcl_py.events import WorkerReady
from tests.simulation.facts import (
    Crashed,
    Drained,
    EntryWritten,
    Failed,
    Joined,
    Leaving,
    Left,
    Paused,
    Resumed,
    Trouble,
)
from tests.simulation.laws.history import History

TAKEOVER_SECONDS = 3.0  # on top of the failover time
PLAN_SECONDS = 5.0
SETTLE_SECONDS = 30.0  # after the last membership change all moves are made


class Takeover(NamedTuple):
    """What became of a lease of a worker that crashed."""

    shard_id: str
    worker: str
    crashed_at: float
    took_seconds: float | None  # until it was picked up elsewhere; None for never
    allowed_seconds: float


def takeovers(history: History) -> Iterator[Takeover]:
    """Those that can be judged: nothing else went wrong meanwhile, and nobody else came or went."""
    failover = history.failover_seconds
    for entry, _ in history.log.of(Crashed):
        longest = entry.at + 2 * failover + TAKEOVER_SECONDS
        others = [at for at, _ in history.membership_changes if entry.at - failover < at <= longest]
        if len(others) > 1 or not history.is_calm(entry.at, longest) or not _able(history, entry.at):
            continue
        lock = history.leader_at(entry.at)
        survivors = (
            {history.worker_of(key) for key in (lock.owner, lock.standby) if key} - {entry.worker} if lock else set()
        )
        allowed = (1 if survivors else 2) * failover + TAKEOVER_SECONDS
        for shard_id in history.writes_of:
            row = history.row_at(shard_id, entry.at)
            if row is None or row.is_finished or history.worker_of(row.effective_owner) != entry.worker:
                continue
            after = [at.at for (key, _), (at, _) in history.pick_ups.items() if key == shard_id and at.at > entry.at]
            if after or history.ends_at > entry.at + allowed:
                took = min(after) - entry.at if after else None
                yield Takeover(shard_id, entry.worker, entry.at, took, allowed)


def soon_elsewhere(history: History) -> list[str]:
    """L1: what a worker that crashed held is picked up elsewhere within F + 3 s if leader or standby survives, and
    within 2 F + 3 s otherwise.
    """
    return [
        f"{one.crashed_at:.3f} {one.worker} crashed, and {one.shard_id} was picked up after {one.took_seconds} s"
        for one in takeovers(history)
        if one.took_seconds is None or one.took_seconds > one.allowed_seconds
    ]


def no_orphan(history: History) -> list[str]:
    """L2: an unfinished shard whose parents are done has an owner who lives, or gets one within two plan intervals.

    Judged where nothing else went wrong meanwhile, and nobody came or went.
    """
    broken = []
    for shard_id, begin, end in _orphaned(history):
        patience = 2 * PLAN_SECONDS
        if end - begin <= patience:
            continue
        is_quiet = not any(begin - history.failover_seconds < at < end for at, _ in history.membership_changes)
        if is_quiet and history.is_calm(begin, begin + patience) and _able(history, begin):
            broken.append(f"{begin:.3f} {shard_id} has no owner for {end - begin:.3f} s")
    return broken


def quiet(history: History) -> list[str]:
    """L3: a while after the last worker or shard came or went, shares are within one, and no lease moves."""
    end = next((entry.at for entry, _ in history.log.of(Drained)), history.ends_at)
    changes = [at for at, _ in history.membership_changes]
    changes += [entry.at for entry, write in history.writes if write.stood is None or write.stands is None]
    changes += [entry.at for entry, write in history.writes if write.stands is not None and write.stands.is_finished]
    last = max((at for at in changes if at < end), default=end)
    begin = last + history.failover_seconds + SETTLE_SECONDS
    if begin >= end or not history.is_calm(last, end):
        return []
    broken = []
    moved: Counter[str] = Counter()
    for entry, write in history.writes:
        if not last < entry.at < end or write.stood is None or write.stands is None or write.stands.is_finished:
            continue
        was, now = write.stood.owner, write.stands.owner
        if was != now:
            moved[write.key] += history.worker_of(was) in _able(history, entry.at)  # the dead have lost it in any case
            if entry.at > begin and was is not None:
                broken.append(f"{entry.at:.3f} {write.key} still moves from {was} to {now}")
    broken += [f"{key} moved {times} times" for key, times in moved.items() if times > 1]
    shares = Counter(dict.fromkeys(sorted(_able(history, end)), 0))
    rows = [history.row_at(shard_id, end) for shard_id in history.writes_of]
    shares.update(history.worker_of(row.owner) for row in rows if row is not None and not row.is_finished)
    if shares and max(shares.values()) - min(shares.values()) > 1:
        broken.append(f"shares are {dict(shares)}")
    return broken


def nobody_dies_of_throttling(history: History) -> list[str]:
    """L7: while the table throttles everybody's writes, no worker that runs is declared dead for its silence."""
    broken = []
    throttles = [(entry, what) for entry, what in history.log.of(Trouble) if what.what == "throttle all"]
    for entry, written in history.log.of(EntryWritten):
        if not written.is_revoked or not throttles:
            continue
        worker = history.worker_of(written.key)
        since = entry.at - 2 * history.failover_seconds
        is_throttled = any(one.worker == worker and one.at <= entry.at <= what.until for one, what in throttles)
        is_alone = any(
            one.worker == worker and one.at <= entry.at and what.until >= since and what.what != "throttle all"
            for one, what in history.log.of(Trouble)
        )
        is_running = worker in _able(history, entry.at) and not any(
            since < at <= entry.at and name == worker for at, name in history.membership_changes
        )
        if is_throttled and is_running and not is_alone:
            broken.append(f"{entry.at:.3f} {entry.worker} declared {written.key} dead, which was only throttled")
    return broken


def nobody_fails(history: History) -> list[str]:
    """No worker gives up by itself, unless it never got a usable answer from the doors when it started."""
    ready = {entry.worker for entry, _ in history.log.of(WorkerReady)}
    return [
        f"{entry.at:.3f} {entry.worker} failed: {failed.error}"
        for entry, failed in history.log.of(Failed)
        if entry.worker in ready or not failed.error.startswith(("Throttled", "ServiceUnavailable"))
    ]


def _able(history: History, at: float) -> set[str]:
    """The workers that run at an instant."""
    able: set[str] = set()
    for entry, what in history.log.of(Joined, Crashed, Paused, Resumed, Leaving, Left, Failed):
        if entry.at > at:
            break
        if isinstance(what, Joined | Resumed):
            able.add(entry.worker)
        else:
            able.discard(entry.worker)
    return able


def _orphaned(history: History) -> Iterator[tuple[str, float, float]]:
    """Each shard and the times in which it had no owner whose session was alive, though its parents were done."""
    ended = {
        key: entry.at
        for key, writes in history.writes_of.items()
        for entry, write in reversed(writes)
        if write.stands is not None and write.stands.is_finished
    }
    dead = {
        key: min((entry.at for entry, fact in written if fact.is_revoked or fact.beat is None), default=float("inf"))
        for key, written in history.entries_of.items()
    }
    end = next((entry.at for entry, _ in history.log.of(Drained)), history.ends_at)
    for key, writes in history.writes_of.items():
        parents_done = max((ended.get(parent, end) for parent in history.parents.get(key, ())), default=0.0)
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
