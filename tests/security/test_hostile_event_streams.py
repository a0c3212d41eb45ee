"""Event streams that cannot be true: what they deliver is what was pushed, in order, up to where they went wrong."""

import asyncio
import json
import struct
import tracemalloc
import zlib
from collections.abc import Sequence
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kcl_py.aws.calls import Calls
from kcl_py.aws.event_stream import Frames
from kcl_py.core.checkpoint import Checkpoint
from kcl_py.core.shard import HASH_KEY_MAX
from kcl_py.errors import KclError, ServiceUnavailable, StreamError, StreamNotFound, SubscriptionTaken
from kcl_py.interfaces import Page
from tests.aws.event_frames import INITIAL, child, event, exception, frame, message, pushed, subscription_on
from tests.aws.kinesis_answers import record
from tests.security.hostile_text import ACTING, MARK, acting_on_a_terminal, texts
from tests.security.test_hostile_stream import ABSURD

PUSHED = [event(pushed(record(str(number)), continuation=str(number))) for number in range(21, 26)]
STREAM = INITIAL + b"".join(PUSHED)
TRUE_NUMBERS = [str(number) for number in range(21, 26)]


class Body:
    """An answer of these bytes, which come in pieces."""

    def __init__(self, data: bytes | memoryview, piece_bytes: int) -> None:
        self._data = data
        self._piece_bytes = piece_bytes
        self.is_closed = False

    @property
    def content(self) -> "Body":
        return self

    async def read(self, n: int) -> bytes:
        assert n > 0
        size = min(n, self._piece_bytes)
        piece, self._data = self._data[:size], self._data[size:]
        return bytes(piece)

    def close(self) -> None:
        self.is_closed = True


async def missing(error: StreamNotFound) -> KclError:
    return error


def received(data: bytes, piece_bytes: int = 1000) -> tuple[list[Page], KclError | None]:
    """All pages of a stream, and how it ended."""

    async def story() -> tuple[list[Page], KclError | None]:
        body = Body(data, piece_bytes)
        subscription = subscription_on(body, missing)
        pages: list[Page] = []
        try:
            await Calls("stream orders").once("kinesis:SubscribeToShard", subscription.begin)
        except KclError as error:
            return [], error
        try:
            while (page := await subscription.read()) is not None:
                pages.append(page)
        except KclError as error:
            assert body.is_closed
            with pytest.raises(ServiceUnavailable):
                await subscription.read()
            return pages, error
        assert body.is_closed
        return pages, None

    return asyncio.run(story())


def numbers(pages: Sequence[Page]) -> list[str]:
    return [one.sequence_number for page in pages for one in page.records]


@given(st.binary(max_size=300), st.integers(1, 40))
@settings(deadline=None, max_examples=200)
@example(struct.pack(">II", 12, 0) + zlib.crc32(struct.pack(">II", 12, 0)).to_bytes(4, "big"), 1)
@example(struct.pack(">II", 0, 0) + zlib.crc32(struct.pack(">II", 0, 0)).to_bytes(4, "big") + b"\x00" * 40, 7)
@example(struct.pack(">II", 40, 36) + zlib.crc32(struct.pack(">II", 40, 36)).to_bytes(4, "big") + b"\x00" * 40, 7)
@example(struct.pack(">II", 2**32 - 1, 0) + zlib.crc32(struct.pack(">II", 2**32 - 1, 0)).to_bytes(4, "big"), 7)
@example(struct.pack(">II", 2**20, 2**19) + zlib.crc32(struct.pack(">II", 2**20, 2**19)).to_bytes(4, "big"), 7)
def test_bytes_that_are_no_frames_deliver_nothing(noise: bytes, piece_bytes: int) -> None:
    pages, error = received(noise, piece_bytes)
    assert pages == []
    assert isinstance(error, ServiceUnavailable)
    pages, error = received(STREAM + noise, piece_bytes)
    assert numbers(pages) == TRUE_NUMBERS
    assert isinstance(error, ServiceUnavailable) == bool(noise)


@st.composite
def disturbed(draw: st.DrawFn) -> bytes:
    """The stream with something done to it, on any byte."""
    at = draw(st.integers(0, len(STREAM) - 1))
    length = draw(st.integers(1, 40))
    inserted = draw(st.binary(min_size=1, max_size=40))
    return draw(
        st.sampled_from(
            [
                STREAM[:at],
                STREAM[:at] + STREAM[at + length :],
                STREAM[:at] + inserted + STREAM[at:],
                STREAM[:at] + bytes([STREAM[at] ^ draw(st.integers(1, 255))]) + STREAM[at + 1 :],
                STREAM[:at] + STREAM[at : at + length][::-1] + STREAM[at + length :],
                STREAM + STREAM[at:],
            ]
        )
    )


@given(disturbed(), st.sampled_from([1, 11, 12, 13, 100, 10_000]))
@settings(deadline=None, max_examples=200)
def test_a_disturbed_stream_delivers_what_came_before_and_then_says_so(data: bytes, piece_bytes: int) -> None:
    pages, error = received(data, piece_bytes)
    assert numbers(pages) == TRUE_NUMBERS[: len(pages)], "what was lost or doubled must not be delivered around"
    assert [page.next_iterator for page in pages] == TRUE_NUMBERS[: len(pages)], "where to go on"
    if len(pages) < len(TRUE_NUMBERS) and error is None:
        ends = [len(INITIAL) + sum(map(len, PUSHED[:count])) for count in range(len(PUSHED) + 1)]
        assert len(data) in ends, "only between two frames does a stream end well"


@given(st.permutations(PUSHED), st.lists(st.sampled_from(PUSHED), max_size=3))
@settings(deadline=None, max_examples=100)
def test_events_never_go_back_and_never_come_twice(order: list[bytes], again: list[bytes]) -> None:
    pages, error = received(INITIAL + b"".join(order + again))
    found = numbers(pages)
    assert found == sorted(set(found))
    assert (error is None) == (order == PUSHED and not again)


def test_an_event_that_overlaps_the_one_before_is_refused() -> None:
    first = event(pushed(record("21"), record("25")))
    pages, error = received(INITIAL + first + event(pushed(continuation="26")) + event(pushed(record("23"))))
    assert numbers(pages) == ["21", "25"]
    assert isinstance(error, ServiceUnavailable)


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """Something near an event."""
    plain: dict[str, Any] = pushed(record("21"), record("22"), ChildShards=[child(1)])
    place: Any = draw(st.sampled_from([plain, plain["Records"][1], plain["ChildShards"][0]]))
    for name in draw(st.lists(st.sampled_from(sorted(place)), max_size=2)):
        place[name] = draw(ABSURD.filter(is_json))
    return plain


def is_json(value: object) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True


@given(events())
@settings(deadline=None, max_examples=200)
def test_an_event_has_the_types_that_it_promises_or_is_refused(content: dict[str, Any]) -> None:
    pages, error = received(INITIAL + event(content))
    if error is not None:
        assert isinstance(error, ServiceUnavailable)
        assert pages == []
        return
    (page,) = pages
    assert all(Checkpoint.at(one).is_number for one in page.records)
    assert all(isinstance(one.data, bytes) and isinstance(one.partition_key, str) for one in page.records)
    assert [one.approximate_arrival_timestamp.year > 0 for one in page.records] == [True] * len(page.records)
    assert page.next_iterator is None or Checkpoint(page.next_iterator).is_number
    assert type(page.millis_behind_latest) in (int, type(None))
    for one in page.child_shards:
        assert all(isinstance(parent, str) and parent for parent in one.parent_shard_ids)
        assert 0 <= one.hash_range.start <= one.hash_range.end <= HASH_KEY_MAX


@pytest.mark.parametrize(
    "payload",
    [b"[" * 100_000, b'{"Records":' * 50_000, b'{"Records":[],"X":' + b"[" * 100_000, b"null", b"7", b"", b"{", b"\x00",
     b'{"Records":[],"ChildShards":' + b"[" * 500 + b"]" * 500 + b"}", b"\xff\xfe",
     b'{"Records":[{"Data":"\\ud800"}]}'],
)  # fmt: skip
def test_a_payload_that_is_no_event_is_refused(payload: bytes) -> None:
    headers = {":message-type": "event", ":event-type": "SubscribeToShardEvent"}
    pages, error = received(INITIAL + PUSHED[0] + frame(headers, payload))
    assert numbers(pages) == ["21"]
    assert isinstance(error, ServiceUnavailable)


@pytest.mark.parametrize(
    "lengths",
    [(2**32 - 1, 0), (16 + 24 * 1024 * 1024 + 1, 0), (16 + 128 * 1024 + 1, 128 * 1024 + 1), (2**31, 2**31 - 16)],
)
def test_a_frame_that_claims_to_be_too_large_is_refused_before_it_takes_memory(lengths: tuple[int, int]) -> None:
    claim = struct.pack(">II", *lengths)
    data = INITIAL + PUSHED[0] + claim + zlib.crc32(claim).to_bytes(4, "big") + bytes(1_000)
    tracemalloc.start()
    try:
        pages, error = received(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert numbers(pages) == ["21"]
    assert isinstance(error, ServiceUnavailable)
    assert peak < 2**20


@pytest.mark.parametrize("place", range(len(INITIAL), len(INITIAL + PUSHED[0])))
def test_no_byte_of_an_event_may_be_another_one(place: int) -> None:
    pages, error = received(STREAM[:place] + bytes([STREAM[place] ^ 0x10]) + STREAM[place + 1 :])
    assert pages == []
    assert isinstance(error, ServiceUnavailable)


@given(st.lists(st.tuples(st.text("abc", max_size=9), st.binary(max_size=90)), max_size=5), st.integers(1, 120))
@settings(deadline=None, max_examples=100)
def test_frames_are_those_that_botocore_finds(contents: list[tuple[str, bytes]], piece_bytes: int) -> None:
    data = b"".join(frame({":message-type": "event", "x": text or "-"}, payload) for text, payload in contents)
    theirs = EventStreamBuffer()
    theirs.add_data(data)

    async def story() -> list[tuple[dict[str, object], bytes]]:
        frames, found = Frames(Body(data, piece_bytes)), []
        while (one := await frames.next()) is not None:
            found.append((dict(one.headers), bytes(one.payload)))
        return found

    assert asyncio.run(story()) == [(one.headers, one.payload) for one in theirs]


def test_an_event_is_in_memory_once() -> None:
    size_bytes, piece_bytes = 4 * 2**20, 2**16
    data = memoryview(frame({":message-type": "event"}, bytes(size_bytes)))

    async def story() -> int:
        frames = Frames(Body(data, piece_bytes))
        tracemalloc.start()
        try:
            one = await frames.next()
            assert one is not None
            assert len(one.payload) == size_bytes
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert asyncio.run(story()) < size_bytes + 4 * piece_bytes


def with_headers(headers: bytes, payload: bytes = b"{}") -> bytes:
    """A frame with true checksums around headers that may be anything."""
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    whole = prelude + zlib.crc32(prelude).to_bytes(4, "big") + headers + payload
    return whole + zlib.crc32(whole).to_bytes(4, "big")


@given(st.binary(max_size=60) | st.binary(max_size=8).map(lambda end: b"\x0d:message-type" + end))
@settings(deadline=None, max_examples=200)
@example(b"\x0d:message-type\x07\x00\x05event\x0b:event-type\x06\x00\x01x")
@example(b"\x0d:message-type\x07\x00\x05event" * 2)
@example(b"\x0d:message-type\x07\xff\xffevent")
@example(b"\x0d:message-type\x0a")
@example(b"\xff" * 3)
@example(b"\x0d:message-type\x00")
@example(b"\x0d:message-type\x04\x00")
def test_headers_that_are_none_are_refused(headers: bytes) -> None:
    pages, error = received(INITIAL + PUSHED[0] + with_headers(headers) + PUSHED[1])
    assert numbers(pages) in (["21"], TRUE_NUMBERS[:2])
    assert isinstance(error, ServiceUnavailable) == (len(pages) == 1)


@given(texts, texts)
@settings(deadline=None, max_examples=60)
def test_the_words_of_a_refusal_cannot_touch_a_terminal(code: str, text: str) -> None:
    code = code.encode("utf-8", "replace").decode()
    for last in (
        exception(code, text),
        message({":message-type": "error", ":error-code": code, ":error-message": code}, {}),
        message({":message-type": code, ":event-type": code}, {}),
    ):
        pages, error = received(INITIAL + PUSHED[0] + last)
        assert numbers(pages) == ["21"]
        assert error is None or acting_on_a_terminal(str(error)) <= acting_on_a_terminal(code)


@pytest.mark.parametrize("text", ACTING)
def test_what_a_refusal_says_is_shown_on_one_line(text: str) -> None:
    _, error = received(INITIAL + exception("InvalidArgumentException", MARK + text))
    assert isinstance(error, StreamError)
    assert (MARK in str(error)) == (text != "\ud800"), "which is no JSON"
    assert acting_on_a_terminal(str(error)) == set()


def test_a_payload_that_a_refusal_should_have_may_be_missing() -> None:
    headers = {":message-type": "exception", ":exception-type": "ResourceInUseException"}
    for payload in (b"", b"\xff", b"[" * 100_000, b"7", b'{"message": 7}', b'{"message": null}'):
        _, error = received(INITIAL + frame(headers, payload))
        assert isinstance(error, SubscriptionTaken)
