"""The position is contiguous: it never passes an unfinished record, never goes back, and reaches the end."""

import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from kcl_py.core.checkpoint import LATEST, SHARD_END, TRIM_HORIZON, Checkpoint
from kcl_py.core.record import Record
from kcl_py.core.watermark import Batch, Watermark


def record(sequence: int, sub_sequence: int = 0) -> Record:
    return Record(
        data=b"",
        partition_key="k",
        sequence_number=str(sequence),
        sub_sequence_number=sub_sequence,
        arrival_timestamp_seconds=0.0,
    )


def records(first: int, last: int) -> list[Record]:
    return [record(sequence) for sequence in range(first, last + 1)]


class NaiveWatermark(RuleBasedStateMachine):
    """The same law kept record by record, beside the one under test."""

    batches = Bundle("batches")

    def __init__(self) -> None:
        super().__init__()
        self.watermark = Watermark(TRIM_HORIZON)
        self.places: list[Checkpoint] = []  # everything delivered
        self.done: list[bool] = []
        self.firsts: dict[int, int] = {}  # where in `places` a batch begins, by its identity
        self.reached = TRIM_HORIZON
        self.sequence = 0
        self.last: Batch | None = None  # delivered, and not withdrawn

    @property
    def position(self) -> Checkpoint:
        unfinished = next((index for index, done in enumerate(self.done) if not done), len(self.done))
        return self.places[unfinished - 1] if unfinished else TRIM_HORIZON

    @rule(target=batches, gaps=st.lists(st.integers(0, 2), min_size=1, max_size=5))
    def deliver(self, gaps: list[int]) -> Batch:
        delivered = []
        for gap in gaps:
            self.sequence += gap
            last = self.places[-1] if self.places else None
            is_same = last is not None and last.sequence_number == str(self.sequence)
            delivered.append(record(self.sequence, last.sub_sequence_number + 1 if is_same and last else 0))
            self.places.append(Checkpoint.at(delivered[-1]))
            self.done.append(False)
        batch = self.watermark.delivered(delivered)
        self.firsts[id(batch)] = len(self.places) - len(gaps)
        self.last = batch
        return batch

    @rule(batch=batches)
    def complete(self, batch: Batch) -> None:
        first = self.firsts[id(batch)]
        self.done[first : first + batch.count] = [True] * batch.count
        self.watermark.completed(batch)

    @rule(batch=batches, data=st.data())
    def complete_one(self, batch: Batch, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, batch.count - 1))
        self.done[self.firsts[id(batch)] + index] = True
        self.watermark.completed_record(batch, index)

    @precondition(lambda self: self.places)
    @rule(data=st.data())
    def complete_to(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.places) - 1))
        self.done[: index + 1] = [True] * (index + 1)
        self.watermark.completed_to(self.places[index])

    @rule(batch=batches)
    def deliver_again(self, batch: Batch) -> None:
        first = self.firsts[id(batch)]
        mine = self.done[first : first + batch.count]
        again = next((index for index, done in enumerate(mine) if not done), batch.count)
        self.done[first + again : first + batch.count] = [False] * (batch.count - again)
        assert self.watermark.delivered_again(batch) == again

    @rule(batch=consumes(batches))
    def withdraw(self, batch: Batch) -> None:
        """The last one alone; what is complete behind a record that is not was completed in vain."""
        if batch is not self.last:
            return
        first = self.firsts[id(batch)]
        mine = self.done[first:]
        stays = first + next((index for index, done in enumerate(mine) if not done), len(mine))
        del self.places[stays:], self.done[stays:]
        self.watermark.withdrawn(batch)
        self.watermark.checkpointed(self.reached)
        self.last = None

    @rule()
    def checkpoint(self) -> None:
        self.watermark.checkpointed(self.watermark.position)
        self.reached = self.watermark.position

    @invariant()
    def the_two_agree(self) -> None:
        assert self.watermark.position == self.position
        assert self.watermark.outstanding == self.done.count(False)
        assert self.watermark.delivered_to == (self.places[-1] if self.places else TRIM_HORIZON)

    @invariant()
    def the_position_never_falls_behind_a_checkpoint(self) -> None:
        assert self.watermark.position >= self.reached

    @invariant()
    def what_a_crash_would_repeat_is_never_counted_too_low(self) -> None:
        repeated = sum(place > self.reached for place in self.places)
        assert self.watermark.uncheckpointed >= repeated
        if self.reached in (TRIM_HORIZON, *(self.places[-1:])):
            assert self.watermark.uncheckpointed == repeated


TestAgainstARecordByRecordLaw = NaiveWatermark.TestCase
TestAgainstARecordByRecordLaw.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_the_end_is_reached_once_everything_is_complete_in_whatever_order(
    sizes: list[int],
    random: "st.Random",  # type: ignore[name-defined]
) -> None:
    watermark = Watermark(LATEST)
    completions: list[tuple[Batch, int]] = []
    sequence = 0
    for size in sizes:
        batch = watermark.delivered(records(sequence + 1, sequence + size))
        sequence += size
        completions += [(batch, index) for index in range(size)]
    random.shuffle(completions)
    positions = [watermark.position]
    for batch, index in completions:
        watermark.completed_record(batch, index)
        positions.append(watermark.position)
    assert positions == sorted(positions)
    assert watermark.position == watermark.delivered_to == Checkpoint(str(sequence))
    assert watermark.outstanding == 0


def test_a_batch_that_overtakes_another_waits_for_it() -> None:
    watermark = Watermark(TRIM_HORIZON)
    first, second = watermark.delivered(records(1, 3)), watermark.delivered(records(4, 6))
    watermark.completed(second)
    assert (watermark.position, watermark.outstanding) == (TRIM_HORIZON, 3)
    watermark.completed(first)
    assert (watermark.position, watermark.outstanding) == (Checkpoint("6"), 0)


def test_the_position_stops_before_the_record_that_failed() -> None:
    watermark = Watermark(Checkpoint("9"))
    batch = watermark.delivered(records(10, 19))
    for index in (0, 1, 2, 4, 5):
        watermark.completed_record(batch, index)
    assert watermark.position == Checkpoint("12")
    assert watermark.delivered_again(batch) == 3
    assert watermark.outstanding == 7
    watermark.completed_record(batch, 3)  # what came after it was taken back: it is delivered again
    assert watermark.position == Checkpoint("13")
    watermark.completed(batch)
    assert watermark.outstanding == 0
    assert watermark.position == Checkpoint("19")


class Page(list[Record]):
    """A list that can be watched."""


def test_the_records_of_a_complete_batch_are_let_go() -> None:
    watermark = Watermark(TRIM_HORIZON)
    open_batch = watermark.delivered(records(1, 2))
    page = Page(records(3, 5))
    watched = weakref.ref(page)
    batch = watermark.delivered(page)
    del page
    assert watched() is not None
    watermark.completed(batch)
    assert watched() is None
    assert not open_batch.is_complete


def test_inside_an_aggregate_the_position_names_the_user_record() -> None:
    watermark = Watermark(Checkpoint("7", 1))
    batch = watermark.delivered([record(7, 2), record(7, 3), record(8, 0)])
    watermark.completed_record(batch, 0)
    assert watermark.position == Checkpoint("7", 2)


def test_a_user_checkpoint_completes_what_lies_at_or_below_it() -> None:
    watermark = Watermark(TRIM_HORIZON)
    watermark.delivered(records(1, 5))
    watermark.delivered(records(6, 9))
    watermark.completed_to(Checkpoint("7"))
    assert (watermark.position, watermark.outstanding) == (Checkpoint("7"), 2)
    watermark.completed_to(Checkpoint("3"))
    assert watermark.position == Checkpoint("7")


@pytest.mark.parametrize("position", [Checkpoint("6"), SHARD_END])
def test_a_user_checkpoint_beyond_the_last_delivery_is_refused(position: Checkpoint) -> None:
    watermark = Watermark(TRIM_HORIZON)
    watermark.delivered(records(1, 5))
    with pytest.raises(ValueError, match="was not delivered; the last record that was is 5/0"):
        watermark.completed_to(position)


@pytest.mark.parametrize("following", [[], records(5, 6), records(4, 9), [record(5, 0)]])
def test_a_delivery_that_does_not_follow_the_last_is_refused(following: list[Record]) -> None:
    watermark = Watermark(TRIM_HORIZON)
    watermark.delivered(records(1, 5))
    with pytest.raises(ValueError, match="does not follow 5/0"):
        watermark.delivered(following)


def test_a_record_that_a_batch_does_not_have_cannot_be_completed() -> None:
    watermark = Watermark(TRIM_HORIZON)
    batch = watermark.delivered(records(1, 2))
    for index in (-1, 2):
        with pytest.raises(IndexError):
            watermark.completed_record(batch, index)
    assert watermark.outstanding == 2


def test_only_a_durable_checkpoint_lowers_what_a_crash_would_repeat() -> None:
    watermark = Watermark(TRIM_HORIZON)
    batches = [watermark.delivered(records(first, first + 9)) for first in (1, 11, 21)]
    for batch in batches:
        watermark.completed(batch)
    assert watermark.uncheckpointed == 30
    watermark.checkpointed(Checkpoint("15"))
    assert watermark.uncheckpointed == 20
    watermark.checkpointed(Checkpoint("30"))
    assert watermark.uncheckpointed == 0
