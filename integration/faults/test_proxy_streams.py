"""The fault proxy before SubscribeToShard, whose answer goes on: what a client sees of it, event by event."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.eventstream import ChecksumMismatch
from botocore.exceptions import ClientError
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from integration.faults import effects
from integration.faults.proxy import FaultProxy
from integration.faults.test_proxy import client
from integration.program import eventually
from integration.services import Services

EVENT = "SubscribeToShardEvent"
_numbers = itertools.count(1)


class Subscribed:
    """A stream of two shards with a consumer, which is subscribed to through a proxy."""

    def __init__(self, direct: Any, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self._name = f"pushed-{next(_numbers)}"
        self._direct = direct
        direct.create_stream(StreamName=self._name, ShardCount=2)
        direct.get_waiter("stream_exists").wait(StreamName=self._name, WaiterConfig={"Delay": 1})
        stream = direct.describe_stream_summary(StreamName=self._name)["StreamDescriptionSummary"]["StreamARN"]
        self._arn = direct.register_stream_consumer(StreamARN=stream, ConsumerName="pushed")["Consumer"]["ConsumerARN"]
        eventually(self._is_active, "the consumer")
        self._client = client("kinesis", proxy.url, read_timeout_seconds=2.0)
        self._open: list[Any] = []

    def _is_active(self) -> bool:
        consumer = self._direct.describe_stream_consumer(ConsumerARN=self._arn)["ConsumerDescription"]
        return bool(consumer["ConsumerStatus"] == "ACTIVE")

    def put(self, data: bytes) -> None:
        self._direct.put_record(StreamName=self._name, Data=data, PartitionKey="a", ExplicitHashKey="0")

    def subscribe(self, number: int = 0) -> Iterator[bytes]:
        """The records of a shard as they come."""
        answer = self._client.subscribe_to_shard(
            ConsumerARN=self._arn, ShardId=f"shardId-{number:012d}", StartingPosition={"Type": "TRIM_HORIZON"}
        )
        self._open.append(answer["EventStream"])
        return (
            record["Data"] for event in answer["EventStream"] for record in event["SubscribeToShardEvent"]["Records"]
        )

    def close(self) -> None:
        for events in self._open:
            events.close()
        self._client.close()


@pytest.fixture
def subscribed(local: Services) -> Iterator[Subscribed]:
    with FaultProxy(local.kinesis_url) as proxy, local.client("kinesis") as direct:
        subscribed = Subscribed(direct, proxy)
        yield subscribed
        subscribed.close()


def test_events_pass_as_they_come_and_each_is_known_by_its_shard(subscribed: Subscribed) -> None:
    records = subscribed.subscribe()
    for number in range(3):
        subscribed.put(b"%d" % number)
        assert next(records) == b"%d" % number
    # what was passed on is noted after it was passed on
    eventually(lambda: statuses(subscribed) == [200] * 4, "its first word, and three events", of=subscribed.proxy)
    assert len(subscribed.proxy.requests("SubscribeToShard")) == 1


def statuses(subscribed: Subscribed) -> list[int | None]:
    return [piece.status for piece in subscribed.proxy.requests(EVENT, place="shardId-000000000000")]


@pytest.mark.parametrize("effect", [effects.tear, effects.drop, effects.reset])
def test_a_connection_can_be_torn_while_events_pass(subscribed: Subscribed, effect: effects.Effect) -> None:
    records = subscribed.subscribe()
    subscribed.put(b"whole")
    assert next(records) == b"whole"
    with subscribed.proxy.under(effect, EVENT) as rule:
        subscribed.put(b"torn")
        with pytest.raises(ProtocolError):
            next(records)
    assert [b"SubscribeToShardEvent" in hit.outcome.body for hit in rule.hits if hit.outcome] == (
        [True] if effect is effects.tear else []
    )


def test_a_subscription_can_fall_silent_and_is_ended_when_the_client_has_gone(subscribed: Subscribed) -> None:
    records = subscribed.subscribe()
    with subscribed.proxy.under(effects.half_open, EVENT) as rule:
        subscribed.put(b"unheard")
        with pytest.raises(ReadTimeoutError):
            next(records)
        subscribed.put(b"unheard as well")
    assert len(rule.hits) == 1
    assert len(subscribed.proxy.requests(EVENT)) == 2, "nobody listens any more"


def test_a_letter_can_be_another_and_only_the_checksum_tells(subscribed: Subscribed) -> None:
    records = subscribed.subscribe()
    with subscribed.proxy.under(effects.misspell, EVENT) as rule:
        subscribed.put(b"spelt")
        with pytest.raises(ChecksumMismatch):
            next(records)
    (hit,) = rule.hits
    assert hit.outcome is not None
    assert b'"Data":"' in hit.outcome.body


def test_a_slow_link_brings_everything_in_the_end(subscribed: Subscribed) -> None:
    records = subscribed.subscribe()
    with subscribed.proxy.under(effects.slow_link(300), EVENT) as rule:
        subscribed.put(b"a" * 300)
        assert next(records) == b"a" * 300
    assert len(rule.hits) == 1


def test_a_subscription_that_is_refused_is_an_answer_like_any_other(subscribed: Subscribed) -> None:
    with subscribed.proxy.under(effects.fail, "SubscribeToShard"), pytest.raises(ClientError):
        subscribed.subscribe()
    subscribed.put(b"later")
    assert next(subscribed.subscribe()) == b"later"
