"""A batch is a sequence of records that shows no payload and can be cut at a place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcl_py.core.batch import RecordBatch
from kcl_py.core.checkpoint import LATEST, SHARD_END, TRIM_HORIZON, Checkpoint
from kcl_py.core.record import Record


def batch(*places: tuple[int, int]) -> RecordBatch:
    records = [
        Record(
            data=b"secret",
            partition_key="secret",
            sequence_number=str(sequence),
            sub_sequence_number=sub_sequence,
            arrival_timestamp_seconds=0.0,
        )
        for sequence, sub_sequence in places
    ]
    return RecordBatch(records, stream="orders", shard_id="s-1", millis_behind_latest=5, is_at_shard_end=True)


def test_a_batch_is_a_sequence() -> None:
    three = batch((1, 0), (1, 1), (2, 0))
    assert len(three) == 3
    assert [record.sub_sequence_number for record in three] == [0, 1, 0]
    assert three[-1].sequence_number == "2"
    assert len(three[1:]) == 2
    assert three[1] in three
    assert (three.first, three.last, three.size_bytes) == (Checkpoint("1"), Checkpoint("2"), 36)


def test_the_size_is_of_payloads_and_keys_in_bytes_unless_it_is_known() -> None:
    record = Record(data=b"four", partition_key="κλειδί", sequence_number="1", arrival_timestamp_seconds=0.0)
    assert RecordBatch([record, record], stream="orders", shard_id="s-1").size_bytes == 2 * (4 + 12)
    assert RecordBatch([record], stream="orders", shard_id="s-1", size_bytes=99).size_bytes == 99


def test_printing_a_batch_shows_no_payload() -> None:
    assert repr(batch((1, 0), (2, 0))) == "RecordBatch(orders/s-1, 2 records from 1/0)"


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=8, unique=True).map(sorted),
    st.one_of(
        st.sampled_from([TRIM_HORIZON, LATEST, SHARD_END]),
        st.builds(Checkpoint, st.integers(0, 4).map(str), st.integers(0, 4)),
    ),
)
def test_what_follows_a_place_is_exactly_what_lies_behind_it(
    places: list[tuple[int, int]], position: Checkpoint
) -> None:
    whole = batch(*places)
    rest = whole.after(position)
    expected = [place for place in places if Checkpoint(str(place[0]), place[1]) > position]
    found = [(int(record.sequence_number), record.sub_sequence_number) for record in rest or ()]
    assert found == expected
    if rest is not None:
        assert (rest.stream, rest.shard_id, rest.millis_behind_latest, rest.is_at_shard_end) == (
            "orders",
            "s-1",
            5,
            True,
        )


@pytest.mark.parametrize("position", [TRIM_HORIZON, Checkpoint("0")])
def test_a_batch_of_which_nothing_is_done_is_given_again_uncopied(position: Checkpoint) -> None:
    whole = batch((1, 0), (2, 0))
    assert whole.after(position) is whole
