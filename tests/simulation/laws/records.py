"""S1 to S5: what became of the records. Each function says what broke its law."""

from collections import defaultdict

from kcl_py.core.checkpoint import Checkpoint
from kcl_py.events import RecordsMissing
from tests.simulation.facts import Delivered, Done, Drained, Healed, Position, Put, RowWritten
from tests.simulation.laws.history import History


def no_skip(history: History) -> list[str]:
    """S1: when a checkpoint is written, every earlier record of the shard is done. Nothing here is ever trimmed."""
    done: defaultdict[str, set[Position]] = defaultdict(set)
    passed: defaultdict[str, int] = defaultdict(int)  # so many of the shard's records were looked at
    broken = [f"{entry.at:.3f} a gap that cannot be: {gap}" for entry, gap in history.log.of(RecordsMissing)]
    for entry, what in history.log.of(Done, RowWritten):
        if isinstance(what, Done):
            done[what.shard_id].update(put.position for put in what.records)
        elif isinstance(what, RowWritten) and what.stands is not None:
            puts, checkpoint = history.puts.get(what.key, []), what.stands.checkpoint
            while passed[what.key] < len(puts) and _covers(checkpoint, puts[passed[what.key]].position):
                position = puts[passed[what.key]].position
                if position not in done[what.key]:
                    broken.append(f"{entry.at:.3f} {what.key}: {checkpoint} is written, and {position} is not done")
                passed[what.key] += 1
    return broken


def complete(history: History) -> list[str]:
    """S2: once faults are over and the stream is drained, all that was put is done."""
    if not any(history.log.of(Healed)):
        return []
    puts: dict[tuple[str, Position], Put] = {}
    for _, what in history.log.of(Put, Done, Drained):
        if isinstance(what, Put):
            puts[what.shard_id, what.position] = what
        elif isinstance(what, Done):
            for put in what.records:
                puts.pop((put.shard_id, put.position), None)
        else:
            break
    return [f"{put} was never done" for put in puts.values()]


def in_order(history: History) -> list[str]:
    """S3: an epoch begins right after its checkpoint, and each batch follows the last one that was done, record by
    record.
    """
    broken = []
    cursors: dict[tuple[str, int], Position | None] = {}
    for entry, what in history.log.of(Delivered, Done):
        assert isinstance(what, Delivered | Done)
        epoch = (what.shard_id, what.token)
        if isinstance(what, Done):
            cursors[epoch] = what.records[-1].position
            continue
        if epoch not in cursors:
            if epoch not in history.pick_ups:
                broken.append(f"{entry.at:.3f} {entry.worker} delivers under {epoch}, which nobody picked up")
                continue
            cursors[epoch] = _position(history.pick_ups[epoch][1].checkpoint)
        expected = history.after(what.shard_id, cursors[epoch])[: len(what.records)]
        if tuple(expected) != what.records:
            first = what.records[0].position
            broken.append(f"{entry.at:.3f} {entry.worker} {epoch}: {first} does not follow {cursors[epoch]}")
    return broken


def parents_first(history: History) -> list[str]:
    """S4: no record of a child is delivered before each parent's row says SHARD_END."""
    ended: dict[str, int] = {}
    broken = []
    for entry, what in history.log.of(RowWritten, Delivered):
        if isinstance(what, RowWritten):
            if what.stands is not None and what.stands.is_finished:
                ended.setdefault(what.key, entry.index)
        elif isinstance(what, Delivered):
            broken += [
                f"{entry.at:.3f} {entry.worker} delivers from {what.shard_id} before its parent {parent} is done"
                for parent in history.parents.get(what.shard_id, ())
                if parent not in ended
            ]
    return broken


def keys_in_order(history: History) -> list[str]:
    """S4: first deliveries of a key are in put order, across any chain of splits and merges."""
    latest: defaultdict[str, int] = defaultdict(lambda: -1)
    seen: set[tuple[str, int]] = set()
    broken = []
    for entry, batch in history.log.of(Delivered):
        for put in batch.records:
            if (put.key, put.number) not in seen:
                if put.number != latest[put.key] + 1:
                    broken.append(f"{entry.at:.3f} {put.key}: {put.number} came after {latest[put.key]}")
                seen.add((put.key, put.number))
                latest[put.key] = max(latest[put.key], put.number)
    return broken


def forward_only(history: History) -> list[str]:
    """S5: a checkpoint never goes back."""
    reached: dict[str, Checkpoint] = {}
    broken = []
    for entry, write in history.writes:
        if write.stands is not None:
            before = reached.get(write.key, write.stands.checkpoint)
            if write.stands.checkpoint < before:
                broken.append(f"{entry.at:.3f} {entry.worker} {write.key}: from {before} to {write.stands.checkpoint}")
            reached[write.key] = max(before, write.stands.checkpoint)
    return broken


def _covers(checkpoint: Checkpoint, position: Position) -> bool:
    if checkpoint.is_shard_end:
        return True
    return checkpoint.is_number and (int(checkpoint.sequence_number), checkpoint.sub_sequence_number) >= position


def _position(checkpoint: Checkpoint) -> Position | None:
    if not checkpoint.is_number:
        return None
    return int(checkpoint.sequence_number), checkpoint.sub_sequence_number
