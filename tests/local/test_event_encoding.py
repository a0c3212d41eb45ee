"""The event-stream encoding, read back by botocore's own parser, which checks both CRCs of every message."""

import json

import pytest
from botocore.eventstream import EventStreamBuffer, EventStreamMessage
from hypothesis import given
from hypothesis import strategies as st

from kcl_py.local import event_encoding
from kcl_py.local.answers import ChildShard, HashKeyRange, SubscribeToShardEvent
from kcl_py.local.kinesis_error import KinesisError
from kcl_py.local.record_log import StoredRecord


def parsed(data: bytes) -> list[EventStreamMessage]:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return list(buffer)


@given(
    st.dictionaries(st.text(min_size=1, max_size=60), st.text(max_size=300), max_size=8),
    st.binary(max_size=2_000),
)
def test_any_message_is_read_back_as_it_was(headers: dict[str, str], payload: bytes) -> None:
    [message] = parsed(event_encoding.message(headers, payload))
    assert dict(message.headers) == headers
    assert message.payload == payload


@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_messages_stand_one_behind_another_in_pieces_of_any_size(step: int) -> None:
    messages = [event_encoding.message({"number": str(number)}, b"x" * number) for number in range(20)]
    data = b"".join(messages)
    buffer = EventStreamBuffer()
    found: list[EventStreamMessage] = []
    for start in range(0, len(data), step):
        buffer.add_data(data[start : start + step])
        found.extend(buffer)
    assert [message.payload for message in found] == [b"x" * number for number in range(20)]


def test_an_event_has_blobs_in_base64_and_says_that_it_is_one() -> None:
    record = StoredRecord("49", 1.5, b"\x00\xff", "k")
    content = SubscribeToShardEvent(records=[record], continuation_sequence_number="49", millis_behind_latest=7)
    [message] = parsed(event_encoding.event(content))
    assert message.headers == {
        ":event-type": "SubscribeToShardEvent",
        ":content-type": "application/x-amz-json-1.1",
        ":message-type": "event",
    }
    assert json.loads(message.payload) == {
        "Records": [{"SequenceNumber": "49", "ApproximateArrivalTimestamp": 1.5, "Data": "AP8=", "PartitionKey": "k"}],
        "ContinuationSequenceNumber": "49",
        "MillisBehindLatest": 7,
    }


def test_at_the_end_of_a_shard_the_number_is_null() -> None:
    child = ChildShard(
        shard_id="c", parent_shards=("p",), hash_key_range=HashKeyRange(starting_hash_key="0", ending_hash_key="9")
    )
    content = SubscribeToShardEvent(
        records=[], continuation_sequence_number=None, millis_behind_latest=0, child_shards=(child,)
    )
    [message] = parsed(event_encoding.event(content))
    body = json.loads(message.payload)
    assert body["ContinuationSequenceNumber"] is None
    assert body["ChildShards"] == [
        {"ShardId": "c", "ParentShards": ["p"], "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "9"}}
    ]


def test_an_error_names_its_kind_in_a_header() -> None:
    [message] = parsed(event_encoding.exception(KinesisError("ResourceInUseException", "somebody else")))
    assert message.headers[":message-type"] == "exception"
    assert message.headers[":exception-type"] == "ResourceInUseException"
    assert json.loads(message.payload) == {"message": "somebody else"}
