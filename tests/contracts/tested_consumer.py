"""A consumer under test, with the calls that the contract of enhanced fan-out makes all the time."""

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.contracts.tested_stream import TestedStream, code_of, shard_id


class TestedConsumer:
    """One consumer of a stream, ACTIVE, behind a client of boto3's shape."""

    __test__ = False
    _numbers = itertools.count(1)

    def __init__(self, client: Any, stream: TestedStream, name: str | None = None) -> None:
        self.stream_arn = arn_of(client, stream)
        # kinesis-local never ends the deletion of a consumer that has a namesake of the same second in another stream
        self.name = name or f"consumer-{next(self._numbers)}"
        self._client = client
        self.registered = client.register_stream_consumer(StreamARN=self.stream_arn, ConsumerName=self.name)["Consumer"]
        self.arn: str = self.registered["ConsumerARN"]
        self.settle()

    def settle(self) -> None:
        """Wait until it is ACTIVE."""
        for _ in range(500):
            if self.description()["ConsumerStatus"] == "ACTIVE":
                return
            time.sleep(0.02)
        raise AssertionError(f"{self.arn} does not become ACTIVE")

    def description(self) -> dict[str, Any]:
        answer: dict[str, Any] = self._client.describe_stream_consumer(ConsumerARN=self.arn)
        description: dict[str, Any] = answer["ConsumerDescription"]
        return description

    def deregister(self) -> None:
        """Deregister it and wait until it is gone."""
        self._client.deregister_stream_consumer(ConsumerARN=self.arn)
        for _ in range(500):
            if code_of(self.description) != "accepted":
                return
            time.sleep(0.02)
        raise AssertionError(f"{self.arn} does not go away")

    @contextmanager
    def subscribed(self, shard: int = 0, kind: str = "TRIM_HORIZON", **position: Any) -> Iterator["PushedEvents"]:
        """A subscription, which is closed at the end."""
        answer = self._client.subscribe_to_shard(
            ConsumerARN=self.arn, ShardId=shard_id(shard), StartingPosition={"Type": kind, **position}
        )
        try:
            yield PushedEvents(answer["EventStream"])
        finally:
            answer["EventStream"].close()

    def refusal(self, shard: int = 0, kind: str = "TRIM_HORIZON", **position: Any) -> str:
        """The code that a subscription is refused with; `accepted` if it is not."""

        def subscribe() -> None:
            with self.subscribed(shard, kind, **position):
                pass

        return code_of(subscribe)


class PushedEvents:
    """What a subscription brings."""

    def __init__(self, stream: Any) -> None:
        self._events = iter(stream)

    def event(self) -> dict[str, Any]:
        """The next event."""
        event: dict[str, Any] = next(self._events)["SubscribeToShardEvent"]
        return event

    def records(self, count: int) -> list[str]:
        """The payloads of the next records, this many at least."""
        payloads: list[str] = []
        while len(payloads) < count:
            payloads += [record["Data"].decode() for record in self.event()["Records"]]
        return payloads

    def rest(self) -> list[dict[str, Any]]:
        """Every event up to the end of the subscription."""
        return [event["SubscribeToShardEvent"] for event in self._events]


def arn_of(client: Any, stream: TestedStream) -> str:
    """The stream's ARN."""
    summary = client.describe_stream_summary(StreamName=stream.name)["StreamDescriptionSummary"]
    arn: str = summary["StreamARN"]
    return arn
