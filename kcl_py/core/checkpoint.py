"""A checkpoint: the last finished place in a shard, in the order that the Java KCL's tables use.

AT_TIMESTAMP < TRIM_HORIZON < LATEST < every number < SHARD_END; numbers compare as integers, then by sub-sequence
(protocol reference, section 1.2). Equal means equal in that order: SHARD_END is SHARD_END whatever its sub-sequence.
"""

import re

import msgspec

from kcl_py.core.record import Record

_SENTINEL_RANK = {"AT_TIMESTAMP": -3, "TRIM_HORIZON": -2, "LATEST": -1}
_NUMBER_RANK = 0
_SHARD_END_RANK = 1
_SEQUENCE_NUMBER = re.compile(r"0|[1-9][0-9]{0,128}")  # the API reference's pattern for SequenceNumber


class Checkpoint(msgspec.Struct, frozen=True, eq=False):
    """Everything up to and including this place is done. A sentinel says where to begin, or that the shard is done.

    Attributes:
        sequence_number: decimal digits, or the name of a sentinel.
        sub_sequence_number: place inside a KPL aggregate, 0 or more.

    Raises:
        ValueError: it is neither.
    """

    sequence_number: str
    sub_sequence_number: int = 0

    def __post_init__(self) -> None:
        text = self.sequence_number
        is_number = _SEQUENCE_NUMBER.fullmatch(text) is not None
        if not (is_number or text in _SENTINEL_RANK or text == "SHARD_END") or self.sub_sequence_number < 0:
            raise ValueError(
                f"not a checkpoint: {text[:64]!r}/{self.sub_sequence_number}; expected a decimal sequence number, "
                "TRIM_HORIZON, LATEST, AT_TIMESTAMP or SHARD_END, and a sub-sequence number of 0 or more"
            )

    @classmethod
    def at(cls, record: Record) -> "Checkpoint":
        """The checkpoint that says `record` is done."""
        return cls(record.sequence_number, record.sub_sequence_number)

    @property
    def is_number(self) -> bool:
        """True for a place in the shard, False for every sentinel."""
        return self.sequence_number[0].isdigit()

    @property
    def is_shard_end(self) -> bool:
        """True when every record of the shard is done."""
        return self.sequence_number == "SHARD_END"

    @property
    def _order(self) -> tuple[int, int, int]:
        if self.is_number:
            return _NUMBER_RANK, int(self.sequence_number), self.sub_sequence_number
        if self.is_shard_end:
            return _SHARD_END_RANK, 0, 0
        return _SENTINEL_RANK[self.sequence_number], 0, 0

    def __eq__(self, other: object) -> bool:
        return self._order == other._order if isinstance(other, Checkpoint) else NotImplemented

    def __ne__(self, other: object) -> bool:  # a Struct has its own, which does not ask __eq__
        return not self == other

    def __hash__(self) -> int:
        return hash(self._order)

    def __lt__(self, other: "Checkpoint") -> bool:
        return self._order < other._order

    def __le__(self, other: "Checkpoint") -> bool:
        return self._order <= other._order

    def __gt__(self, other: "Checkpoint") -> bool:
        return self._order > other._order

    def __ge__(self, other: "Checkpoint") -> bool:
        return self._order >= other._order

    def __str__(self) -> str:
        return f"{self.sequence_number}/{self.sub_sequence_number}" if self.is_number else self.sequence_number


TRIM_HORIZON = Checkpoint("TRIM_HORIZON")
LATEST = Checkpoint("LATEST")
AT_TIMESTAMP = Checkpoint("AT_TIMESTAMP")
SHARD_END = Checkpoint("SHARD_END")
