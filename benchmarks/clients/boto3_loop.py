"""A bare loop over the shards of a stream with boto3: no leases, no checkpoints, nothing read ahead.

Modes: `plain`; `free-timestamps`, in which botocore's parser leaves every timestamp as it came, as a future botocore
may be nearly as quick; `deaggregated`, which hands every page to aws-kinesis-agg.
"""

import base64
import sys
from collections.abc import Callable
from typing import Any

import boto3

from benchmarks.clients.tally import Tally


def main(stream: str, seconds: str, mode: str = "plain") -> None:
    """Read and count."""
    session = boto3.Session()
    if mode == "free-timestamps":
        factory = session._session.get_component("response_parser_factory")  # noqa: SLF001 - no public way to it
        factory.set_parser_defaults(timestamp_parser=lambda value: value)
    client = session.client("kinesis")
    count = _deaggregating() if mode == "deaggregated" else len
    iterators = [
        client.get_shard_iterator(StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")[
            "ShardIterator"
        ]
        for shard in client.list_shards(StreamName=stream)["Shards"]
    ]
    turn = 0

    def read() -> int:
        nonlocal turn
        answer = client.get_records(ShardIterator=iterators[turn], Limit=10_000)
        iterators[turn] = answer["NextShardIterator"]
        turn = (turn + 1) % len(iterators)
        return count(answer["Records"])

    Tally().measure(read, float(seconds))


def _deaggregating() -> Callable[[list[Any]], int]:
    from aws_kinesis_agg.deaggregator import iter_deaggregate_records  # type: ignore[import-not-found]

    def count(records: list[Any]) -> int:
        wrapped = [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": record["PartitionKey"],
                    "sequenceNumber": record["SequenceNumber"],
                    "approximateArrivalTimestamp": record["ApproximateArrivalTimestamp"],
                    "data": base64.b64encode(record["Data"]),  # it takes the events of Lambda, and nothing else
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": "",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": "",
                "awsRegion": "",
                "eventSourceARN": "",
            }
            for record in records
        ]
        return sum(1 for _ in iter_deaggregate_records(wrapped))

    return count


if __name__ == "__main__":
    main(*sys.argv[1:])
