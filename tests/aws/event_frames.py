"""Event streams of SubscribeToShard as the wire has them."""

import asyncio
import json
import struct
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from kcl_py.aws.event_stream import Frames
from kcl_py.aws.subscription import KinesisSubscription
from kcl_py.aws.turnstile import Turnstile
from kcl_py.errors import KclError, StreamNotFound
from tests.aws.kinesis_answers import SHARD
from tests.aws.scripted_kinesis import Answer

ToldApart = Callable[[StreamNotFound], Awaitable[KclError]]
EVENT_STREAM = "application/vnd.amazon.eventstream"


async def nobody_asks(_: StreamNotFound) -> KclError:
    raise AssertionError("nothing is missing")


def subscription_on(
    body: Any, told_apart: ToldApart = nobody_asks, turnstile: Turnstile | None = None
) -> KinesisSubscription:
    """The door on the body of an answer."""
    return KinesisSubscription(
        Frames(body),
        SHARD,
        resource="stream orders",
        told_apart=told_apart,
        turnstile=turnstile or Turnstile(),
        on_close=lambda _: None,
    )


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """One frame with headers that are text, as the format's specification has it."""
    packed = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + len(value).to_bytes(2, "big") + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", 16 + len(packed) + len(payload), len(packed))
    whole = prelude + zlib.crc32(prelude).to_bytes(4, "big") + packed + payload
    return whole + zlib.crc32(whole).to_bytes(4, "big")


def event(content: object, kind: str = "SubscribeToShardEvent") -> bytes:
    return message({":message-type": "event", ":event-type": kind}, content)


def message(headers: dict[str, str], content: object) -> bytes:
    return frame({":content-type": "application/json"} | headers, json.dumps(content).encode())


def exception(code: str, text: str = "") -> bytes:
    return message({":message-type": "exception", ":exception-type": code}, {"message": text})


def pushed(*records: object, continuation: str | None = "30", **more: object) -> dict[str, object]:
    """The content of an event."""
    plain = {"Records": list(records), "ContinuationSequenceNumber": continuation, "MillisBehindLatest": 0} | more
    return {name: value for name, value in plain.items() if value is not None}


def child(index: int, parent: str = SHARD) -> dict[str, object]:
    hash_range = {"StartingHashKey": "0", "EndingHashKey": "9"}
    return {"ShardId": f"shardId-{index:012d}", "ParentShards": [parent], "HashKeyRange": hash_range}


INITIAL = event({}, "initial-response")


def streams(*pieces: bytes, then: Callable[[web.Request], None] | None = None, stays: bool = False) -> Answer:
    """An answer of 200 whose body comes piece by piece; then it ends, or does what it is told to."""

    async def respond(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": EVENT_STREAM})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        if then is not None:
            then(request)
        if stays:
            await asyncio.Event().wait()
        return response

    return respond


def hang_up(request: web.Request) -> None:
    """The connection breaks."""
    assert request.transport is not None
    request.transport.abort()
