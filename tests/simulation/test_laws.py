"""Each law finds what it is there to find, and only it does: a log that holds, doctored a little, breaks that law."""

import asyncio
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
import pytest

from kcl_py.core.checkpoint import TRIM_HORIZON
from kcl_py.core.lease import Lease
from kcl_py.events import LeaseHandedOver, RecordsMissing
from tests.simulation.facts import (
    Buffered,
    Delivered,
    Done,
    Drained,
    Entry,
    EntryWritten,
    Failed,
    Healed,
    Log,
    Put,
    Raised,
    Resharded,
    RowWritten,
    TableRestored,
    What,
)
from tests.simulation.laws.history import History
from tests.simulation.simulation import Simulation, simulated
from tests.simulation.verdict import LAWS, SAFETY, judged

Doctor = Callable[[list[Entry]], list[Entry]]
changed = msgspec.structs.replace


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
def said(entry: Entry) -> Any:
    """What a line says; a doctor knows which kind it is."""
    return entry.what


def sound() -> Log:
    return simulated(3, eventful, shards=3)


def doctored(doctor: Doctor) -> History:
    told = doctor(list(sound().entries))
    return History(Log(changed(entry, index=index) for index, entry in enumerate(told)))


def the_first(entries: list[Entry], is_it: Callable[[Entry], bool]) -> int:
    return next(index for index, entry in enumerate(entries) if is_it(entry))


def the_last(entries: list[Entry], is_it: Callable[[Entry], bool]) -> int:
    return max(index for index, entry in enumerate(entries) if is_it(entry))


def of(kind: type[What]) -> Callable[[Entry], bool]:
    return lambda entry: isinstance(said(entry), kind)


def put_in(entries: list[Entry], at: int, worker: str, *told: What) -> list[Entry]:
    """Tell something in between, of that instant."""
    return [*entries[:at], *(Entry(0, entries[at].at, worker, what) for what in told), *entries[at:]]


def told_otherwise(entries: list[Entry], at: int, what: What) -> list[Entry]:
    return [*entries[:at], changed(entries[at], what=what), *entries[at + 1 :]]


def moved(entries: list[Entry], at: int, to: int) -> list[Entry]:
    """Tell a line later than it was."""
    line = changed(entries[at], at=entries[to].at)
    return [*entries[:at], *entries[at + 1 : to], line, *entries[to:]]


def is_checkpoint(entry: Entry) -> bool:
    what = said(entry)
    return (
        isinstance(what, RowWritten)
        and what.stood is not None
        and what.stands is not None
        and what.stood.held_by == what.stands.held_by
        and what.stood.checkpoint.is_number
        and what.stands.checkpoint.is_number
        and what.stands.checkpoint > what.stood.checkpoint
    )


def is_pick_up(entry: Entry) -> bool:
    what = said(entry)
    return isinstance(what, RowWritten) and what.stood is not None and what.stands is not None and (
        what.stands.held_by is not None and what.stood.held_by != what.stands.held_by
    )  # fmt: skip


def row(**changes: Any) -> Doctor:
    """Tell a checkpoint otherwise."""

    def doctor(entries: list[Entry]) -> list[Entry]:
        at = the_first(entries, is_checkpoint)
        write = said(entries[at])
        return told_otherwise(entries, at, changed(write, **{name: of(write) for name, of in changes.items()}))

    return doctor


def done_late(entries: list[Entry]) -> list[Entry]:
    """A batch is done only when its checkpoint stands already."""
    at = the_first(entries, of(Done))
    shard_id = said(entries[at]).shard_id
    write = the_first(entries, lambda entry: is_checkpoint(entry) and said(entry).key == shard_id)
    return moved(entries, at, write + 1)


def gap_of_what_is_there(entries: list[Entry]) -> list[Entry]:
    """A gap is published that covers a record which was just put."""
    at = the_last(entries, of(Put))
    record = said(entries[at])
    before = str(record.position[0] + 1)
    gap = RecordsMissing(shard_id=record.shard_id, after="1", before=before, reason="doctored")
    return put_in(entries, at + 1, "b", gap)


def put_and_forgotten(entries: list[Entry]) -> list[Entry]:
    """A record is put just before the end."""
    last = said(entries[the_last(entries, of(Put))])
    late = changed(last, position=(last.position[0] + 1, 0), key="late", number=0)
    return put_in(entries, the_last(entries, of(Drained)), "", late)


def turned_round(entries: list[Entry]) -> list[Entry]:
    """A batch of different keys arrives in another order."""
    at = the_first(
        entries,
        lambda entry: (
            isinstance(said(entry), Delivered)
            and len(said(entry).records) > 1
            and len({put.key for put in said(entry).records}) == len(said(entry).records)
        ),
    )
    batch = said(entries[at])
    return told_otherwise(entries, at, changed(batch, records=batch.records[::-1]))


def another_parent(entries: list[Entry]) -> list[Entry]:
    """A shard turns out to have a parent that is not done."""
    shards = [said(entry).key for entry in entries if isinstance(said(entry), RowWritten)]
    parent = next(
        key for key in shards if not any(isinstance(e.what, Resharded) and key in e.what.parents for e in entries)
    )
    child = next(key for key in shards if key != parent)
    return put_in(entries, 0, "", Resharded(parents=(parent,), children=(child,)))


def numbers_swapped(entries: list[Entry]) -> list[Entry]:
    """The first two records of a key are numbered the other way round, wherever they are seen."""
    key = said(entries[the_first(entries, of(Put))]).key
    other = {(key, 0): 1, (key, 1): 0}

    def swapped(put: Put) -> Put:
        return changed(put, number=other.get((put.key, put.number), put.number))

    def told(what: What) -> What:
        if isinstance(what, Put):
            return swapped(what)
        if isinstance(what, Delivered | Done):
            return changed(what, records=tuple(map(swapped, what.records)))
        return what

    return [changed(entry, what=told(said(entry))) for entry in entries]


def by_somebody_else(entries: list[Entry]) -> list[Entry]:
    at = the_first(entries, is_checkpoint)
    return [*entries[:at], changed(entries[at], worker="z"), *entries[at + 1 :]]


def beats_unheard(entries: list[Entry]) -> list[Entry]:
    """No beat of one session landed after its first."""
    key = next(said(entry).key for entry in entries if isinstance(said(entry), EntryWritten))
    return [
        entry
        for entry in entries
        if not (isinstance(said(entry), EntryWritten) and said(entry).key == key and said(entry).beat)
    ]


def picked_up_in_between(entries: list[Entry]) -> list[Entry]:
    """Just before the last batch of a shard its holder lets go, and somebody else picks it up."""
    at = the_last(entries, of(Delivered))
    key, holder = said(entries[at]).shard_id, entries[at].worker
    stands = _row_before(entries, at, key)
    free = changed(stands, owner=None, held_by=None, counter=stands.counter + 1)
    entries = put_in(entries, at, "z", _taken(free))
    return put_in(entries, at, holder, RowWritten(key=key, claimed=stands, stood=stands, stands=free))


def taken_from_the_living(entries: list[Entry]) -> list[Entry]:
    """After the last batch of a shard somebody takes it from its holder."""
    last = the_last(entries, of(Delivered))
    return put_in(entries, last + 3, "z", _taken(_row_before(entries, last, said(entries[last]).shard_id)))


def _row_before(entries: list[Entry], at: int, key: str) -> Lease:
    writes = (e.what for e in reversed(entries[:at]) if isinstance(e.what, RowWritten) and e.what.key == key)
    return next(write.stands for write in writes if write.stands is not None)


def _taken(row: Lease) -> RowWritten:
    taken = changed(row, owner="z@00000000", held_by="z@00000000", counter=row.counter + 1)
    return RowWritten(key=row.key, claimed=row, stood=row, stands=taken)


def picked_up_twice(entries: list[Entry]) -> list[Entry]:
    """One token for two epochs."""
    at = the_first(entries, is_pick_up)
    return [*entries[:at], entries[at], *entries[at:]]


def delivered_before_it_was_passed_on(entries: list[Entry]) -> list[Entry]:
    """Whoever passed a shard on had already delivered what its successor delivers first."""
    passed = the_first(entries, of(LeaseHandedOver))
    shard_id = said(entries[passed]).shard_id
    at = the_first(
        entries, lambda entry: isinstance(said(entry), RowWritten) and entry.index > 0 and _passes_on(entry, shard_id)
    )
    following = next(e.what for e in entries[at:] if isinstance(e.what, Delivered) and e.what.shard_id == shard_id)
    batch = next(
        e.what for e in reversed(entries[:at]) if isinstance(e.what, Delivered) and e.what.shard_id == shard_id
    )
    return put_in(entries, at, entries[at].worker, changed(batch, records=following.records))


def _passes_on(entry: Entry, shard_id: str) -> bool:
    what = said(entry)
    return (
        isinstance(what, RowWritten)
        and what.key == shard_id
        and what.stood is not None
        and what.stands is not None
        and what.stood.held_by is not None
        and what.stands.effective_owner != what.stood.effective_owner
    )


def child_unborn(entries: list[Entry]) -> list[Entry]:
    """The row of a child is made only when its parent says SHARD_END."""
    ends = the_first(entries, lambda entry: isinstance(said(entry), RowWritten) and _ends(said(entry)))
    child = said(entries[ends]).stands.child_shard_ids[0]
    born = the_first(entries, lambda entry: isinstance(said(entry), RowWritten) and said(entry).key == child)
    return moved(entries, born, ends + 1)


def _ends(write: RowWritten) -> bool:
    return write.stands is not None and write.stands.is_finished


def raised_and_not_told(entries: list[Entry]) -> list[Entry]:
    """A batch raises, and is delivered again, and nobody says so."""
    at = the_first(entries, of(Delivered))
    batch = said(entries[at])
    raised = Raised(shard_id=batch.shard_id, token=batch.token, records=batch.records)
    return put_in(entries, at + 1, entries[at].worker, raised, batch)


def told_in_the_midst(worker: str, what: What) -> Doctor:
    return lambda entries: put_in(entries, len(entries) // 2, worker, what)


def told_at_the_end(worker: str, what: What) -> Doctor:
    return lambda entries: put_in(entries, the_last(entries, of(Drained)), worker, what)


DOCTORS: dict[str, Doctor] = {
    "no_skip": done_late,
    "no_skip, because of a gap": gap_of_what_is_there,
    "complete": put_and_forgotten,
    "in_order": turned_round,
    "parents_first": another_parent,
    "keys_in_order": numbers_swapped,
    "forward_only": row(stands=lambda write: changed(write.stands, checkpoint=TRIM_HORIZON)),
    "guarded": row(claimed=lambda write: changed(write.claimed, counter=write.claimed.counter - 1)),
    "guarded, with the counter": row(is_counter_free=lambda _: True),
    "only_by_the_holder": by_somebody_else,
    "before_the_deadline": beats_unheard,
    "no_zombie": picked_up_in_between,
    "only_from_the_dead": taken_from_the_living,
    "tokens_grow": picked_up_twice,
    "none_when_asked": delivered_before_it_was_passed_on,
    "shard_end": child_unborn,
    "binding": told_in_the_midst("", TableRestored()),
    "errors_show": raised_and_not_told,
    "memory": told_in_the_midst("b", Buffered(size=1 << 40, allowed=1 << 20)),
    "nobody_fails": told_at_the_end("b", Failed(error="odd")),
}


def test_a_sound_log_breaks_no_law():
    assert judged(History(sound()), LAWS) == {}


@pytest.mark.parametrize("name", DOCTORS)
def test_a_doctored_log_breaks_that_law_alone(name):
    assert set(judged(doctored(DOCTORS[name]), LAWS)) == {name.partition(",")[0]}


def test_progress_is_awaited():
    history = History(sound(), checkpoint_seconds=0.0)
    assert set(judged(history, LAWS)) == {"written_on_time"}


def test_every_law_of_safety_has_a_doctor():
    counted = {"few_repeats", "written_on_time"}
    assert {law.__name__ for law in SAFETY} - counted == {name.partition(",")[0] for name in DOCTORS}


def test_repeats_are_counted():
    assert set(judged(History(sound(), repeats_max=0), LAWS)) == {"few_repeats"}
