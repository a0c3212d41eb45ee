"""Where a large answer of GetRecords can be cut, so that no pass of the event loop has to decode all of it."""

PIECE_BYTES = 1024 * 1024
"""Decoded in one to two milliseconds."""

_RECORDS = b'"Records":['
_BORDER = b'},{"'
_HEAD_BYTES_MAX = 8192  # what comes before the records: an iterator and some numbers


def borders(body: bytes | bytearray) -> list[int]:
    """The bracket that opens the records, and commas between them, a piece or more apart; empty if it is not to be cut.

    A comma may be none: a partition key can end with what looks like a border. Then what lies before it, taken for a
    whole number of records, ends within a string, and cannot be decoded.
    """
    if len(body) < 2 * PIECE_BYTES:
        return []
    records = body.find(_RECORDS, 0, _HEAD_BYTES_MAX)
    if records < 0 or body.find(b"{", 1, records) >= 0 or body.find(b"[", 0, records) >= 0:
        return []  # or there is something before them that has members of its own
    found = [records + len(_RECORDS) - 1]
    while (border := body.find(_BORDER, found[-1] + PIECE_BYTES)) >= 0:
        found.append(border + 1)
    return found if len(found) > 1 else []
