"""The Subscription door on Kinesis: pages out of the frames of an event stream."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from botocore.exceptions import ClientError

from kcl_py.aws.calls import Calls, MalformedAnswer
from kcl_py.aws.event_stream import Frame, Frames
from kcl_py.aws.members import sequence_number
from kcl_py.aws.turnstile import Turnstile
from kcl_py.aws.wire_records import page_of
from kcl_py.core.record import Record
from kcl_py.errors import KclError, ServiceUnavailable, StreamNotFound
from kcl_py.interfaces import Page

PAGE_SECONDS = 45.0
"""How long a page may take, from when it is asked for to its last byte.

The service pushes an event every five seconds, an empty one if there is nothing to tell, so a connection on which
none came for that long is dead, or as good as dead. It leaves 40 seconds for the bytes of the largest event, some
14 MB, which is slower than a shard fills.
"""

Told = Callable[[StreamNotFound], Awaitable[KclError]]
"""Finds out what it is that does not exist."""


class _Event(msgspec.Struct, rename="pascal", gc=False):
    """A SubscribeToShardEvent on the wire."""

    records: list[Record]
    continuation_sequence_number: str | None = None
    child_shards: list[Any] | None = None
    millis_behind_latest: int | None = None


class _Refusal(msgspec.Struct):
    """The payload of an exception; some say Message."""

    message: str = ""


_EVENT = msgspec.json.Decoder(_Event)
_REFUSAL = msgspec.json.Decoder(_Refusal)
_UNDECODABLE = (msgspec.MsgspecError, ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class KinesisSubscription:
    """One subscription, as `interfaces.Subscription` describes it; it holds a connection of its own.

    A `read` that is cancelled loses nothing: the next one goes on where it was.

    Args:
        frames: of the event stream; closed with this door.
        shard_id: the shard that was subscribed to.
        resource: what it is about, for messages.
        told_apart: see `Told`.
        turnstile: for events, shared with other subscriptions.
        on_close: told once this holds no connection any more.
    """

    def __init__(
        self,
        frames: Frames,
        shard_id: str,
        *,
        resource: str,
        told_apart: Told,
        turnstile: Turnstile,
        on_close: Callable[["KinesisSubscription"], None],
    ) -> None:
        self._frames = frames
        self._shard_id = shard_id
        self._calls = Calls(resource, deadline_seconds=PAGE_SECONDS)
        self._told_apart = told_apart
        self._turnstile = turnstile
        self._on_close = on_close
        self._kept: Frame | None = None  # that has come, and that no `read` has returned yet
        self._last_place = (0, "")
        self._is_over = False
        self._is_closed = False

    async def begin(self) -> None:
        """Wait for the service's word that the subscription stands: its `initial-response`.

        An endpoint that leaves it out and sends an event at once has subscribed us all the same, so the event is kept
        for the first `read`.

        Raises:
            MalformedAnswer: the stream ended without a word, or holds no frames.
            ClientError, OSError: the subscription was refused, or the connection broke.
        """
        frame = await self._frames.next()
        if frame is None:
            raise MalformedAnswer("an event stream without a frame")
        if _type_of(frame) != "initial-response":
            self._kept = frame

    async def read(self) -> Page | None:
        """Wait for the next page."""
        if self._is_over:
            return None
        if self._is_closed:
            raise ServiceUnavailable(f"the subscription to {self._shard_id} was closed or has failed; subscribe again")
        try:
            page = await self._calls.once("kinesis:SubscribeToShard", self._next_page)
        except KclError as error:
            await self.close()
            if isinstance(error, StreamNotFound):
                raise await self._told_apart(error) from None
            raise
        if page is None:
            self._is_over = True
            await self.close()
        return page

    async def close(self) -> None:
        """Unsubscribe, by closing the connection. May be called again."""
        self._is_closed = True
        self._frames.close()
        self._on_close(self)

    async def _next_page(self) -> Page | None:
        while True:
            frame = self._kept = self._kept or await self._frames.next()
            if frame is None:
                return None
            await self._turnstile.passed(len(frame.payload))
            self._kept = None
            if _type_of(frame) == "SubscribeToShardEvent":  # others may come to be, and say nothing about records
                page = _page(frame.payload, self._shard_id)
                self._check_order(page)
                return page

    def _check_order(self, page: Page) -> None:
        """Refuse an event that repeats or goes behind an earlier one: as within a page, and for the same reason."""
        if not page.records:
            return
        first, last = page.records[0].sequence_number, page.records[-1].sequence_number
        if (len(first), first) <= self._last_place:
            raise MalformedAnswer("events out of order")
        self._last_place = (len(last), last)


def _page(payload: memoryview, shard_id: str) -> Page:
    """Read an event; all of it or nothing.

    Raises:
        MalformedAnswer: it is none, or holds records of another shard.
    """
    try:
        event = _EVENT.decode(payload)
        continuation = event.continuation_sequence_number
        return page_of(
            event.records,
            shard_id,
            next_iterator=None if continuation is None else sequence_number(continuation),
            child_shards=event.child_shards,
            millis_behind_latest=event.millis_behind_latest,
        )
    except _UNDECODABLE as error:
        raise MalformedAnswer(f"its shape is wrong, {type(error).__name__}") from None


def _type_of(frame: Frame) -> str:
    """The type of an event, or what a message is that is none.

    Raises:
        ClientError: the frame is a refusal, as the answer to a request would be.
        MalformedAnswer: it says neither.
    """
    kind = _header(frame, ":message-type")
    if kind == "exception":
        raise _refusal(_header(frame, ":exception-type"), _words(frame.payload))
    if kind == "error":
        raise _refusal(_header(frame, ":error-code"), str(frame.headers.get(":error-message", "")))
    return _header(frame, ":event-type") if kind == "event" else kind


def _header(frame: Frame, name: str) -> str:
    value = frame.headers.get(name)
    if not isinstance(value, str) or not value:
        raise MalformedAnswer(f"a frame without {name}")
    return value


def _refusal(code: str, text: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": text}}, "SubscribeToShard")


def _words(payload: memoryview) -> str:
    try:
        return _REFUSAL.decode(payload).message
    except _UNDECODABLE:
        return ""
