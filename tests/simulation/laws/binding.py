"""S10: a lease table belongs to one stream, and a table that is another one is not gone on with."""

from kcl_py.events import SessionStarted
from tests.simulation.facts import Delivered, Put, RowWritten, StreamReplaced, TableDropped, TableRestored
from tests.simulation.laws.circumstances import RESETS
from tests.simulation.laws.history import History
from tests.simulation.laws.judgement import Judgement


def binding(history: History) -> Judgement:
    """S10: when the stream was replaced, the table dropped or restored, whoever was bound to the old one delivers and
    writes nothing any more once it can know: after a failover time, when its beats have found no entry; of a stream
    after one audit. What the new stream holds is never delivered by one that was bound to the old one. Whoever
    starts then refuses, but for a table that was dropped: there it begins anew.
    """
    judgement = Judgement()
    failover, audit = history.failover_seconds, history.audit_seconds
    patience: dict[type, float] = {StreamReplaced: audit + failover, TableDropped: failover, TableRestored: failover}
    has_begun: dict[str, int] = {worker: entry.index for worker, (entry, _) in history.joined.items()}
    for entry, _ in reversed(list(history.log.of(SessionStarted))):  # who starts is bound when it is let in
        has_begun[entry.worker] = entry.index
    resets: list[tuple[float, int, type]] = []
    put_at: dict[tuple[str, tuple[int, int]], int] = {}
    for entry, what in history.log.of(Put, Delivered, RowWritten, *RESETS):
        if isinstance(what, RESETS):
            resets.append((entry.at, entry.index, type(what)))
        elif isinstance(what, Put):
            put_at[what.shard_id, what.position] = entry.index
        else:
            for at, index, kind in resets:
                is_bound = has_begun.get(entry.worker, 0) < index
                if not is_bound and kind is TableDropped:
                    continue
                said = "delivers from" if isinstance(what, Delivered) else "writes"
                key = what.shard_id if isinstance(what, Delivered) else what.key
                is_new = isinstance(what, Delivered) and kind is StreamReplaced and put_at[
                    key, what.records[0].position
                ] > index  # fmt: skip
                is_late = not is_bound or entry.at > at + patience[kind]
                judgement.demand(
                    not is_new and not is_late,
                    f"{entry.at:.3f} {entry.worker} {said} {key}, and {kind.__name__} was at {at:.3f}",
                )
    return judgement
