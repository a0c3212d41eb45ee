"""What a request may say: the errors of members that are missing, of another type, or out of bounds."""

import json

import pytest

from kcl_py.local.kinesis_error import KinesisError
from kcl_py.local.operations import OPERATIONS, request_from_json, request_from_members
from kcl_py.local.requests import PutRecord, PutRecords

PUT = {"StreamName": "s", "Data": "eA==", "PartitionKey": "k"}
ITERATOR = {"StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "LATEST"}


def refusal(operation: str, body: object) -> str:
    with pytest.raises(KinesisError) as refused:
        request_from_json(operation, body if isinstance(body, bytes) else json.dumps(body).encode())
    return refused.value.code


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("PutRecord", {"StreamName": "s", "Data": "eA=="}),
        ("PutRecord", PUT | {"PartitionKey": None}),
        ("PutRecord", PUT | {"PartitionKey": ""}),
        ("PutRecord", PUT | {"PartitionKey": "k" * 257}),
        ("PutRecord", PUT | {"StreamName": "no spaces"}),
        ("PutRecord", PUT | {"StreamName": "s\n"}),
        ("PutRecord", PUT | {"StreamName": "s" * 129}),
        ("PutRecord", PUT | {"ExplicitHashKey": "01"}),
        ("PutRecord", PUT | {"StreamARN": "arn:aws:s3:::bucket"}),
        ("PutRecords", {"StreamName": "s", "Records": []}),
        ("PutRecords", {"StreamName": "s", "Records": [{"Data": "", "PartitionKey": ""}]}),
        ("GetShardIterator", ITERATOR | {"ShardIteratorType": "EARLIEST"}),
        ("GetShardIterator", ITERATOR | {"StartingSequenceNumber": "007"}),
        ("GetRecords", {"ShardIterator": "i" * 513}),
        ("GetRecords", {"ShardIterator": "i", "Limit": 0}),
        ("GetRecords", {"ShardIterator": "i", "Limit": 10_001}),
        ("CreateStream", {"StreamName": "s", "ShardCount": 0}),
        ("CreateStream", {"ShardCount": 1}),
        ("UpdateShardCount", {"StreamName": "s", "TargetShardCount": 2, "ScalingType": "RANDOM"}),
        ("ListShards", {"StreamName": "s", "ShardFilter": {}}),
    ],
)
def test_a_member_that_is_missing_or_out_of_bounds_fails_validation(operation: str, body: object) -> None:
    assert refusal(operation, body) == "ValidationException"


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("PutRecord", PUT | {"PartitionKey": 5}),
        ("PutRecord", PUT | {"Data": 5}),
        ("PutRecord", PUT | {"Data": "not base64!"}),
        ("PutRecords", {"StreamName": "s", "Records": {}}),
        ("GetRecords", {"ShardIterator": "i", "Limit": "5"}),
        ("GetRecords", b"{"),
        ("GetRecords", b"[]"),
        ("GetRecords", b'{"ShardIterator": "\xff"}'),
        ("ListShards", {"StreamName": "s", "ShardFilter": {"Type": "AT_TIMESTAMP", "Timestamp": "noon"}}),
    ],
)
def test_a_member_of_another_type_and_a_body_that_is_no_json_object_cannot_be_read(
    operation: str, body: object
) -> None:
    assert refusal(operation, body) == "SerializationException"


def test_an_operation_that_is_not_here_says_which_ones_are() -> None:
    with pytest.raises(KinesisError, match=r"StartStreamEncryption.*PutRecords") as refused:
        request_from_json("StartStreamEncryption", b"{}")
    assert refused.value.code == "UnknownOperationException"
    assert "StartStreamEncryption" not in OPERATIONS


def test_the_message_names_the_member() -> None:
    with pytest.raises(KinesisError, match=r"Records\[1\]\.PartitionKey"):
        request_from_members(
            "PutRecords",
            {"StreamName": "s", "Records": [{"Data": b"", "PartitionKey": k} for k in ("k", "k" * 257)]},
        )


def test_a_blob_is_base64_on_the_wire_and_bytes_in_process() -> None:
    from_wire = request_from_json("PutRecord", json.dumps(PUT).encode())
    in_process = request_from_members("PutRecord", PUT | {"Data": b"x"})
    assert from_wire == in_process == PutRecord(stream_name="s", data=b"x", partition_key="k")


def test_members_that_the_service_may_add_one_day_are_passed_over() -> None:
    request = request_from_json("PutRecords", json.dumps({"Records": [PUT], "StreamId": "x"}).encode())
    assert isinstance(request, PutRecords)
    assert request.records[0].partition_key == "k"
