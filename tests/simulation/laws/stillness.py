"""L3: shares are even after a change, with one move for each lease, and then nothing moves."""

import itertools
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping

from kcl_py.core.lease import Lease
from kcl_py.events import EventLoopBlocked, MembershipChanged
from tests.simulation.facts import Entry, RowWritten
from tests.simulation.laws.history import History
from tests.simulation.laws.judgement import Judgement
from tests.simulation.laws.liveness import PLAN_SECONDS, SETTLE_SECONDS

Lull = tuple[float, float]
BURST_SECONDS = 3.0  # held leases move when membership was quiet for 5 s, as the leader sees it
INSTANT_SECONDS = 1e-6  # what ends a lull is not part of it
SEEN_SECONDS = 2.0  # until the leader knows of a join: what moves before is still for the change before
CONSTANT_SECONDS = 30.0  # under constant change they move after so long all the same


def balanced(history: History) -> Judgement:
    """L3: a while after the last worker or shard came or went, shares of what need not wait are within one."""
    judgement = Judgement()
    for begin, end in _lulls(history):
        if begin + history.failover_seconds + SETTLE_SECONDS > end:
            continue
        living = history.circumstances.at(begin).beating
        shares = Counter(dict.fromkeys(sorted(living), 0))
        rows = {shard_id: history.row_at(shard_id, end - INSTANT_SECONDS) for shard_id in history.writes_of}
        shares.update(history.worker_of(row.owner) for row in rows.values() if row is not None and _may_run(row, rows))
        if living:
            is_even = max(shares.values()) - min(shares.values()) <= 1
            judgement.demand(is_even, f"{end:.3f} shares are {dict(shares)}")
    return judgement


def _may_run(row: Lease, rows: Mapping[str, Lease | None]) -> bool:
    """False once it is finished, and where it has delivered nothing and a parent is not known to be finished."""
    parents = [rows.get(parent) for parent in row.parent_shard_ids]
    is_waiting = any(parent is None or not parent.is_finished for parent in parents)
    return not row.is_finished and (row.checkpoint.is_number or not is_waiting)


def moved_once(history: History) -> Judgement:
    """L3: after a change each lease moves at most once, and a burst of joins is one. The dead have lost theirs in
    any case. What a leader moves before it has noted the change is still for the one before.
    """
    judgement = Judgement()
    noted_at = [entry.at for entry, _ in history.log.of(MembershipChanged)]
    for changed, end in itertools.chain(_lulls(history), _bursts(history)):
        begin = next((at for at in noted_at if changed <= at <= min(end, changed + 2 * PLAN_SECONDS)), changed)
        moved: Counter[str] = Counter()
        for entry, write in _moves(history, begin, end):
            giver = write.stood.owner if write.stood is not None else None
            moved[write.key] += history.worker_of(giver) in history.circumstances.at(entry.at).beating
        for key, times in moved.items():
            judgement.demand(times <= 1, f"{begin:.3f} {key} moved {times} times")
    return judgement


def quiet(history: History) -> Judgement:
    """L3: once a fleet has settled, no lease moves from one worker to another, however many rounds its leader makes.
    What is judged are rounds.
    """
    judgement = Judgement()
    for begin, end in _lulls(history):
        settled = begin + history.failover_seconds + SETTLE_SECONDS
        judgement.judged += max(0, int((end - settled) // PLAN_SECONDS))
        for entry, write in _moves(history, settled, end):
            giver = write.stood.owner if write.stood is not None else None
            if history.worker_of(giver) in history.circumstances.at(entry.at).beating:
                judgement.append(f"{entry.at:.3f} {write.key} still moves from {giver}")
    return judgement


def _lulls(history: History) -> Iterator[Lull]:
    """From each change of membership or shards to the next, where no door misbehaves in between."""
    changes = _shards_change_at(history).union(at for at, _ in history.membership_changes)
    changes.update(entry.at for entry, _ in history.log.of(EventLoopBlocked))  # it leaves
    end = history.ends_at
    times = sorted({at for at in changes if at < end} | {end})
    for begin, until in itertools.pairwise(times):
        if history.is_calm(begin, until):
            yield begin, until


def _bursts(history: History) -> Iterator[Lull]:
    """From each first of several joins that follow each other closely to the next change that is none."""
    joins = [entry.at for entry, _ in history.joined.values()]
    others = sorted({at for at, _ in history.membership_changes}.difference(joins) | _shards_change_at(history))
    while joins:
        count = 1
        while count < len(joins) and joins[count] - joins[count - 1] < BURST_SECONDS:
            count += 1
        begin, last = joins[0], joins[count - 1]
        following = joins[count : count + 1] + others[bisect_right(others, begin) :][:1] + [history.ends_at]
        end = min(following)
        if count > 1 and last < end and last - begin < CONSTANT_SECONDS and history.is_calm(begin, end):
            yield begin + SEEN_SECONDS, end
        del joins[:count]


def _shards_change_at(history: History) -> set[float]:
    return {
        entry.at
        for entry, write in history.writes
        if write.stood is None or write.stands is None or write.stands.is_finished
    }


def _moves(history: History, begin: float, end: float) -> Iterator[tuple[Entry, RowWritten]]:
    """The writes that name another owner, or none."""
    writes = history.owner_changes
    first = bisect_right(writes, begin, key=lambda written: written[0].at)
    yield from writes[first : bisect_left(writes, end, key=lambda written: written[0].at)]
