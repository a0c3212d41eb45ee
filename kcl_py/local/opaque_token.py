"""Tokens that callers hand back unread: shard iterators and the NextToken of listings."""

import base64
import binascii
import hashlib
from typing import TypeVar

import msgspec

_DIGEST_BYTES = 8
Content = TypeVar("Content", bound=msgspec.Struct)


def sealed(content: msgspec.Struct) -> str:
    """The token for `content`. Equal contents have equal tokens."""
    body = msgspec.msgpack.encode(content)
    return base64.b64encode(_digest(body) + body).decode()


def opened(token: str, kind: type[Content]) -> Content:
    """What `sealed` was given.

    Raises:
        ValueError: the token was not made by `sealed` from a `kind`.
    """
    try:
        raw = base64.b64decode(token, validate=True)
    except binascii.Error:
        raise ValueError("not a token") from None
    digest, body = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
    if digest != _digest(body):
        raise ValueError("not a token")
    return msgspec.msgpack.decode(body, type=kind)  # raises a ValueError for a token of another kind


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest()


class ShardIterator(msgspec.Struct, frozen=True, tag="iterator", array_like=True):
    """A place in one shard of one incarnation of a stream."""

    stream: str
    created_ms: int
    shard_id: str
    place: int
    issued_ms: int


class ConsumersToken(msgspec.Struct, frozen=True, tag="consumers", array_like=True):
    """Where the next page of a listing of consumers begins."""

    stream: str
    created_ms: int
    after_name: str
    issued_ms: int


class ListingToken(msgspec.Struct, frozen=True, tag="listing", array_like=True):
    """Where the next page of a shard listing begins, and what it lists."""

    stream: str
    created_ms: int
    after_shard_id: str
    issued_ms: int
    filter_kind: str
    filter_timestamp_ms: int | None
