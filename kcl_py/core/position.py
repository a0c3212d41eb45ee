"""Places to begin: the one a user chooses for a stream, and the one a read of a shard is opened at."""

from datetime import UTC, datetime
from typing import ClassVar, Literal

import msgspec

from kcl_py.core import checkpoint
from kcl_py.core.checkpoint import Checkpoint


class StartPosition(msgspec.Struct, frozen=True):
    """Where a worker begins in a shard that has no checkpoint yet.

    Attributes:
        kind: `TRIM_HORIZON` (the oldest record), `LATEST` (what is put from now on) or `AT_TIMESTAMP`.
        timestamp_ms: milliseconds since the epoch, for `AT_TIMESTAMP` alone.
    """

    kind: Literal["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"]
    timestamp_ms: int | None = None

    TRIM_HORIZON: ClassVar["StartPosition"]
    LATEST: ClassVar["StartPosition"]

    def __post_init__(self) -> None:
        if (self.kind == "AT_TIMESTAMP") != (self.timestamp_ms is not None):
            raise ValueError("timestamp_ms belongs to AT_TIMESTAMP, and only to it")

    @classmethod
    def at(cls, moment: datetime) -> "StartPosition":
        """Begin with the first record that arrived at or after `moment`.

        Raises:
            ValueError: `moment` has no time zone.
        """
        if moment.tzinfo is None:
            raise ValueError(f"{moment.isoformat()} has no time zone; write it as {moment.isoformat()}Z for UTC")
        return cls("AT_TIMESTAMP", round(moment.timestamp() * 1000))

    @classmethod
    def parse(cls, text: str) -> "StartPosition":
        """Read `TRIM_HORIZON`, `LATEST` or an ISO-8601 time with a zone.

        Raises:
            ValueError: with the accepted forms.
        """
        if text.upper() in ("TRIM_HORIZON", "LATEST"):
            return cls(text.upper())  # type: ignore[arg-type]
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"{text!r} is not TRIM_HORIZON, LATEST or a time such as 2026-03-01T09:00:00Z") from None
        return cls.at(moment)

    @property
    def sentinel(self) -> Checkpoint:
        """The checkpoint that a new lease row carries for this start."""
        return Checkpoint(self.kind)

    def __str__(self) -> str:
        if self.timestamp_ms is None:
            return self.kind
        return datetime.fromtimestamp(self.timestamp_ms / 1000, UTC).isoformat()


StartPosition.TRIM_HORIZON = StartPosition("TRIM_HORIZON")
StartPosition.LATEST = StartPosition("LATEST")


class ReadFrom(msgspec.Struct, frozen=True):
    """Where a read of one shard is opened: the five iterator types of GetShardIterator, which fan-out shares.

    Raises:
        ValueError: the kind lacks its sequence number or timestamp.
    """

    kind: Literal["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"]
    sequence_number: str | None = None
    timestamp_ms: int | None = None

    def __post_init__(self) -> None:
        if self.kind.endswith("_SEQUENCE_NUMBER") != (self.sequence_number is not None):
            raise ValueError(f"{self.kind} and sequence_number={self.sequence_number} do not go together")
        if (self.kind == "AT_TIMESTAMP") != (self.timestamp_ms is not None):
            raise ValueError(f"{self.kind} and timestamp_ms={self.timestamp_ms} do not go together")

    @classmethod
    def resuming(cls, position: Checkpoint, start_at_ms: int | None) -> "ReadFrom":
        """Open at a lease's checkpoint.

        A number is opened inclusively, because the rest of an aggregate may still be unfinished; the reader drops what
        the checkpoint covers. A sentinel that was resolved to a time when its row was made is opened at that time, so
        that LATEST means the same moment on every later start (fleet.md, section 3).
        """
        if position.is_number:
            return cls("AT_SEQUENCE_NUMBER", sequence_number=position.sequence_number)
        if start_at_ms is not None and position != checkpoint.TRIM_HORIZON:
            return cls("AT_TIMESTAMP", timestamp_ms=start_at_ms)
        if position in (checkpoint.TRIM_HORIZON, checkpoint.LATEST):
            return cls("TRIM_HORIZON" if position == checkpoint.TRIM_HORIZON else "LATEST")
        raise ValueError(f"no read begins at {position} without a start time")
