"""A large answer is decoded in pieces, to the same page as in one go, and the loop does its other work in between."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kcl_py.aws import get_records, pieces
from kcl_py.aws.turnstile import Turnstile
from tests.aws.kinesis_answers import FULL, SHARD, page, record

PIECE_BYTES = 300
KEYS = st.sampled_from(["k", "ä", "},{", '},{"', 'a\\"},{', "Records", '"Records":[', "}]", "},{},{"]) | st.text(
    max_size=8
)
CHILD = {"ShardId": "shardId-000000000002", "ParentShards": [SHARD], "HashKeyRange": FULL}
EXTRAS = st.fixed_dictionaries(
    {},
    optional={
        "ChildShards": st.just([CHILD, CHILD]),
        "Odd": st.just({"a": [{"b": 1}, {"c": 2}]}),
        "Nothing": st.none(),
    },
)


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", PIECE_BYTES)


def body_of(keys: list[str], extras: dict[str, object], *, is_sorted: bool = False) -> bytes:
    answer = page(*(record(str(place), PartitionKey=key) for place, key in enumerate(keys, 21)), **extras)
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"), sort_keys=is_sorted).encode()


def whole(body: bytes, status: int = 200) -> tuple[object, object]:
    response, extra = dict[str, Any](status_code=status, headers={}, body=body), dict[str, Any]()
    get_records.decode(response, extra)
    return response["body"], extra.get(get_records._DECODED)


async def in_pieces(body: bytes | bytearray, status: int = 200) -> tuple[object, object]:
    response, extra = dict[str, Any](status_code=status, headers={}, body=body), dict[str, Any]()
    await get_records.decode_in_turn(response, extra, Turnstile())
    return response["body"], extra.get(get_records._DECODED)


@given(keys=st.lists(KEYS, max_size=30), extras=EXTRAS, is_sorted=st.booleans())
@example(keys=["k"] * 30, extras={}, is_sorted=False)
@example(keys=["},{"] * 30, extras={"ChildShards": [CHILD, CHILD]}, is_sorted=True)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_an_answer_in_pieces_is_the_same(keys: list[str], extras: dict[str, object], is_sorted: bool) -> None:
    body = body_of(keys, extras, is_sorted=is_sorted)
    assert whole(body)[1] is not None
    assert await in_pieces(bytearray(body)) == await in_pieces(body) == whole(body)


@given(
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from(b'{}[]",:\\ 0a\xff')), max_size=4),
    cut=st.integers(0, 10_000),
    status=st.sampled_from([200, 200, 400]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_comes_is_what_it_is_in_one_go(changes: list[tuple[int, int]], cut: int, status: int) -> None:
    body = bytearray(body_of(["k"] * 12, {}))
    for place, byte in changes:
        body[place % len(body)] = byte
    body = body[: len(body) - cut] if cut < len(body) else body
    assert await in_pieces(bytes(body), status) == whole(bytes(body), status)


@pytest.mark.parametrize(
    "body",
    [
        body_of(["k"] * 12, {})[:-1] + b',"Records":[]}',
        body_of(["k"] * 12, {}).replace(b'"Records"', b'"Odd":{"Records":[{},{}]},"Records"'),
        body_of(["k"] * 12, {}).replace(b'"Records"', b'"Odd":[{"a":1},{"a":2}],"Records"'),
        body_of(["k"] * 12, {}).replace(b":[", b": ["),
    ],
    ids=["twice", "within another", "after another", "spaces"],
)
async def test_records_that_stand_elsewhere_are_found_all_the_same(body: bytes) -> None:
    assert await in_pieces(body) == whole(body)


async def test_each_piece_has_a_pass_of_the_loop_to_itself() -> None:
    passes = 0

    async def count() -> None:
        nonlocal passes
        while True:
            passes += 1
            await asyncio.sleep(0)

    keys = ["k" * 70_000] * 12  # what is smaller passes the turnstile at once
    body = body_of(keys, {})
    counting = asyncio.create_task(count())
    _, decoded = await in_pieces(body)
    counting.cancel()
    assert len(getattr(decoded, "records")) == 12  # noqa: B009 - it is private
    assert passes >= len(pieces.borders(body)) > 5
