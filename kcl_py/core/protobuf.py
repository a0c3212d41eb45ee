"""The wire format of protobuf messages, as far as KPL aggregates use it; any number of bytes may be wrong in it."""

_VARINT_BYTES_MAX = 10


class Malformed(Exception):
    """Why a message does not parse; the text carries nothing of what is in it."""


def field(blob: bytes, at: int, end: int) -> tuple[int, int, int, int]:
    """Read the field at `at`: its tag, where its body begins and ends, and its value if it is a varint, else 0."""
    tag, body = varint(blob, at, end)
    stop, value = body, 0
    match tag & 7:
        case 0:
            value, stop = varint(blob, body, end)
        case 1:
            stop = body + 8
        case 2:
            size, body = varint(blob, body, end)
            stop = body + size
        case 5:
            stop = body + 4
        case _:
            raise Malformed("a field has an unknown wire type")
    if tag >> 3 == 0 or stop > end:
        raise Malformed("a field has no number, or runs past its message")
    return tag, body, stop, value


def varint(blob: bytes, at: int, end: int) -> tuple[int, int]:
    """Read a varint: its value and where it ends."""
    value = shift = 0
    for place in range(at, min(end, at + _VARINT_BYTES_MAX)):
        byte = blob[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + 1
        shift += 7
    raise Malformed("a varint does not end")
