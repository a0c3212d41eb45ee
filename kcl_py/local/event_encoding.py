"""The encoding `application/vnd.amazon.eventstream`, in which SubscribeToShard answers.

A message is a prelude (its length and that of its headers, four bytes each, and their CRC-32), headers, a payload, and
the CRC-32 of everything before. Numbers are big-endian. A header is its name behind one byte of length, the type 7 for
a string, and its value behind two bytes of length. Source: the page "Event stream encoding" of the developer guide of
Amazon Lex, which describes the same encoding; every message is also read back by botocore's own parser in the tests.
"""

import struct
import zlib
from collections.abc import Mapping

import msgspec

from kcl_py.local.answers import SubscribeToShardEvent
from kcl_py.local.kinesis_error import KinesisError

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_PAYLOAD_TYPE = "application/x-amz-json-1.1"
_STRING = 7
_PRELUDE_BYTES = 12
_CRC_BYTES = 4


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message. Header names are at most 255 bytes long, values 65,535."""
    head = b"".join(_header(name.encode(), value.encode()) for name, value in headers.items())
    prelude = struct.pack(">II", _PRELUDE_BYTES + len(head) + len(payload) + _CRC_BYTES, len(head))
    body = b"".join((prelude, struct.pack(">I", zlib.crc32(prelude)), head, payload))
    return body + struct.pack(">I", zlib.crc32(body))


def initial_response() -> bytes:
    """The message that SDKs wait for before they give the stream to their caller."""
    return _event("initial-response", b"{}")


def event(content: SubscribeToShardEvent) -> bytes:
    """What is pushed."""
    return _event("SubscribeToShardEvent", msgspec.json.encode(content))


def exception(error: KinesisError) -> bytes:
    """The last message of a subscription that ends with an error."""
    headers = {":exception-type": error.code, ":content-type": _PAYLOAD_TYPE, ":message-type": "exception"}
    return message(headers, msgspec.json.encode({"message": error.message}))


def _event(kind: str, payload: bytes) -> bytes:
    return message({":event-type": kind, ":content-type": _PAYLOAD_TYPE, ":message-type": "event"}, payload)


def _header(name: bytes, value: bytes) -> bytes:
    return struct.pack(">B", len(name)) + name + struct.pack(">BH", _STRING, len(value)) + value
