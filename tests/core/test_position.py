"""Start positions are read from text, and a read is opened where a checkpoint says."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcl_py.core.checkpoint import AT_TIMESTAMP, LATEST, SHARD_END, TRIM_HORIZON, Checkpoint
from kcl_py.core.position import ReadFrom, StartPosition

moments = st.datetimes(
    min_value=datetime(1970, 1, 2),  # noqa: DTZ001
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("TRIM_HORIZON", StartPosition.TRIM_HORIZON),
        ("latest", StartPosition.LATEST),
        ("2026-03-01T09:00:00Z", StartPosition("AT_TIMESTAMP", 1_772_355_600_000)),
        ("2026-03-01T10:00:00.250+01:00", StartPosition("AT_TIMESTAMP", 1_772_355_600_250)),
    ],
)
def test_a_start_position_is_read_from_text(text: str, position: StartPosition) -> None:
    assert StartPosition.parse(text) == position


@pytest.mark.parametrize("text", ["", "now", "TRIM HORIZON", "AT_TIMESTAMP", "SHARD_END", "1772355600", "2026-13-01Z"])
def test_other_text_is_refused_with_the_forms_that_are_taken(text: str) -> None:
    with pytest.raises(ValueError, match="TRIM_HORIZON, LATEST or a time such as"):
        StartPosition.parse(text)


def test_a_time_without_a_zone_is_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match="no time zone; write it as 2026-03-01T09:00:00Z"):
        StartPosition.parse("2026-03-01T09:00:00")


@given(moments)
def test_what_is_shown_of_a_time_reads_back_as_the_same(moment: datetime) -> None:
    position = StartPosition.at(moment)
    assert StartPosition.parse(str(position)) == position
    assert position.timestamp_ms is not None
    assert abs(
        moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC) - timedelta(milliseconds=position.timestamp_ms)
    ) <= (timedelta(milliseconds=1))


@given(st.text())
def test_hostile_text_is_refused_or_reads_back(text: str) -> None:
    try:
        position = StartPosition.parse(text)
    except ValueError:
        return
    assert StartPosition.parse(str(position)) == position


def test_a_timestamp_belongs_to_at_timestamp_alone() -> None:
    for kind, timestamp_ms in (("LATEST", 5), ("TRIM_HORIZON", 5), ("AT_TIMESTAMP", None)):
        with pytest.raises(ValueError, match="timestamp_ms belongs to AT_TIMESTAMP"):
            StartPosition(kind, timestamp_ms)  # type: ignore[arg-type]


def test_a_start_position_has_the_sentinel_of_its_name() -> None:
    assert StartPosition.TRIM_HORIZON.sentinel == TRIM_HORIZON
    assert StartPosition.LATEST.sentinel == LATEST
    assert StartPosition("AT_TIMESTAMP", 1).sentinel == AT_TIMESTAMP


@pytest.mark.parametrize(
    ("checkpoint", "start_at_ms", "read"),
    [
        (Checkpoint("42"), None, ReadFrom("AT_SEQUENCE_NUMBER", sequence_number="42")),
        (Checkpoint("42", 7), 1_000, ReadFrom("AT_SEQUENCE_NUMBER", sequence_number="42")),
        (TRIM_HORIZON, None, ReadFrom("TRIM_HORIZON")),
        (TRIM_HORIZON, 1_000, ReadFrom("TRIM_HORIZON")),
        (LATEST, None, ReadFrom("LATEST")),
        (LATEST, 1_000, ReadFrom("AT_TIMESTAMP", timestamp_ms=1_000)),
        (AT_TIMESTAMP, 1_000, ReadFrom("AT_TIMESTAMP", timestamp_ms=1_000)),
    ],
    ids=str,
)
def test_a_read_is_opened_at_the_checkpoint(checkpoint: Checkpoint, start_at_ms: int | None, read: ReadFrom) -> None:
    assert ReadFrom.resuming(checkpoint, start_at_ms) == read


@pytest.mark.parametrize(("checkpoint", "start_at_ms"), [(AT_TIMESTAMP, None), (SHARD_END, None)])
def test_no_read_is_opened_where_there_is_no_place(checkpoint: Checkpoint, start_at_ms: int | None) -> None:
    with pytest.raises(ValueError, match="no read begins at"):
        ReadFrom.resuming(checkpoint, start_at_ms)


@pytest.mark.parametrize(
    ("kind", "sequence_number", "timestamp_ms"),
    [
        ("AT_SEQUENCE_NUMBER", None, None),
        ("AFTER_SEQUENCE_NUMBER", None, 5),
        ("LATEST", "5", None),
        ("AT_TIMESTAMP", None, None),
        ("TRIM_HORIZON", None, 5),
    ],
)
def test_a_read_has_what_its_kind_asks_for_and_no_more(
    kind: str, sequence_number: str | None, timestamp_ms: int | None
) -> None:
    with pytest.raises(ValueError, match="do not go together"):
        ReadFrom(kind, sequence_number, timestamp_ms)  # type: ignore[arg-type]
