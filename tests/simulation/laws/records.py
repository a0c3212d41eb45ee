"""S1 to S5: what became of the records. Each function says what broke its law."""

from collections import defaultdict

from kcl_py.core.checkpoint import Checkpoint
from kcl_py.events import RecordsMissing
from tests.simulation.facts import (
    Delivered,
    Done,
    Drained,
    Healed,
    Position,
    Put,
    Raised,
    RowErased,
    RowWritten,
    TableDropped,
    TableRestored,
)
from tests.simulation.laws.history import History, position_of
from tests.simulation.laws.judgement import Judgement


def no_skip(history: History) -> Judgement:
    """S1: when a checkpoint is written, every earlier record of the shard is done, or was trimmed, and a gap was
    published; and a gap covers no record, and follows none, that was not trimmed. (Who deletes a row by hand deletes
    what was known of it: nobody can miss anything in that shard any more.)
    """
    judgement = Judgement()
    settled: defaultdict[str, set[Position]] = defaultdict(set)  # done, or in a gap
    passed: defaultdict[str, int] = defaultdict(int)  # so many of the shard's records were looked at
    erased: set[str] = set()
    for entry, what in history.log.of(Done, RecordsMissing, RowErased, RowWritten):
        if isinstance(what, RowErased):
            erased.add(what.key)
        elif isinstance(what, Done):
            settled[what.shard_id].update(put.position for put in what.records)
        elif isinstance(what, RecordsMissing):
            last = history.record_at(what.shard_id, what.after)
            judgement.demand(
                last is None or history.is_gone(last, entry.index),
                f"{entry.at:.3f} {last} is there: {what}",
            )
            for put in history.gap(entry, what):
                is_done = put.position in settled[put.shard_id]
                judgement.demand(
                    is_done or history.is_gone(put, entry.index), f"{entry.at:.3f} {put} is there, whatever says {what}"
                )
                settled[put.shard_id].add(put.position)
        elif what.stands is not None:
            puts, checkpoint, first = history.puts.get(what.key, []), what.stands.checkpoint, passed[what.key]
            while passed[what.key] < len(puts) and _covers(checkpoint, puts[passed[what.key]].position):
                passed[what.key] += 1
            for put in puts[first : passed[what.key]]:
                is_forgotten = what.key in erased and history.is_gone(put, entry.index)
                is_settled = put.position in settled[what.key] or _is_of_another_stream(history, put, entry.index)
                is_settled |= is_forgotten
                judgement.demand(
                    is_settled, f"{entry.at:.3f} {what.key}: {checkpoint} is written, and {put.position} is not done"
                )
    return judgement


def complete(history: History) -> Judgement:
    """S2: once faults are over and the stream is drained, all that was put is done, or lies in a published gap.

    Who checkpoints by itself may have left the last records for the end. What a stream held that was replaced is
    nobody's to finish.
    """
    judgement = Judgement()
    if not any(history.log.of(Healed)) or history.circumstances.resets:
        return judgement
    open_puts: dict[tuple[str, Position], Put] = {}
    is_over = False
    for entry, what in history.log.of(Put, Done, RecordsMissing, Drained):
        if isinstance(what, Put):
            judgement.judged += 1
            open_puts[what.shard_id, what.position] = what
        elif isinstance(what, Drained):
            is_over = True
        elif not is_over or (isinstance(what, Done) and history.is_manual(entry.worker)):
            for put in what.records if isinstance(what, Done) else history.gap(entry, what):
                open_puts.pop((put.shard_id, put.position), None)
    erased = {what.key for _, what in history.log.of(RowErased)}  # see `no_skip`
    judgement += [
        f"{put} was never done"
        for put in open_puts.values()
        if put.shard_id not in erased or not history.is_gone(put, history.log.entries[-1].index)
    ]
    return judgement


def in_order(history: History) -> Judgement:
    """S3: an epoch begins right after its checkpoint, and each batch follows the one before, record by record; one that
    raised is delivered again from its first unfinished record. Records that are trimmed are passed over (see S1).
    """
    judgement = Judgement()
    delivered_to: dict[int, Position | None] = {}  # by the line in which an epoch began
    begun_after: dict[int, Position | None] = {}  # what the batch that came last followed
    done_to: dict[int, Position] = {}
    for entry, what in history.log.of(Delivered, Done, Raised):
        picked_up = history.pick_up_of(entry, what)
        if picked_up is None:
            judgement.demand(False, f"{entry.at:.3f} {entry.worker} has {what.shard_id} under {what.token} from nobody")
            continue
        epoch = picked_up[0].index
        if isinstance(what, Done):
            done_to[epoch] = max(what.records[-1].position, done_to.get(epoch, (0, 0)))
        elif isinstance(what, Raised):
            # with manual checkpoints a part of the batch may be done
            delivered_to[epoch] = max(begun_after.get(epoch) or (0, 0), done_to.get(epoch, (0, 0)))
        else:
            follows = delivered_to.setdefault(epoch, position_of(picked_up[1].checkpoint))
            judgement.demand(
                _follows(history, entry.index, what, follows),
                f"{entry.at:.3f} {entry.worker} {what.shard_id}: {what.records[0].position} does not follow {follows}",
            )
            begun_after[epoch], delivered_to[epoch] = follows, what.records[-1].position
    return judgement


def parents_first(history: History) -> Judgement:
    """S4: no record of a child is delivered before each parent's row says SHARD_END. A parent that has no row counts as
    done if all that was put into it is trimmed.
    """
    judgement = Judgement()
    has_row: set[str] = set()
    ended: set[str] = set()
    is_settled: set[str] = set()  # children whose parents are done
    for entry, what in history.log.of(RowWritten, TableDropped, Delivered):
        if isinstance(what, RowWritten):
            (has_row.discard if what.stands is None else has_row.add)(what.key)
            if what.stands is not None and what.stands.is_finished:
                ended.add(what.key)
        elif isinstance(what, TableDropped):
            has_row.clear()
            is_settled.clear()
        elif what.shard_id in history.parents and what.shard_id not in is_settled:
            undone = [
                parent
                for parent in history.parents[what.shard_id]
                if parent not in ended and (parent in has_row or not _is_all_gone(history, parent, entry.index))
            ]
            judgement.demand(
                not undone, f"{entry.at:.3f} {entry.worker} delivers from {what.shard_id} before {undone} is done"
            )
            if not undone:
                is_settled.add(what.shard_id)
    return judgement


def keys_in_order(history: History) -> Judgement:
    """S4: first deliveries of a key are in put order, across any chain of splits and merges, but for trimmed ones."""
    judgement = Judgement()
    puts = {(put.key, put.number): put for _, put in history.log.of(Put)}
    latest: defaultdict[str, int] = defaultdict(lambda: -1)
    seen: set[tuple[str, int]] = set()
    for entry, batch in history.log.of(Delivered):
        for put in batch.records:
            if (put.key, put.number) in seen:
                continue
            judgement.judged += 1
            seen.add((put.key, put.number))
            left_out = range(latest[put.key] + 1, put.number)
            is_late = put.number < latest[put.key]
            if is_late or not all(history.is_gone(puts[put.key, number], entry.index) for number in left_out):
                judgement.append(f"{entry.at:.3f} {put.key}: {put.number} came after {latest[put.key]}")
            latest[put.key] = max(latest[put.key], put.number)
    return judgement


def forward_only(history: History) -> Judgement:
    """S5: a checkpoint never goes back, unless an operator erased the row, or dropped or replaced the table."""
    judgement = Judgement()
    reached: dict[str, Checkpoint] = {}
    for entry, what in history.log.of(RowWritten, RowErased, TableDropped, TableRestored):
        if isinstance(what, RowErased):
            reached.pop(what.key, None)
        elif not isinstance(what, RowWritten):
            reached.clear()
        elif what.stands is not None:
            before = reached.get(what.key, what.stands.checkpoint)
            judgement.demand(
                what.stands.checkpoint >= before,
                f"{entry.at:.3f} {entry.worker} {what.key}: {before} to {what.stands.checkpoint}",
            )
            reached[what.key] = max(before, what.stands.checkpoint)
    return judgement


def _follows(history: History, index: int, batch: Delivered, position: Position | None) -> bool:
    puts = history.puts.get(batch.shard_id, [])
    first = history.index_after(batch.shard_id, position)
    if tuple(puts[first : first + len(batch.records)]) == batch.records:
        return True
    expected = iter(puts[first:])
    return all(
        put == next((one for one in expected if one == put or not history.is_gone(one, index)), None)
        for put in batch.records
    )


def _is_all_gone(history: History, shard_id: str, index: int) -> bool:
    return all(history.is_gone(put, index) for put in history.puts.get(shard_id, ()))


def _is_of_another_stream(history: History, put: Put, index: int) -> bool:
    replaced = [at for _, at, kind in history.circumstances.resets if kind.__name__ == "StreamReplaced" and at < index]
    return bool(replaced) and history.gone_since.get((put.shard_id, put.position), index) <= max(replaced)


def _covers(checkpoint: Checkpoint, position: Position) -> bool:
    if checkpoint.is_shard_end:
        return True
    return checkpoint.is_number and (int(checkpoint.sequence_number), checkpoint.sub_sequence_number) >= position
