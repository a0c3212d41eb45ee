"""Taking user records out of a KPL aggregate: all that its producer packed, or the raw record, never a part of either.

An aggregate is `F3 89 9A C2`, a protobuf message, and the message's MD5 (protocol reference, section 6.4). The whole
message is checked before the first user record is given out; after that nothing can fail, and of very many only so many
are made at once. What begins like an aggregate and does not parse is delivered as it came, flagged, with the reason.
Every record yields at least one. An aggregate inside an aggregate stays packed.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import msgspec

from kcl_py.core.aggregate import MADE_AT_ONCE_MAX, MAGIC, Aggregate
from kcl_py.core.protobuf import Malformed
from kcl_py.core.record import Record
from kcl_py.core.shard import HashRange

Report = Callable[[Record, str], None]
"""Called with a record that is delivered raw, and why; the text carries no payload and no key."""


def unpack(record: Record, hash_range: HashRange | None, report: Report | None = None) -> Iterator[Record]:
    """Give the user records of `record`, or `record` itself if it is no aggregate.

    Args:
        record: as read from the shard.
        hash_range: the shard's; user records outside it are flagged. None: unknown, nothing is flagged.
        report: told about a record that claims to be an aggregate and is not.
    """
    return chain.from_iterable(_unpacked(record, hash_range, report))


def unpack_all(
    records: Sequence[Record],
    hash_range: HashRange | None,
    report: Report | None = None,
    *,
    at_most: int = MADE_AT_ONCE_MAX,
) -> Iterator[Sequence[Record]]:
    """Give the user records of a page in order, in sequences of `at_most`, of which only the last may be shorter.

    A page without an aggregate is given as it is. The other arguments are those of `unpack`.
    """
    if len(records) <= at_most and not _holds_aggregates(records):
        if records:
            yield records
        return
    gathered: list[Record] = []
    for record in records:
        for some in _unpacked(record, hash_range, report):
            gathered += some
            while len(gathered) >= at_most:
                yield gathered[:at_most]
                gathered = gathered[at_most:]
    if gathered:
        yield gathered


def _holds_aggregates(records: Sequence[Record]) -> bool:
    # nearly every payload begins with a byte below the magic's, and one comparison is all that a record may cost here
    return any(_is_claimed(record) for record in [record for record in records if record.data >= MAGIC])


def _is_claimed(record: Record) -> bool:
    return record.data.startswith(MAGIC) and not record.aggregated


def _unpacked(record: Record, hash_range: HashRange | None, report: Report | None) -> Iterator[Sequence[Record]]:
    if not _is_claimed(record):
        yield (record,)
        return
    try:
        aggregate = Aggregate(record, hash_range)
    except Malformed as malformed:
        raw = msgspec.structs.replace(record, malformed_aggregate=True)
        if report is not None:
            report(raw, str(malformed))
        yield (raw,)
    else:
        yield from aggregate.user_records()
