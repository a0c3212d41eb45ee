"""A record shows its place and its size to whoever prints it, and nothing that a user put into it."""

import io
import pprint
from datetime import UTC, datetime

import pytest
import rich.console
from hypothesis import given
from hypothesis import strategies as st

from kcl_py.core.record import Record

RECORD = Record(
    data=b"secret payload",
    partition_key="secret key",
    sequence_number="4959",
    arrival_timestamp_seconds=1_700_000_000.123,
    sub_sequence_number=2,
    explicit_hash_key="1234567890",
    aggregated=True,
)


def shown_by_rich(value: object) -> str:
    console = rich.console.Console(file=io.StringIO(), width=200)
    console.print(value)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("show", [repr, str, pprint.pformat, shown_by_rich, lambda record: f"{[record]}"])
def test_printing_a_record_shows_no_payload_and_no_key(show: object) -> None:
    assert callable(show)
    shown = show(RECORD)
    assert "4959/2" in shown
    assert "14" in shown
    assert "secret" not in shown
    assert "1234567890" not in shown


@given(st.integers(0, 4_102_444_800_000))
def test_the_arrival_time_is_exact_to_the_millisecond_and_in_utc(milliseconds: int) -> None:
    record = Record(data=b"", partition_key="", sequence_number="1", arrival_timestamp_seconds=milliseconds / 1000)
    arrival = record.approximate_arrival_timestamp
    assert arrival.tzinfo is UTC
    assert round((arrival - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000) == milliseconds


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        RECORD.data = b"other"  # type: ignore[misc]
