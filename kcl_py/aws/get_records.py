"""Turns the answer of GetRecords into a page.

botocore takes 12 to 20 microseconds for a record, most of it for its timestamp. So its own parser never sees the
records: `decode` is given the body before it, and makes records of it at once. What `decode` cannot make sense of is
left to botocore, and read from what that made of it.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from kcl_py.aws import pieces
from kcl_py.aws.calls import MalformedAnswer
from kcl_py.aws.members import sequence_number, token_in
from kcl_py.aws.turnstile import Turnstile
from kcl_py.aws.wire_records import page_of
from kcl_py.core.record import Record
from kcl_py.interfaces import Page

BEFORE_PARSE = "before-parse.kinesis.GetRecords"
"""botocore's event, since 1.35.17, that `decode` is registered for."""


class _Decoded(msgspec.Struct, rename="pascal"):
    """The answer on the wire."""

    records: list[Record]
    next_shard_iterator: str | None = None
    child_shards: list[Any] | None = None
    millis_behind_latest: int | None = None


_DECODER = msgspec.json.Decoder(_Decoded)
_RECORDS_DECODER = msgspec.json.Decoder(list[Record])
_DECODED = "kcl_py decoded"
_UNDECODABLE = (msgspec.DecodeError, RecursionError, ValueError)


def decode(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Decode a good answer's body, and leave an empty one to botocore; `page` finds the other.

    Args:
        response_dict: the HTTP answer: status, headers, body.
        customized_response_dict: what is to be in the parsed answer besides what botocore finds.
    """
    if response_dict["status_code"] != 200:
        return
    try:
        customized_response_dict[_DECODED] = _DECODER.decode(response_dict["body"])
    except _UNDECODABLE:
        return
    response_dict["body"] = b""


async def decode_in_turn(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], turnstile: Turnstile
) -> None:
    """The same, and a large body when it is its turn: piece by piece, if it can be cut.

    Args:
        response_dict: as above.
        customized_response_dict: as above.
        turnstile: what is large passes through it.
    """
    body = response_dict["body"]
    if edges := pieces.borders(body) if response_dict["status_code"] == 200 else ():
        response_dict["body"] = body = body if isinstance(body, bytearray) else bytearray(body)
        try:
            customized_response_dict[_DECODED] = await _decoded_in_pieces(body, edges, turnstile)
        except _UNDECODABLE:
            for comma in edges[1:]:
                body[comma : comma + 1] = b","
        else:
            response_dict["body"] = b""
            return
    await turnstile.passed(len(body))
    decode(response_dict, customized_response_dict)


async def _decoded_in_pieces(body: bytearray, edges: Sequence[int], turnstile: Turnstile) -> _Decoded:
    """Decode what lies between the edges as arrays of records, for which the commas at the edges become brackets."""
    records: list[Record] = []
    view = memoryview(body)
    for opening, comma in pairwise(edges):
        await turnstile.passed(comma - opening)
        body[opening], body[comma] = b"[]"
        records += _RECORDS_DECODER.decode(view[opening : comma + 1])
    await turnstile.passed(len(body) - edges[-1])
    rest = body[: edges[0] + 1] + view[edges[-1] + 1 :]
    if rest.count(b'"Records"') > 1:
        raise ValueError("of two members of one name the last counts")
    decoded = _DECODER.decode(rest)
    decoded.records = records + decoded.records
    return decoded


def page(answer: Mapping[str, Any], shard_id: str) -> Page:
    """Read a page; all of it or nothing.

    Args:
        answer: as botocore parsed it, or as `decode` has seen to it.
        shard_id: the shard that was asked for.

    Raises:
        MalformedAnswer: the answer is no page, or holds records of another shard.
        LookupError, TypeError, ValueError, AttributeError: a part of it has the wrong shape.
    """
    decoded = answer.get(_DECODED) or _parsed(answer)
    return page_of(
        decoded.records,
        shard_id,
        next_iterator=decoded.next_shard_iterator,  # some answers leave it out at a shard's end
        child_shards=decoded.child_shards,
        millis_behind_latest=decoded.millis_behind_latest,
    )


def _parsed(answer: Mapping[str, Any]) -> _Decoded:
    """The same out of what botocore parsed."""
    if "Records" not in answer:
        raise MalformedAnswer("no Records")
    lag = answer.get("MillisBehindLatest")
    return _Decoded(
        records=[_record(item) for item in answer["Records"]],
        next_shard_iterator=token_in(answer, "NextShardIterator"),
        child_shards=answer.get("ChildShards"),
        millis_behind_latest=None if lag is None else int(lag),
    )


def _record(item: Mapping[str, Any]) -> Record:
    data, partition_key = item.get("Data"), item.get("PartitionKey")
    if not isinstance(data, bytes) or not isinstance(partition_key, str):
        raise MalformedAnswer("a record without data or partition key")
    arrived_at = item.get("ApproximateArrivalTimestamp")
    return Record(
        data=data,
        partition_key=partition_key,
        sequence_number=sequence_number(item.get("SequenceNumber")),
        arrival_timestamp_seconds=0.0 if arrived_at is None else arrived_at.timestamp(),
    )
