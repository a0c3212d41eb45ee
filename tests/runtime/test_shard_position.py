"""How far a shard was fetched, and where a read goes on."""

import asyncio

import msgspec
import pytest

from kcl_py.core.position import ReadFrom
from kcl_py.core.record import Record
from kcl_py.core.shard import ChildShard, HashRange
from kcl_py.events import Event, RecordsMissing
from kcl_py.interfaces import Page
from kcl_py.runtime.data.shard_position import ShardPosition
from kcl_py.runtime.emitter import Emitter

HOUR = 3600.0
START = ReadFrom("AT_SEQUENCE_NUMBER", sequence_number="100")
AT_110 = ReadFrom("AT_SEQUENCE_NUMBER", sequence_number="110")
CHILD = ChildShard(shard_id="shardId-1", hash_range=HashRange(0, 9), parent_shard_ids=("shardId-0",))
RECORD = Record(data=b"", partition_key="k", sequence_number="120", arrival_timestamp_seconds=0.0)
OPEN = Page(records=[], next_iterator="iterator")
END = Page(records=[], next_iterator=None)
END_WITH_RECORDS = Page(records=[RECORD], next_iterator=None)


class Reading:
    """A position, a clock, and what was said."""

    def __init__(self, *, may_have_gap: bool = True) -> None:
        self.now = 50 * HOUR
        self.events: list[Event] = []
        self.position = ShardPosition(
            "shardId-0",
            START,
            confirm_end=_is_open,
            may_have_gap=may_have_gap,
            emit=Emitter([self.events.append]),
            clock=lambda: self.now,
        )

    def take(self, *numbers: int, continuation: str | None = None, behind_ms: int | None = 0) -> list[str]:
        """A page of these records; those that were not fetched before."""
        records = [
            Record(data=b"", partition_key="k", sequence_number=str(number), arrival_timestamp_seconds=0.0)
            for number in numbers
        ]
        page = Page(records=records, next_iterator=continuation or "iterator", millis_behind_latest=behind_ms)
        page = self.position.checked(page)
        self.position.fetched(page, self.now, continuation)
        return [record.sequence_number for record in page.records]

    @property
    def gaps(self) -> list[str]:
        return [event.after for event in self.events if isinstance(event, RecordsMissing)]


async def _is_open() -> tuple[ChildShard, ...] | None:
    return None


def after(number: int) -> ReadFrom:
    return ReadFrom("AFTER_SEQUENCE_NUMBER", sequence_number=str(number))


def test_both_ways_of_reading_begin_at_the_start():
    reading = Reading()
    assert reading.position.to_poll() == reading.position.to_subscribe() == START


def test_a_subscription_goes_on_after_what_the_page_named_and_an_iterator_at_the_last_record():
    reading = Reading()
    reading.take(100, 110, continuation="115")
    reading.take(continuation="120")
    assert reading.position.to_subscribe() == after(120)
    assert reading.position.to_poll() == AT_110
    assert reading.take(110, 125, continuation="125") == ["125"]
    assert not reading.gaps


def test_what_was_polled_since_is_not_pushed_again():
    reading = Reading()
    reading.take(100, continuation="105")
    reading.take(100, 110)
    assert reading.position.to_subscribe() == after(110)


@pytest.mark.parametrize(
    ("hours", "behind_hours", "is_sure"), [(0, 0, True), (11, 0, True), (13, 0, False), (1, 23, False), (1, 5, True)]
)
def test_the_last_record_is_looked_for_again_where_what_follows_it_may_have_been_trimmed(hours, behind_hours, is_sure):
    reading = Reading()
    reading.take(100, 110, continuation="115", behind_ms=round(behind_hours * HOUR * 1000))
    reading.now += hours * HOUR
    assert reading.position.to_subscribe() == (after(115) if is_sure else AT_110)
    reading.position.to_poll()
    assert reading.take(130) == ["130"]
    assert reading.gaps == ([] if is_sure else ["110"])


def test_a_page_that_does_not_say_how_far_behind_it_is_proves_nothing():
    reading = Reading()
    reading.take(100, 110, continuation="115", behind_ms=None)
    assert reading.position.to_subscribe() == AT_110


def test_a_record_that_was_to_be_seen_first_is_not_forgotten_because_an_empty_page_came():
    reading = Reading()
    reading.take(100, 110, continuation="115")
    reading.now += 30 * HOUR
    assert reading.position.to_subscribe() == AT_110
    reading.take(continuation="112", behind_ms=60_000)
    assert reading.position.to_subscribe() == AT_110, "it was not looked for yet"
    reading.take(130, continuation="130")
    assert reading.gaps == ["110"]


def test_a_checkpoint_that_was_trimmed_is_a_gap_also_when_the_first_pages_are_empty():
    reading = Reading()
    reading.take(continuation="105", behind_ms=60_000)
    assert reading.position.to_subscribe() == after(105)
    reading.take(130, continuation="130")
    assert reading.gaps == ["100"]


def test_a_checkpoint_that_was_trimmed_from_a_shard_that_is_empty_is_a_gap_and_is_told_once():
    reading = Reading()
    reading.take(continuation="105")
    assert reading.gaps == ["100"]
    assert reading.events[0].before == "the tip"  # type: ignore[attr-defined]
    reading.take(130)
    assert reading.gaps == ["100"]


def test_who_can_have_missed_nothing_before_the_epoch_is_told_of_what_it_misses_within():
    reading = Reading(may_have_gap=False)
    assert reading.take(130) == ["130"]
    assert not reading.gaps, "the checkpoint may be trimmed: the shard was idle"
    reading.now += 30 * HOUR
    reading.position.to_poll()
    assert reading.take(140) == ["140"]
    assert reading.gaps == ["130"]


# -- the end ------------------------------------------------------------------------------------------------------


def believed(*pages: Page) -> list[bool]:
    """Of which of these pages it is believed that they are the last, where the listing shows children."""

    async def story() -> list[bool]:
        position = ShardPosition(
            "shardId-0", START, confirm_end=_is_split, may_have_gap=False, emit=Emitter([]), clock=lambda: 0.0
        )
        return [(await position.with_children(page, "on")).next_iterator is None for page in pages]

    return asyncio.run(story())


async def _is_split() -> tuple[ChildShard, ...] | None:
    return (CHILD,)


def test_an_end_without_children_is_believed_the_second_time_in_a_row():
    assert believed(END, END) == [False, True]
    assert believed(END, OPEN, END, END) == [False, False, False, True]


def test_an_end_that_brings_records_is_a_first_one_because_there_was_more_after_the_last():
    assert believed(END, END_WITH_RECORDS, END) == [False, False, True]


def test_an_end_that_names_children_is_believed_at_once():
    assert believed(msgspec.structs.replace(END_WITH_RECORDS, child_shards=(CHILD,))) == [True]
