"""Checkpoints are one total order, and take no other text."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcl_py.core.checkpoint import AT_TIMESTAMP, LATEST, SHARD_END, TRIM_HORIZON, Checkpoint
from kcl_py.core.record import Record

SENTINELS = (AT_TIMESTAMP, TRIM_HORIZON, LATEST, SHARD_END)
numbers = st.builds(
    Checkpoint,
    st.one_of(st.integers(0, 20), st.integers(0, 10**129 - 1)).map(str),
    st.one_of(st.integers(0, 3), st.integers(0, 2**40)),
)
checkpoints = st.one_of(st.sampled_from(SENTINELS), numbers)


def naive_key(checkpoint: Checkpoint) -> tuple[float, int]:
    """Sorts as section 1.2 of the protocol reference says, written down a second time."""
    places = {"AT_TIMESTAMP": -3.0, "TRIM_HORIZON": -2.0, "LATEST": -1.0, "SHARD_END": float("inf")}
    if checkpoint.sequence_number in places:
        return places[checkpoint.sequence_number], 0
    return int(checkpoint.sequence_number), checkpoint.sub_sequence_number


def test_the_order_is_that_of_the_java_kcl() -> None:
    ascending = [
        AT_TIMESTAMP,
        TRIM_HORIZON,
        LATEST,
        Checkpoint("0"),
        Checkpoint("0", 1),
        Checkpoint("9"),
        Checkpoint("10"),
        Checkpoint("10", 2),
        Checkpoint("10", 10),
        Checkpoint("49590338271490256608559692538361571095921575989136588898"),
        SHARD_END,
    ]
    assert sorted(random.Random(7).sample(ascending, len(ascending))) == ascending
    assert len(set(ascending)) == len(ascending)


@given(checkpoints, checkpoints)
def test_any_two_compare_as_their_numbers_do(one: Checkpoint, other: Checkpoint) -> None:
    a, b = naive_key(one), naive_key(other)
    assert (one < other, one <= other, one == other, one != other, one >= other, one > other) == (
        a < b,
        a <= b,
        a == b,
        a != b,
        a >= b,
        a > b,
    )
    assert one != other or hash(one) == hash(other)


def test_a_sub_sequence_number_makes_no_second_shard_end() -> None:
    assert Checkpoint("SHARD_END", 7) == SHARD_END
    assert not Checkpoint("SHARD_END", 7) > SHARD_END
    assert hash(Checkpoint("SHARD_END", 7)) == hash(SHARD_END)


def test_a_checkpoint_equals_nothing_else() -> None:
    assert Checkpoint("5") != "5"
    assert Checkpoint("5") != ("5", 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-1",
        "+1",
        "1.0",
        "1e5",
        "0x10",
        "007",
        "1 ",
        "1\n",
        "1_000",
        "٣",
        "²",
        "latest",
        "Shard_End",
        "SHARD_END\n",
        "LATEST;DROP",
        "\x00",
        "9" * 130,
        "9" * 5_000,
        "None",
    ],
)
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a checkpoint") as refused:
        Checkpoint(text)
    assert len(str(refused.value)) < 400


@given(st.text())
def test_hostile_text_is_refused_or_is_in_the_order(text: str) -> None:
    try:
        checkpoint = Checkpoint(text)
    except ValueError:
        return
    assert AT_TIMESTAMP <= checkpoint <= SHARD_END
    assert checkpoint.is_number or checkpoint in SENTINELS


def test_a_negative_sub_sequence_number_is_refused() -> None:
    with pytest.raises(ValueError, match="sub-sequence number of 0 or more"):
        Checkpoint("5", -1)


def test_a_checkpoint_at_a_record_names_its_place() -> None:
    record = Record(
        data=b"", partition_key="", sequence_number="77", arrival_timestamp_seconds=0.0, sub_sequence_number=3
    )
    assert Checkpoint.at(record) == Checkpoint("77", 3)
    assert str(Checkpoint.at(record)) == "77/3"


def test_sentinels_know_what_they_are() -> None:
    assert [checkpoint.is_number for checkpoint in SENTINELS] == [False] * 4
    assert [checkpoint.is_shard_end for checkpoint in SENTINELS] == [False, False, False, True]
    assert [str(checkpoint) for checkpoint in SENTINELS] == ["AT_TIMESTAMP", "TRIM_HORIZON", "LATEST", "SHARD_END"]
    assert Checkpoint("0").is_number
