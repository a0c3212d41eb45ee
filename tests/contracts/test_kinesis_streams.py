"""How streams come, are described, and go. One contract for everything that speaks Kinesis."""

import time

import pytest

from tests.contracts.kinesis_services import Service
from tests.contracts.tested_stream import TestedStream, code_of, is_open, number_of, partition, shard_id


@pytest.mark.parametrize("count", [1, 3, 16])
def test_a_new_stream_has_its_shards_side_by_side_over_the_whole_hash_space(service: Service, count: int) -> None:
    shards = service.stream(count).shards()
    assert len(shards) == count
    assert [number_of(shard["ShardId"]) for shard in shards] == list(range(count))
    assert partition(shards)
    assert all(is_open(shard) for shard in shards)


def test_the_summary_describes_the_stream(service: Service) -> None:
    stream = service.stream(2)
    summary = service.client.describe_stream_summary(StreamName=stream.name)["StreamDescriptionSummary"]
    assert summary["StreamName"] == stream.name
    assert summary["StreamARN"].startswith("arn:aws:kinesis:us-east-1:")
    assert summary["StreamARN"].endswith(f":stream/{stream.name}")
    assert summary["OpenShardCount"] == 2
    assert summary["RetentionPeriodHours"] == 24
    assert abs(summary["StreamCreationTimestamp"].timestamp() - service.now_seconds()) < 60


def test_the_older_description_shows_the_shards_in_pages(service: Service) -> None:
    stream = service.stream(3)
    first = service.client.describe_stream(StreamName=stream.name, Limit=2)["StreamDescription"]
    rest = service.client.describe_stream(StreamName=stream.name, ExclusiveStartShardId=shard_id(1))[
        "StreamDescription"
    ]
    observed = [[len(page["Shards"]), page["HasMoreShards"]] for page in (first, rest)]
    service.expect("DescribeStream has pages", observed, [[2, True], [1, False]])


def test_streams_are_listed_in_pages(service: Service) -> None:
    stream = service.stream()
    names: list[str] = []
    members: dict[str, str] = {}
    while True:
        page = service.client.list_streams(Limit=5, **members)
        names += page["StreamNames"]
        if not page["HasMoreStreams"]:
            break
        members = {"ExclusiveStartStreamName": names[-1]}
    assert stream.name in names
    assert len(names) == len(set(names))


def test_a_stream_that_does_not_exist_is_not_found_by_any_operation(service: Service) -> None:
    client = service.client
    refusals = {
        "summary": code_of(lambda: client.describe_stream_summary(StreamName="nobody")),
        "list": code_of(lambda: client.list_shards(StreamName="nobody")),
        "put": code_of(lambda: client.put_record(StreamName="nobody", Data=b"", PartitionKey="k")),
        "puts": code_of(lambda: client.put_records(StreamName="nobody", Records=[{"Data": b"", "PartitionKey": "k"}])),
        "iterator": code_of(
            lambda: client.get_shard_iterator(
                StreamName="nobody", ShardId=shard_id(0), ShardIteratorType="TRIM_HORIZON"
            )
        ),
        "delete": code_of(lambda: client.delete_stream(StreamName="nobody")),
        "split": code_of(
            lambda: client.split_shard(StreamName="nobody", ShardToSplit=shard_id(0), NewStartingHashKey="5")
        ),
    }
    assert refusals == dict.fromkeys(refusals, "ResourceNotFoundException")


def test_a_name_that_is_taken_is_in_use(service: Service) -> None:
    stream = service.stream()
    assert code_of(lambda: service.client.create_stream(StreamName=stream.name, ShardCount=1)) == (
        "ResourceInUseException"
    )


def test_the_arn_serves_instead_of_the_name_and_beside_it(service: Service) -> None:
    stream = service.stream()
    client = service.client
    arn = client.describe_stream_summary(StreamName=stream.name)["StreamDescriptionSummary"]["StreamARN"]
    for named in ({"StreamARN": arn}, {"StreamARN": arn, "StreamName": stream.name}):
        client.put_record(**named, Data=b"x", PartitionKey="k")
        assert len(client.list_shards(**named)["Shards"]) == 1
        iterator = client.get_shard_iterator(**named, ShardId=shard_id(0), ShardIteratorType="TRIM_HORIZON")
        assert client.get_records(ShardIterator=iterator["ShardIterator"], StreamARN=arn)["Records"]
    assert len(stream.read(0)) == 2


def test_the_arn_of_another_account_names_no_stream_of_ours(service: Service) -> None:
    stream = service.stream()
    foreign = f"arn:aws:kinesis:us-east-1:999999999999:stream/{stream.name}"
    service.expect(
        "an ARN of another account is not found",
        code_of(lambda: service.client.list_shards(StreamARN=foreign)),
        "ResourceNotFoundException",
    )


def test_an_on_demand_stream_begins_with_four_shards(service: Service) -> None:
    stream = service.stream(StreamModeDetails={"StreamMode": "ON_DEMAND"})
    assert len(stream.shards()) == 4


def test_retention_goes_up_and_down_within_its_bounds(service: Service) -> None:
    stream = service.stream()
    client, named = service.client, {"StreamName": stream.name}

    def retention() -> int:
        hours: int = client.describe_stream_summary(**named)["StreamDescriptionSummary"]["RetentionPeriodHours"]
        return hours

    client.increase_stream_retention_period(**named, RetentionPeriodHours=48)
    assert retention() == 48
    client.decrease_stream_retention_period(**named, RetentionPeriodHours=24)
    assert retention() == 24
    refusals = {
        "below a day": code_of(lambda: client.decrease_stream_retention_period(**named, RetentionPeriodHours=23)),
        "above a year": code_of(lambda: client.increase_stream_retention_period(**named, RetentionPeriodHours=8761)),
        "up by decreasing": code_of(lambda: client.decrease_stream_retention_period(**named, RetentionPeriodHours=30)),
    }
    assert refusals == dict.fromkeys(refusals, "InvalidArgumentException")


def test_a_stream_made_again_under_its_name_is_another_one(service: Service) -> None:
    stream = service.stream()
    client = service.client
    put = stream.put("old")
    iterator = stream.iterator(0)
    born = client.describe_stream_summary(StreamName=stream.name)["StreamDescriptionSummary"]["StreamCreationTimestamp"]
    client.delete_stream(StreamName=stream.name)
    wait_until_gone(service, stream)
    client.create_stream(StreamName=stream.name, ShardCount=1)
    stream.settle()
    again = client.describe_stream_summary(StreamName=stream.name)["StreamDescriptionSummary"]
    assert again["StreamCreationTimestamp"] > born
    assert stream.read(0) == []
    service.expect(
        "an iterator does not outlive its stream",
        code_of(lambda: stream.page(iterator)) in ("ResourceNotFoundException", "InvalidArgumentException"),
        True,
    )
    service.expect(
        "a sequence number does not outlive its stream",
        code_of(lambda: stream.iterator(0, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=put["SequenceNumber"])),
        "InvalidArgumentException",
    )


def wait_until_gone(service: Service, stream: TestedStream) -> None:
    for _ in range(500):
        if code_of(lambda: service.client.describe_stream_summary(StreamName=stream.name)) != "accepted":
            return
        time.sleep(0.02)
    raise AssertionError(f"{stream.name} does not go away")
