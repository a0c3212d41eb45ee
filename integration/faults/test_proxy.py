"""The fault proxy itself: what a client sees, and what reached the service, as it tells when asked directly."""

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from botocore.parsers import ResponseParserError

from integration.faults import effects
from integration.faults.proxy import FaultProxy
from integration.program import eventually
from integration.services import ACCESS_KEY, SECRET_KEY, Services

READ_TIMEOUT_SECONDS = 0.5
_numbers = itertools.count(1)
HUNG_UP = (ConnectionClosedError, ConnectionResetError)


class Stream:
    """A stream of one shard behind a proxy, and what is known of it without the proxy."""

    def __init__(self, services: Services, direct: Any, proxy: FaultProxy) -> None:
        self.name = f"behind-{next(_numbers)}"
        self.proxy = proxy
        self._direct = direct
        direct.create_stream(StreamName=self.name, ShardCount=2)
        direct.get_waiter("stream_exists").wait(StreamName=self.name, WaiterConfig={"Delay": 1})
        self.client = client("kinesis", proxy.url)

    def put(self, data: bytes = b"1") -> Any:
        return self.client.put_record(StreamName=self.name, Data=data, PartitionKey="key")

    def listed(self) -> int:
        return len(self.client.list_shards(StreamName=self.name)["Shards"])

    def split(self) -> None:
        self._direct.split_shard(
            StreamName=self.name, ShardToSplit="shardId-000000000000", NewStartingHashKey=str(2**64)
        )

    def has_got(self) -> list[bytes]:
        """The records that reached the service."""
        found: list[bytes] = []
        for number in range(2):
            iterator = self._direct.get_shard_iterator(
                StreamName=self.name, ShardId=f"shardId-{number:012d}", ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            found += [record["Data"] for record in self._direct.get_records(ShardIterator=iterator)["Records"]]
        return found


def client(service: str, url: str, read_timeout_seconds: float = READ_TIMEOUT_SECONDS) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(retries={"total_max_attempts": 1}, read_timeout=read_timeout_seconds),
    )


@pytest.fixture
def stream(local: Services) -> Iterator[Stream]:
    with FaultProxy(local.kinesis_url) as proxy, local.client("kinesis") as direct:
        stream = Stream(local, direct, proxy)
        yield stream
        stream.client.close()


@pytest.fixture
def table(local: Services) -> Iterator[tuple[FaultProxy, Any, Callable[[], list[str]]]]:
    """A proxy, a client of a table behind it, and what keys really are in the table."""
    name = f"behind-{next(_numbers)}"
    with FaultProxy(local.dynamodb_url) as proxy, local.client("dynamodb") as direct:
        direct.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "leaseKey", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "leaseKey", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        through = client("dynamodb", proxy.url)
        through.table = name
        yield proxy, through, lambda: sorted(one["leaseKey"]["S"] for one in direct.scan(TableName=name)["Items"])
        through.close()


def put_item(through: Any, key: str) -> None:
    through.put_item(TableName=through.table, Item={"leaseKey": {"S": key}})


def code_of(refused: pytest.ExceptionInfo[ClientError]) -> str:
    return str(refused.value.response["Error"]["Code"])


def test_without_a_rule_everything_passes_and_a_connection_is_used_again(stream: Stream) -> None:
    for number in range(3):
        stream.put(b"%d" % number)
    assert stream.has_got() == [b"0", b"1", b"2"]
    assert [(exchange.status, exchange.has_reached_the_service) for exchange in stream.proxy.exchanges] == [
        (200, True)
    ] * 3


@pytest.mark.parametrize("effect", [effects.drop, effects.reset])
def test_a_request_that_is_dropped_or_reset_does_not_reach_the_service(stream: Stream, effect: effects.Effect) -> None:
    with stream.proxy.under(effect, "PutRecord") as rule, pytest.raises(HUNG_UP):
        stream.put()
    assert len(rule.hits) == 1
    assert stream.has_got() == []


def test_a_reset_is_a_reset_and_a_drop_is_an_orderly_end(stream: Stream) -> None:
    request = b"POST / HTTP/1.1\r\nX-Amz-Target: Kinesis_20131202.ListShards\r\nContent-Length: 2\r\n\r\n{}"
    seen: dict[str, object] = {}
    for effect in (effects.drop, effects.reset):
        port = int(stream.proxy.url.rpartition(":")[2])
        with stream.proxy.under(effect), socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(request)
            try:
                seen[effect.__name__] = connection.recv(1)
            except ConnectionResetError as error:
                seen[effect.__name__] = type(error)
    assert seen == {"drop": b"", "reset": ConnectionResetError}


def test_an_answer_can_be_lost_after_the_service_did_what_was_asked(stream: Stream) -> None:
    with stream.proxy.under(effects.lose_answer, "PutRecord"), pytest.raises(HUNG_UP):
        stream.put()
    assert stream.has_got() == [b"1"]


def test_a_request_can_be_delayed(stream: Stream) -> None:
    began = time.monotonic()
    with stream.proxy.under(effects.delay(0.3)):
        stream.put()
    assert time.monotonic() - began >= 0.3
    assert stream.has_got() == [b"1"]


def test_a_request_can_be_held_until_a_gate_opens_though_its_client_has_given_up(stream: Stream) -> None:
    gate = threading.Event()
    with stream.proxy.under(effects.hold(gate), "PutRecord"), pytest.raises(ReadTimeoutError):
        stream.put()
    assert stream.has_got() == []
    gate.set()
    eventually(lambda: stream.has_got() == [b"1"], "the late record")


def test_a_half_open_connection_takes_the_request_and_says_nothing(stream: Stream) -> None:
    with stream.proxy.under(effects.half_open, "PutRecord"), pytest.raises(ReadTimeoutError):
        stream.put()
    assert stream.has_got() == []


def test_an_answer_that_drips_never_runs_into_a_read_timeout(stream: Stream) -> None:
    port = int(stream.proxy.url.rpartition(":")[2])
    body = b'{"StreamName": "%s"}' % stream.name.encode()
    head = b"POST / HTTP/1.1\r\nX-Amz-Target: Kinesis_20131202.ListShards\r\nContent-Type: application/x-amz-json-1.1"
    with stream.proxy.under(effects.drip), socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        connection.settimeout(1.9)
        began = time.monotonic()
        assert connection.recv(100) + connection.recv(100) == b"HT"
        assert time.monotonic() - began >= 0.9
    assert stream.proxy.exchanges[0].has_reached_the_service
    assert stream.proxy.exchanges[0].status is None


def test_kinesis_throttles_fails_and_expires_in_its_own_words(stream: Stream) -> None:
    codes = []
    for effect in (effects.throttle, effects.fail, effects.expire_iterator, effects.expire_credentials):
        with stream.proxy.under(effect), pytest.raises(ClientError) as refused:
            stream.put()
        codes.append(code_of(refused))
    assert codes == [
        "ProvisionedThroughputExceededException", "InternalFailure", "ExpiredIteratorException",
        "ExpiredTokenException",
    ]  # fmt: skip
    assert stream.has_got() == []


def test_dynamodb_throttles_fails_and_expires_in_its_own_words(
    table: tuple[FaultProxy, Any, Callable[[], list[str]]],
) -> None:
    proxy, through, keys = table
    codes = []
    for effect in (effects.throttle, effects.fail, effects.expire_credentials):
        with proxy.under(effect), pytest.raises(ClientError) as refused:
            put_item(through, "one")
        codes.append(code_of(refused))
    assert codes == ["ProvisionedThroughputExceededException", "InternalServerError", "UnrecognizedClientException"]
    assert keys() == []


def test_a_garbled_answer_cannot_be_read_though_the_service_did_what_was_asked(stream: Stream) -> None:
    with stream.proxy.under(effects.garble), pytest.raises((ResponseParserError, UnicodeDecodeError)):
        stream.put()
    assert stream.has_got() == [b"1"]


def test_an_answer_can_say_something_else(stream: Stream) -> None:
    with stream.proxy.under(effects.alter(lambda content: content | {"Shards": content["Shards"][:1]}), "ListShards"):
        assert stream.listed() == 1
    assert stream.listed() == 2


def test_a_stale_answer_is_the_last_one_to_the_same_request(stream: Stream) -> None:
    assert stream.listed() == 2
    stream.split()
    with stream.proxy.under(effects.replay, "ListShards") as rule:
        assert stream.listed() == 2
        assert not rule.hits[0].has_reached_the_service
    eventually(lambda: stream.listed() == 4, "the children")


def test_a_rule_chooses_by_number(table: tuple[FaultProxy, Any, Callable[[], list[str]]]) -> None:
    proxy, through, keys = table
    with proxy.under(effects.throttle, "PutItem", first=2, every=3, times=2) as rule:
        for number in range(1, 10):
            try:
                put_item(through, f"{number}")
            except ClientError:
                print(f"number {number} was hit")
    assert keys() == ["1", "3", "4", "6", "7", "8", "9"]
    assert len(rule.hits) == 2


def test_a_rule_chooses_by_lease_key_by_operation_and_by_what_is_said(
    table: tuple[FaultProxy, Any, Callable[[], list[str]]],
) -> None:
    proxy, through, keys = table
    with proxy.under(effects.throttle, "PutItem", place="shardId-"):
        put_item(through, "Leader")
        with pytest.raises(ClientError):
            put_item(through, "shardId-000000000000")
    with proxy.under(effects.throttle, "DeleteItem"):
        put_item(through, "worker@1")
    with proxy.under(effects.throttle, containing="SHARD_END"):
        put_item(through, "shardId-000000000001")
        with pytest.raises(ClientError):
            put_item(through, "SHARD_END")
    assert keys() == ["Leader", "shardId-000000000001", "worker@1"]


def test_a_rule_chooses_the_reads_of_one_shard_by_the_iterators_that_passed(stream: Stream) -> None:
    iterators = [
        stream.client.get_shard_iterator(
            StreamName=stream.name, ShardId=f"shardId-{number:012d}", ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        for number in range(2)
    ]
    iterators = [
        stream.client.get_records(ShardIterator=iterator)["NextShardIterator"] for iterator in iterators
    ]  # the second generation, which only an answer to GetRecords names
    with stream.proxy.under(effects.fail, "GetRecords", place="shardId-000000000001"):
        stream.client.get_records(ShardIterator=iterators[0])
        with pytest.raises(ClientError):
            stream.client.get_records(ShardIterator=iterators[1])


def test_the_newest_of_two_rules_has_a_request_and_one_that_is_off_has_none(stream: Stream) -> None:
    under = stream.proxy.under
    with under(effects.drop) as older, under(effects.fail) as newer, pytest.raises(ClientError):
        stream.put()
    stream.put()
    assert (len(older.hits), len(newer.hits)) == (0, 1)
    assert stream.has_got() == [b"1"]
