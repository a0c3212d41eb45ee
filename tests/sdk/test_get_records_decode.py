"""GetRecords decoded by us and parsed by botocore: the same page, member by member, or both refuse it."""

import asyncio
import json
from typing import Any

import botocore.session
import msgspec
import pytest
from botocore.parsers import JSONParser, ResponseParserError, create_parser
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kcl_py.aws import connection, get_records
from kcl_py.aws.calls import MalformedAnswer
from kcl_py.core.position import ReadFrom
from kcl_py.interfaces import Page
from kcl_py.local import requests
from kcl_py.local.doors import loop_clock_ms
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.operations import perform
from tests.aws.kinesis_answers import FULL, SHARD, number_of, page, record
from tests.sdk.kinesis_in_process import KinesisInProcess
from tests.virtual_time import run

REFUSED = (MalformedAnswer, ResponseParserError, *connection._WRONG_SHAPE)
SHAPE = botocore.session.get_session().get_service_model("kinesis").operation_model("GetRecords").output_shape
MICROSECOND = 0.5e-6
"""Half of it: what botocore's datetimes round away."""

CHILD = {"ShardId": "shardId-000000000002", "ParentShards": [SHARD], "HashKeyRange": FULL}
PLAIN = json.dumps(page(record(number_of(0, 1)), record(number_of(0, 2)))).encode()


def answered(body: bytes, status: int = 200) -> dict[str, Any]:
    return {"body": body, "headers": {}, "status_code": status}


def parsed(body: bytes) -> Page | None:
    """What botocore makes of an answer; None if it is refused."""
    try:
        return get_records.page(create_parser("json").parse(answered(body), SHAPE), SHARD)
    except REFUSED:
        return None


def decoded(body: bytes) -> tuple[Page | None, bool]:
    """What we make of it, and whether botocore's parser was spared it."""
    response, extra = answered(body), dict[str, Any]()
    get_records.decode(response, extra)
    assert response["body"] in ((b"",) if extra else (body,))
    try:
        return get_records.page(create_parser("json").parse(response, SHAPE) | extra, SHARD), bool(extra)
    except REFUSED:
        return None, bool(extra)


def assert_same(ours: Page | None, theirs: Page | None) -> None:
    assert (ours is None) == (theirs is None)
    if ours is None or theirs is None:
        return
    for one, other in zip(ours.records, theirs.records, strict=True):
        assert one.arrival_timestamp_seconds == pytest.approx(other.arrival_timestamp_seconds, abs=MICROSECOND, rel=0)
        assert one.approximate_arrival_timestamp.tzinfo is not None
    assert untimed(ours) == untimed(theirs)


def untimed(page: Page) -> Page:
    records = [msgspec.structs.replace(one, arrival_timestamp_seconds=0.0) for one in page.records]
    return msgspec.structs.replace(page, records=records)


def object_of(members: list[tuple[str, str]]) -> str:
    """JSON as written: members may come twice, and in any order."""
    return "{" + ",".join(f'"{name}":{value}' for name, value in members) + "}"


JSON_ODDITIES = ["null", "true", "5", "-1", "1.5", '""', '"x"', "[]", "{}", "[null]", '"\\ud800"', "NaN", "1e999", "01"]
TEXTS = st.text(max_size=6).map(json.dumps) | st.text(max_size=3).map(lambda text: json.dumps(text, ensure_ascii=False))
MEMBERS: dict[str, st.SearchStrategy[str]] = {
    "Data": st.binary(max_size=9).map(lambda data: msgspec.json.encode(data).decode())
    | st.sampled_from(['"aGVsbG8="', '"aGVsb\\/8="', '"aGVs bG8="', '"aGVsbG8"', '"a-_="', '"====" ', '"\\u0061aaa"']),
    "PartitionKey": TEXTS,
    "SequenceNumber": st.integers(0, 2**190).map(lambda number: f'"{number}"')
    | st.sampled_from(['"007"', '"\\u0667"', '"1_0"', '" 7"', '"-7"', f'"{number_of(1, 1)}"', f'"{"9" * 130}"']),
    "ApproximateArrivalTimestamp": st.floats(0, 2e10).map(repr)
    | st.integers(0, 10**10).map(lambda ms: repr(ms / 1000))
    | st.sampled_from(["1.441E9", "1441000000", "-1", "1e15", "1E400", "253402300799.5", '"2026-03-01T00:00:00Z"']),
    "EncryptionType": st.sampled_from(['"KMS"', '"NONE"', '"ROT13"']),
    "SomethingNew": st.sampled_from(['{"a":[1,{"b":"]}"}]}', '"x"']),
}
OUTER: dict[str, st.SearchStrategy[str]] = {
    "NextShardIterator": TEXTS,
    "MillisBehindLatest": st.integers(0, 2**70).map(str) | st.sampled_from(["0", "1.0", "2.5", '"12"', "1e3"]),
    "ChildShards": st.sampled_from([json.dumps([CHILD]), json.dumps([CHILD | {"HashKeyRange": None}]), "[{}]"]),
    "SomethingNew": st.sampled_from(['{"a":1}', "[[]]"]),
}
NUMBERS = st.lists(st.integers(0, 40), unique=True, max_size=4).map(sorted)


@st.composite
def records(draw: st.DrawFn) -> str:
    """Mostly a good page's records, with a few members that are odd, missing, twice, or new."""
    found = []
    for number in draw(NUMBERS):
        plain = {name: json.dumps(value) for name, value in record(number_of(0, number)).items()}
        members = list(plain.items())
        odd = draw(st.lists(st.sampled_from(sorted(MEMBERS)), max_size=2))
        members += [(name, draw(MEMBERS[name] | st.sampled_from(JSON_ODDITIES))) for name in odd]
        for name in draw(st.lists(st.sampled_from(sorted(plain)), max_size=1)):
            members = [(known, value) for known, value in members if known != name]
        found.append(object_of(draw(st.permutations(members))))
    return f"[{','.join(found)}]"


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    members = [("Records", draw(records() | st.sampled_from(JSON_ODDITIES)))]
    odd = draw(st.lists(st.sampled_from(sorted(OUTER)), max_size=4))
    members += [(name, draw(OUTER[name] | st.sampled_from(JSON_ODDITIES))) for name in odd]
    body = object_of(draw(st.permutations(members))).encode()
    return draw(st.just(body) | st.integers(0, len(body)).map(lambda end: body[:end]))


@given(bodies())
@settings(deadline=None, max_examples=400)
def test_both_parsers_make_the_same_of_an_answer(body: bytes) -> None:
    assert_same(decoded(body)[0], parsed(body))


@given(st.lists(st.tuples(st.binary(max_size=40), st.text(max_size=12), st.integers(0, 2 * 10**12)), max_size=5))
@settings(deadline=None)
@example([])
def test_what_the_service_writes_is_decoded_by_us_to_the_last_digit(items: list[tuple[bytes, str, int]]) -> None:
    written = [
        record(number_of(0, place), Data=data, PartitionKey=key, ApproximateArrivalTimestamp=ms / 1000)
        for place, (data, key, ms) in enumerate(items)
    ]
    body = msgspec.json.encode(page(*written, MillisBehindLatest=7))

    ours, is_ours = decoded(body)

    assert is_ours
    assert ours == parsed(body)


ODD = {
    "an empty page": page(),
    "the last page of a shard": page(NextShardIterator=None, ChildShards=[CHILD]),
    "children that are none": page(ChildShards=None),
    "a new member": page(record(Checksum="x"), Region={"name": "x"}),
    "a record's own encryption": page(record(EncryptionType="KMS")),
    "nothing but records": {"Records": [record()]},
}
"""Which we decode ourselves."""
FOREIGN = {
    "no arrival time": json.dumps(page(record(ApproximateArrivalTimestamp=None))).encode(),
    "an arrival time in words": json.dumps(page(record(ApproximateArrivalTimestamp="2026-03-01T00:00:00Z"))).encode(),
    "an arrival before the epoch": json.dumps(page(record(ApproximateArrivalTimestamp=-1.5))).encode(),
    "loose base64": json.dumps(page(record(Data="aGVs\nbG8="))).encode(),
    "a fraction of a millisecond of lag": json.dumps(page(MillisBehindLatest=1.5)).encode(),
}
"""Which botocore reads, and not we."""
SENSELESS = {
    "nothing": b"",
    "no JSON": b"<html>It works!</html>",
    "an answer that is cut off": PLAIN[:-30],
    "another encoding": PLAIN.decode().encode("utf-16"),
    "no text": b"\xff" + PLAIN,
    "half a surrogate": json.dumps(page(record(PartitionKey="\ud800"))).encode(),
    "two answers": PLAIN + PLAIN,
    "a list": b"[" + PLAIN + b"]",
    "depth without end": b'{"Records":' + b"[" * 100_000,
    "depth without end in a new member": b'{"X":' + b"[" * 100_000,
    "sequence numbers with zeros in front": json.dumps(
        page(record(SequenceNumber="007"), record(SequenceNumber="008"))
    ).encode(),
    "an arrival that is no number": b'{"Records":[{"ApproximateArrivalTimestamp":NaN}]}',
    "an arrival after all time": json.dumps(page(record(ApproximateArrivalTimestamp=1e300))).encode(),
    "an arrival in infinity": json.dumps(page(record(ApproximateArrivalTimestamp=float("inf")))).encode(),
}


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
def test_an_odd_page_is_decoded_all_the_same(answer: dict[str, Any]) -> None:
    body = json.dumps(answer).encode()
    ours, is_ours = decoded(body)

    assert is_ours
    assert ours is not None
    assert ours == parsed(body)


@pytest.mark.parametrize("body", FOREIGN.values(), ids=FOREIGN)
def test_what_we_do_not_decode_is_left_to_botocore(body: bytes) -> None:
    ours, is_ours = decoded(body)

    assert not is_ours
    assert ours is not None
    assert ours == parsed(body)


@pytest.mark.parametrize("body", SENSELESS.values(), ids=SENSELESS)
def test_what_makes_no_sense_is_refused_by_both(body: bytes) -> None:
    assert decoded(body)[0] is None
    assert parsed(body) is None


@pytest.mark.parametrize("status", [201, 301, 400, 500])
def test_only_a_good_answer_is_decoded(status: int) -> None:
    response, extra = answered(PLAIN, status), dict[str, Any]()
    get_records.decode(response, extra)

    assert response == answered(PLAIN, status)
    assert extra == {}


def test_no_record_goes_through_the_sdks_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: list[bytes] = []
    parse = JSONParser._parse_body_as_json

    def noted(parser: JSONParser, body: bytes) -> Any:
        bodies.append(body)
        return parse(parser, body)

    monkeypatch.setattr(JSONParser, "_parse_body_as_json", noted)

    async def story() -> None:
        model = KinesisModel()
        perform(model, requests.CreateStream(stream_name="orders", shard_count=1), loop_clock_ms())
        await asyncio.sleep(5)
        perform(model, requests.PutRecord(stream_name="orders", data=b"hello", partition_key="k"), loop_clock_ms())
        door = KinesisInProcess(model).door("orders")
        iterator = await door.open(SHARD, ReadFrom("TRIM_HORIZON"))
        bodies.clear()
        read = await door.read(iterator, 100)
        assert [one.data for one in read.records] == [b"hello"]
        await door.close()

    run(story())
    assert bodies == [b""]
