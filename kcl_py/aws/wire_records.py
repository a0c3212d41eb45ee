"""A page of records, however it came: what they must fulfil together, and how much they are.

That is seen to for whole pages at a time in what runs as C, because at 100 bytes a record every step that is taken per
record costs as much as its decoding.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from operator import lt
from typing import Any

from kcl_py.aws.calls import MalformedAnswer
from kcl_py.aws.members import children, sequence_number
from kcl_py.core.record import Record
from kcl_py.interfaces import Page

_DIGITS_MAX = 129
_VERSION_SHIFT = 184
_VERSION = 2
_INDEX_SHIFT = 4
_INDEX_MASK = 0xFFFFFFFF


def page_of(
    records: list[Record],
    shard_id: str,
    *,
    next_iterator: str | None,
    child_shards: Iterable[Mapping[str, Any]] | None,
    millis_behind_latest: int | None,
) -> Page:
    """Make a page of what was decoded; all of it or nothing.

    Args:
        records: of their members only the types were looked at.
        shard_id: the shard that was asked for.
        next_iterator: what leads to the next page; None or empty if nothing does.
        child_shards: as they are on the wire.
        millis_behind_latest: as it is on the wire.

    Raises:
        MalformedAnswer: a sequence number is none, the records go back or repeat themselves, or are of another shard.
        LookupError, TypeError, ValueError, AttributeError: a child has the wrong shape.
    """
    numbers = [record.sequence_number for record in records]
    if not _are_plainly_ascending(numbers):
        _check_order(numbers)
    for number in numbers[:1] + numbers[-1:]:
        _check_shard(number, shard_id)
    return Page(
        records=records,
        next_iterator=next_iterator or None,
        child_shards=children(child_shards or ()),
        millis_behind_latest=millis_behind_latest,
        size_bytes=_size_bytes(records),
    )


def _size_bytes(records: Sequence[Record]) -> int:
    """Payloads and partition keys together, as the service's limits count them."""
    keys = "".join([record.partition_key for record in records])
    return sum(map(len, [record.data for record in records])) + len(keys.encode())


def _are_plainly_ascending(numbers: Sequence[str]) -> bool:
    """True if all have the same length and so on, which is how the service makes them: then text sorts as numbers do.

    Only the first one's first digit is looked at: those after it are no smaller.
    """
    digits = "".join(numbers)
    return (
        len(set(map(len, numbers))) == 1
        and len(numbers[0]) <= _DIGITS_MAX
        and digits.isascii()
        and digits.encode().isdigit()  # of bytes it is ten times as fast
        and digits[0] != "0"
        and all(map(lt, numbers, islice(numbers, 1, None)))
    )


def _check_order(numbers: Sequence[str]) -> None:
    """Refuse a page that goes back or repeats itself: a place in it would cover what follows, and was not yet read."""
    last = (0, "")
    for number in map(sequence_number, numbers):
        place = (len(number), number)  # as numbers compare, without making any
        if place <= last:
            raise MalformedAnswer("records out of order")
        last = place


def _check_shard(sequence_number: str, shard_id: str) -> None:
    """Refuse a record that says itself that it is of another shard: an answer that was meant for somebody else.

    Only version 2 of the number's layout tells the shard (protocol reference, section 1.2). The first and the last
    record of a page are looked at, because a page is mixed up as a whole.
    """
    number = int(sequence_number)
    if number >> _VERSION_SHIFT != _VERSION:
        return
    told = f"shardId-{(number >> _INDEX_SHIFT) & _INDEX_MASK:012d}"
    if told != shard_id:
        raise MalformedAnswer(f"records of {told} instead of {shard_id}")
