"""Sequence numbers, in the layout that the service has used since 2014 as far as it is known.

47 hexadecimal digits, most significant first: a 2; the second in which the shard was created (9); the low digit of the
shard's index (1); the record's place in the shard (16); two zeros; the second of arrival (9); the shard's index (8); a
2 for the layout's version. So numbers grow with the place inside a shard, a child that was created in a later second
lies above all of its parents, and the shard can be told from the number. (Worked out from observed numbers by the
authors of kinesalite; AWS only promises the order.)
"""

from typing import Self

import msgspec

PLACE_MAX = 2**63 - 1
_VERSION = 2
_LEAD = 2 << 184
_CREATED, _NIBBLE, _PLACE, _ARRIVED, _INDEX = 148, 144, 80, 36, 4
_SECONDS_MASK = 2**36 - 1


class SequenceNumber(msgspec.Struct, frozen=True):
    """A sequence number taken apart. Seconds are since the epoch."""

    shard_created_seconds: int
    shard_index: int
    place: int  # 0 for the shard's beginning, PLACE_MAX for its end, records in between
    arrived_seconds: int

    def __str__(self) -> str:
        base = numbers_of_shard(self.shard_created_seconds, self.shard_index)
        return str(base + (self.place << _PLACE) + (self.arrived_seconds << _ARRIVED))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take a decimal sequence number apart.

        Raises:
            ValueError: it is not of this layout.
        """
        number = int(text)
        if number >> 184 != _LEAD >> 184 or number & 0xF != _VERSION:
            raise ValueError(f"{text} is not a sequence number of version {_VERSION}")
        place = (number >> _PLACE) & (2**64 - 1)
        index = (number >> _INDEX) & 0xFFFFFFFF
        if place > PLACE_MAX or (number >> _NIBBLE) & 0xF != index & 0xF:
            raise ValueError(f"{text} is not a sequence number of version {_VERSION}")
        return cls((number >> _CREATED) & _SECONDS_MASK, index, place, (number >> _ARRIVED) & _SECONDS_MASK)


def numbers_of_shard(created_seconds: int, shard_index: int) -> int:
    """What all numbers of one shard have in common."""
    return _LEAD + (created_seconds << _CREATED) + ((shard_index & 0xF) << _NIBBLE) + (shard_index << _INDEX) + _VERSION


def number_of_record(shard_numbers: int, place: int, arrived_seconds: int) -> str:
    """The number of one record; the same as `str(SequenceNumber(...))`, without the parts that never change."""
    return str(shard_numbers + (place << _PLACE) + (arrived_seconds << _ARRIVED))
