"""L4 and S11: whoever holds a shard makes progress; and what user code raises shows, and holds up no other shard."""

import itertools
from bisect import bisect_right
from collections import defaultdict

from kcl_py.events import BatchDone, CheckpointWritten, EventLoopBlocked, ProcessorFailed, ShardStalled
from tests.simulation.facts import Blocked, Crashed, Delivered, Failed, Leaving, Left, Paused, Raised, Unblocked
from tests.simulation.laws.circumstances import CHANGES
from tests.simulation.laws.history import History
from tests.simulation.laws.judgement import Judgement
from tests.simulation.laws.standstills import EpochTale, Standstill, standstills, tales_of

LATE_SHARE = 1.1  # of the stall timeout: a watch looks twenty times, and needs one look more
CANCEL_SECONDS = 15.0  # for what was cancelled to end, and the lease to be passed on
TELL_SECONDS = 0.5


def progress(history: History) -> Judgement:
    """L4: no lease outlives a consumer that makes no attempt. A call that hangs for the stall timeout ends its epoch, a
    loop that is blocked for so long ends its worker's; and a record that waits in a held shard is delivered while
    nothing is in flight there. A worker whose shards fail is judged by `others_go_on`.
    """
    judgement = Judgement()
    _judge_hanging_calls(history, judgement)
    _judge_blocked_loops(history, judgement)
    failing = _failing_times(history)
    judgement.judged += sum(map(len, history.pick_ups_of.values()))
    for one in standstills(history):
        if not _is_failing(failing, one):
            judgement.append(f"{one.begin:.3f} a record waits in {one.shard_id} at {one.worker} until {one.end:.3f}")
    return judgement


def others_go_on(history: History) -> Judgement:
    """S11: while one shard of a worker stands still because its processor raises, the others go on."""
    judgement = Judgement()
    failing = _failing_times(history)
    judgement.judged = sum(len(times) for times in failing.values())
    for one in standstills(history):
        if _is_failing(failing, one):
            judgement.append(
                f"{one.begin:.3f} a record waits in {one.shard_id} at {one.worker}, another shard of which fails"
            )
    return judgement


def errors_show(history: History) -> Judgement:
    """S11: whatever user code raises is told at once, as of that worker and shard, and no batch is said done before it
    was delivered again.
    """
    judgement = Judgement()
    open_since: dict[tuple[str, str], float] = {}  # by worker and shard: raised, and not told yet
    raised: set[tuple[str, str]] = set()  # and not delivered again
    last = {(entry.worker): entry.at for entry, _ in history.log.of(*CHANGES)}
    for entry, what in history.log.of(Raised, ProcessorFailed, Delivered, BatchDone, Crashed, Paused, Left, Blocked):
        if isinstance(what, Raised):
            judgement.judged += 1
            open_since[entry.worker, what.shard_id] = entry.at
            raised.add((entry.worker, what.shard_id))
        elif isinstance(what, Crashed | Paused | Left | Blocked):
            open_since = {key: at for key, at in open_since.items() if key[0] != entry.worker}
        else:
            key = (entry.worker, what.shard_id)
            if isinstance(what, Delivered):
                raised.discard(key)
            if isinstance(what, BatchDone) and key in raised:
                judgement.append(f"{entry.at:.3f} {key} is said to be done, and it raised")
            at = open_since.pop(key, None)
            if at is not None and not (isinstance(what, ProcessorFailed) and entry.at - at <= TELL_SECONDS):
                judgement.append(f"{at:.3f} {key} raised, and the next that is heard of it is {type(what).__name__}")
    for key, at in open_since.items():
        if at + TELL_SECONDS < history.ends_at and last.get(key[0], 0.0) < at:
            judgement.append(f"{at:.3f} {key} raised, and nothing is heard of it")
    return judgement


def _judge_hanging_calls(history: History, judgement: Judgement) -> None:
    patience = history.stall_timeout_seconds * LATE_SHARE + CANCEL_SECONDS
    checkpoints: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for entry, what in history.log.of(CheckpointWritten, ShardStalled):
        checkpoints[entry.worker, what.shard_id].append(entry.at)
    for tale in tales_of(history):
        for sign, following in itertools.zip_longest(tale.signs, tale.signs[1:]):
            if not isinstance(sign.what, Delivered):
                continue
            until = min(following.at if following is not None else history.ends_at, tale.ended_at, history.ends_at)
            if until - sign.at <= history.stall_timeout_seconds:
                continue
            if not _was_able(history, tale, sign.at, sign.at + patience):
                continue
            asked = checkpoints[tale.worker, tale.shard_id]
            has_asked = bisect_right(asked, sign.at) < bisect_right(asked, until)
            judgement.demand(
                has_asked or until - sign.at <= patience,
                f"{sign.at:.3f} {tale.worker} holds {tale.shard_id} until {until:.3f}, and its call hangs",
            )


def _judge_blocked_loops(history: History, judgement: Judgement) -> None:
    patience = history.stall_timeout_seconds * LATE_SHARE + CANCEL_SECONDS
    for entry, _ in history.log.of(Blocked):
        following = [
            (one.at, one.what)
            for one, what in history.log.of(Unblocked, EventLoopBlocked, Crashed, Paused, Left, Failed, Leaving)
            if one.worker == entry.worker and one.index > entry.index
        ]
        at, what = following[0] if following else (history.ends_at, None)
        if at - entry.at <= patience and not isinstance(what, EventLoopBlocked):
            continue
        judgement.demand(at - entry.at <= patience, f"{entry.at:.3f} {entry.worker} is blocked until {at:.3f}")


def _was_able(history: History, tale: EpochTale, begin: float, end: float) -> bool:
    return history.is_calm(begin, end, but="hangs") and history.circumstances.is_able_throughout(
        tale.worker, begin, end
    )


def _failing_times(history: History) -> dict[str, list[tuple[float, float]]]:
    """By worker: from when to when some shard of it stood still because its processor had raised."""
    times: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for tale in tales_of(history):
        for sign, following in itertools.zip_longest(tale.signs, tale.signs[1:]):
            if isinstance(sign.what, Raised | ProcessorFailed):
                until = following.at if following is not None else min(tale.ended_at, history.ends_at)
                times[tale.worker].append((sign.at, until))
    return {worker: sorted(of_worker) for worker, of_worker in times.items()}


def _is_failing(times: dict[str, list[tuple[float, float]]], one: Standstill) -> bool:
    return any(begin <= one.end and one.begin <= until for begin, until in times.get(one.worker, ()))
