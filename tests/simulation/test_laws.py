"""Each law finds what it is there to find: a log that holds, doctored a little, does not hold any more."""

import asyncio
from collections.abc import Callable
from functools import cache, partial

import msgspec
import pytest

from kcl_py.core.checkpoint import SHARD_END, Checkpoint
from kcl_py.events import RecordsMissing
from tests.simulation.facts import (
    Delivered,
    Done,
    Entry,
    EntryWritten,
    Healed,
    Log,
    RowWritten,
    What,
)
from tests.simulation.laws import owners, records, repeats
from tests.simulation.laws.history import History
from tests.simulation.simulation import Simulation, simulated
from tests.simulation.verdict import SAFETY, Law, judged

Doctor = Callable[[list[Entry]], list[Entry]]


async def eventful(fleet: Simulation) -> None:
    """Three workers come, one leaves, one crashes, a shard is split; everything is done in the end."""
    fleet.join("a")
    await asyncio.sleep(5)
    fleet.join("b")
    for second in range(60):
        fleet.put(3)
        if second == 10:
            await fleet.split((await fleet.open_shards())[0])
        if second == 20:
            fleet.join("c")
        if second == 25:
            fleet.leave("a")
        if second == 40:
            fleet.crash("b" if len(fleet.workers) > 1 else "c")
        await asyncio.sleep(1)
    fleet.log.note("", Healed())
    await asyncio.sleep(20)


@cache
def sound() -> Log:
    return simulated(3, eventful, shards=3)


def doctored(*doctors: Doctor) -> History:
    entries = list(sound().entries)
    for doctor in doctors:
        entries = doctor(entries)
    log = Log()
    log.entries = [msgspec.structs.replace(entry, index=index) for index, entry in enumerate(entries)]
    return History(log)


def without(kind: type[What], which: int) -> Doctor:
    """Leave one of a kind out."""

    def doctor(entries: list[Entry]) -> list[Entry]:
        chosen = [entry for entry in entries if isinstance(entry.what, kind)][which]
        return [entry for entry in entries if entry is not chosen]

    return doctor


def told(which: Callable[[Entry], bool], change: Callable[[What], What]) -> Doctor:
    """Tell the first fitting line otherwise."""

    def doctor(entries: list[Entry]) -> list[Entry]:
        at = next(index for index, entry in enumerate(entries) if which(entry))
        told_otherwise = msgspec.structs.replace(entries[at], what=change(entries[at].what))
        return [*entries[:at], told_otherwise, *entries[at + 1 :]]

    return doctor


def is_checkpoint(entry: Entry) -> bool:
    what = entry.what
    return (
        isinstance(what, RowWritten)
        and what.stood is not None
        and what.stands is not None
        and what.stands.checkpoint.is_number
        and what.stood.checkpoint.is_number
        and what.stands.checkpoint > what.stood.checkpoint
    )


def row(change: Callable[[RowWritten], RowWritten]) -> Doctor:
    """Tell the first checkpoint otherwise."""
    return told(is_checkpoint, change)  # type: ignore[arg-type]


def records_turned(what: What) -> What:
    assert isinstance(what, Delivered)
    return msgspec.structs.replace(what, records=tuple(reversed(what.records)))


def is_long(entry: Entry) -> bool:
    return isinstance(entry.what, Delivered) and len(entry.what.records) > 1


def shard_ends_last(entries: list[Entry]) -> list[Entry]:
    late = [entry for entry in entries if isinstance(entry.what, RowWritten) and _is_end(entry.what)]
    return [entry for entry in entries if entry not in late] + late


def _is_end(write: RowWritten) -> bool:
    return write.stands is not None and write.stands.checkpoint == SHARD_END


def keys_swapped(entries: list[Entry]) -> list[Entry]:
    """The first two deliveries of some key change places."""
    first = next(entry for entry in entries if isinstance(entry.what, Delivered))
    assert isinstance(first.what, Delivered)
    key = first.what.records[0].key
    later = next(
        entry
        for entry in entries
        if isinstance(entry.what, Delivered)
        and entry is not first
        and entry.what.shard_id == first.what.shard_id
        and key in {put.key for put in entry.what.records}
    )
    return [later if entry is first else first if entry is later else entry for entry in entries]


def beats_unheard(entries: list[Entry]) -> list[Entry]:
    """No beat ever landed after the first of each session."""
    return [entry for entry in entries if not (isinstance(entry.what, EntryWritten) and entry.what.beat)]


def back_from_the_dead(entries: list[Entry]) -> list[Entry]:
    """The very first batch begins once more at the end."""
    return [*entries, next(entry for entry in entries if isinstance(entry.what, Delivered))]


def repeated_after_leaving(entries: list[Entry]) -> list[Entry]:
    """Whoever follows on a worker that left begins with a record that was done there."""
    log = Log()
    log.entries = entries
    passed = next(
        (entry, what)
        for entry, what in log.of(RowWritten)
        if entry.worker == "a" and what.stood is not None and what.stood.held_by is not None and what.stands is not None
        and what.stands.effective_owner != what.stood.effective_owner and not what.stands.is_finished
    )  # fmt: skip
    shard_id = passed[1].key
    old = next(what for entry, what in log.of(Delivered) if what.shard_id == shard_id and entry.worker == "a")
    at = next(
        index
        for index, entry in enumerate(entries)
        if index > passed[0].index and isinstance(entry.what, Delivered) and entry.what.shard_id == shard_id
    )
    again = entries[at].what
    assert isinstance(again, Delivered)
    worse = msgspec.structs.replace(again, records=old.records)
    return [*entries[:at], msgspec.structs.replace(entries[at], what=worse), *entries[at + 1 :]]


def backwards(write: RowWritten) -> RowWritten:
    assert write.stands is not None
    lower = msgspec.structs.replace(write.stands, checkpoint=Checkpoint("TRIM_HORIZON"))
    return msgspec.structs.replace(write, stands=lower)


def unseen(write: RowWritten) -> RowWritten:
    assert write.claimed is not None
    return msgspec.structs.replace(
        write, claimed=msgspec.structs.replace(write.claimed, counter=write.claimed.counter - 1)
    )


def without_the_counter(write: RowWritten) -> RowWritten:
    return msgspec.structs.replace(write, is_counter_free=True)


def by_somebody_else(entries: list[Entry]) -> list[Entry]:
    chosen = next(entry for entry in entries if is_checkpoint(entry))
    return [msgspec.structs.replace(entry, worker="z") if entry is chosen else entry for entry in entries]


def with_a_gap(entries: list[Entry]) -> list[Entry]:
    gap = RecordsMissing(shard_id="shardId-000000000000", after="1", before="2", reason="doctored")
    return [*entries, Entry(0, entries[-1].at, "a", gap)]


DOCTORS: list[tuple[Law, Doctor]] = [
    (records.no_skip, without(Done, 0)),
    (records.no_skip, with_a_gap),
    (records.complete, without(Done, -1)),
    (records.in_order, told(is_long, records_turned)),
    (records.in_order, lambda entries: without(Done, 0)(without(Delivered, 0)(entries))),
    (records.parents_first, shard_ends_last),
    (records.keys_in_order, keys_swapped),
    (records.forward_only, row(backwards)),
    (owners.guarded, row(unseen)),
    (owners.guarded, row(without_the_counter)),
    (owners.only_by_the_holder, by_somebody_else),
    (owners.before_the_deadline, beats_unheard),
    (owners.no_zombie, back_from_the_dead),
    (partial(repeats.few_repeats, records_max=0), repeated_after_leaving),
    (repeats.none_when_asked, repeated_after_leaving),
]


def test_a_sound_log_breaks_no_law():
    assert judged(History(sound()), SAFETY) == {}


@pytest.mark.parametrize(("law", "doctor"), DOCTORS)
def test_a_doctored_log_breaks_the_law(law, doctor):
    assert law(doctored(doctor))
