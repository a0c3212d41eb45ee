"""One contract for everything that speaks Kinesis. Where an emulator is known to break it, that it does is asserted."""

import hashlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.kinesis_deviations import DEVIATIONS
from tests.contracts.kinesis_services import SERVICES, Service, TestedStream, code_of, number_of, shard_id

HASH_KEY_MAX = 2**128 - 1
KIB, MIB = 1024, 1024 * 1024


@pytest.fixture(scope="module", params=list(SERVICES))
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    with SERVICES[request.param]() as started:
        yield started


def range_of(shard: dict[str, Any]) -> tuple[int, int]:
    hash_range = shard["HashKeyRange"]
    return int(hash_range["StartingHashKey"]), int(hash_range["EndingHashKey"])


def is_open(shard: dict[str, Any]) -> bool:
    return shard["SequenceNumberRange"].get("EndingSequenceNumber") is None


def partition(shards: list[dict[str, Any]]) -> bool:
    """True when the ranges cover the hash space without holes and overlaps."""
    ranges = sorted(range_of(shard) for shard in shards)
    return (
        ranges[0][0] == 0
        and ranges[-1][1] == HASH_KEY_MAX
        and all(one[1] + 1 == other[0] for one, other in pairwise(ranges))
    )


# Streams


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


# Putting


def test_a_record_goes_to_the_shard_of_its_keys_md5(service: Service) -> None:
    stream = service.stream(4)
    ranges = [range_of(shard) for shard in stream.shards()]
    for number in range(20):
        key = f"user-{number}"
        hashed = int(hashlib.md5(key.encode()).hexdigest(), 16)
        expected = next(i for i, (start, end) in enumerate(ranges) if start <= hashed <= end)
        assert number_of(stream.put(key=key)["ShardId"]) == expected


def test_an_explicit_hash_key_overrides_the_md5_at_both_ends_of_every_range(service: Service) -> None:
    stream = service.stream(3)
    observed = [
        [hashed_to(stream, start), hashed_to(stream, (start + end) // 2), hashed_to(stream, end)]
        for start, end in map(range_of, stream.shards())
    ]
    service.expect("hash ranges include both ends", observed, [[0, 0, 0], [1, 1, 1], [2, 2, 2]])


def hashed_to(stream: TestedStream, hash_key: int) -> int | str:
    """The number of the shard that takes this hash key, or the error."""
    shard: list[int] = []
    code = code_of(lambda: shard.append(number_of(stream.put(hash_key=hash_key)["ShardId"])))
    return shard[0] if shard else code


def test_a_hash_key_beyond_the_space_is_refused(service: Service) -> None:
    stream = service.stream()
    assert code_of(lambda: stream.put(hash_key=2**128)) == "InvalidArgumentException"


def test_sequence_numbers_have_56_digits_and_rise_within_a_shard(service: Service) -> None:
    stream = service.stream(2)
    numbers: list[list[int]] = []
    for shard, described in enumerate(stream.shards()):
        put = [stream.put(hash_key=range_of(described)[0])["SequenceNumber"] for _ in range(5)]
        assert [record["SequenceNumber"] for record in stream.records(shard)] == put
        numbers.append([int(number) for number in put])
        assert numbers[-1] == sorted(set(numbers[-1]))
        assert int(described["SequenceNumberRange"]["StartingSequenceNumber"]) <= numbers[-1][0]
    digits = {len(str(number)) for of_shard in numbers for number in of_shard}
    service.expect("a sequence number has 56 digits", digits, {56})
    told = [{(number >> 4) & 0xFFFFFFFF for number in of_shard} for of_shard in numbers]
    service.expect("a sequence number tells its shard", told, [{0}, {1}])


def test_records_of_one_request_keep_their_order_and_their_answers(service: Service) -> None:
    stream = service.stream(2)
    entries = [{"Data": str(n).encode(), "PartitionKey": f"key-{n}"} for n in range(30)]
    answer = service.client.put_records(StreamName=stream.name, Records=entries)
    assert answer["FailedRecordCount"] == 0
    put = [
        [str(n) for n, entry in enumerate(answer["Records"]) if number_of(entry["ShardId"]) == shard]
        for shard in (0, 1)
    ]
    assert [stream.read(shard) for shard in (0, 1)] == put
    stored = {record["SequenceNumber"] for shard in (0, 1) for record in stream.records(shard)}
    assert stored == {entry["SequenceNumber"] for entry in answer["Records"]}


def test_payload_and_key_come_back_as_they_were_put(service: Service) -> None:
    stream = service.stream()
    payload = bytes(range(256)) * 3
    stream.put(payload, key="Schlüssel-鍵")
    stream.put(b"", key="k" * 256)
    records = stream.records(0)
    assert [(record["Data"], record["PartitionKey"]) for record in records] == [
        (payload, "Schlüssel-鍵"),
        (b"", "k" * 256),
    ]
    for record in records:
        assert abs(record["ApproximateArrivalTimestamp"].timestamp() - service.now_seconds()) < 60


def test_malformed_puts_are_refused_and_leave_nothing_behind(service: Service) -> None:
    stream = service.stream()
    client, named = service.client, {"StreamName": stream.name}
    good = {"Data": b"", "PartitionKey": "k"}
    observed = {
        "no key": code_of(lambda: client.put_record(**named, Data=b"")),
        "empty key": code_of(lambda: stream.put(key="")),
        "long key": code_of(lambda: stream.put(key="k" * 257)),
        "hash key of letters": code_of(
            lambda: client.put_record(**named, Data=b"", PartitionKey="k", ExplicitHashKey="abc")
        ),
        "no records": code_of(lambda: client.put_records(**named, Records=[])),
        "501 records": code_of(lambda: client.put_records(**named, Records=[good] * 501)),
        "one bad among good": code_of(
            lambda: client.put_records(**named, Records=[good, {"Data": b"", "PartitionKey": "k" * 257}])
        ),
    }
    service.expect("malformed puts are refused", observed, dict.fromkeys(observed, "ValidationException"))
    if (service.name, "malformed puts are refused") not in DEVIATIONS:
        assert stream.read(0) == []


def test_a_record_is_at_most_one_mebibyte_with_its_key(service: Service) -> None:
    stream = service.stream()
    stream.put(b"x" * (MIB - 3), key="key")
    service.expect(
        "a payload above 1 MiB is refused",
        code_of(lambda: stream.put(b"x" * (MIB + 1))),
        "ValidationException",
    )
    service.expect(
        "the key counts in the size of a record",
        code_of(lambda: stream.put(b"x" * (MIB - 2), key="key")),
        "ValidationException",
    )


def test_a_request_is_at_most_ten_mebibytes(service: Service) -> None:
    stream = service.stream()
    entries = [{"Data": b"x" * (MIB - 3), "PartitionKey": "key"}] * 11
    service.expect(
        "a request above 10 MiB is refused",
        code_of(lambda: service.client.put_records(StreamName=stream.name, Records=entries)),
        "InvalidArgumentException",
    )


# Listing


def test_a_listing_comes_in_pages_and_the_token_stands_alone(service: Service) -> None:
    stream = service.stream(5)
    client = service.client
    first = client.list_shards(StreamName=stream.name, MaxResults=2)
    assert [number_of(shard["ShardId"]) for shard in first["Shards"]] == [0, 1]
    service.expect(
        "NextToken goes alone",
        code_of(lambda: client.list_shards(NextToken=first["NextToken"], MaxResults=2)),
        "accepted",
    )
    service.expect(
        "NextToken and StreamName exclude each other",
        code_of(lambda: client.list_shards(NextToken=first["NextToken"], StreamName=stream.name)),
        "InvalidArgumentException",
    )
    alone = {} if (service.name, "NextToken goes alone") not in DEVIATIONS else {"StreamName": stream.name}
    second = client.list_shards(NextToken=first["NextToken"], MaxResults=2, **alone)
    third = client.list_shards(NextToken=second["NextToken"], MaxResults=2, **alone)
    assert [number_of(shard["ShardId"]) for page in (second, third) for shard in page["Shards"]] == [2, 3, 4]
    assert third.get("NextToken") is None


def test_a_token_that_no_listing_gave_is_refused(service: Service) -> None:
    service.expect(
        "an invented NextToken is refused",
        code_of(lambda: service.client.list_shards(NextToken="invented")),
        "InvalidArgumentException",
    )


def test_a_listing_can_begin_after_a_shard(service: Service) -> None:
    ids = service.stream(4).ids(ExclusiveStartShardId=shard_id(1))
    service.expect("a listing can begin after a shard", ids, [2, 3])


def test_a_listing_shows_a_thousand_shards_at_once(service: Service) -> None:
    stream = service.stream(1_000)
    stream.split(0)
    page = service.client.list_shards(StreamName=stream.name)
    service.expect("a page of a listing has 1,000 shards", [len(page["Shards"]), "NextToken" in page], [1_000, True])
    service.client.delete_stream(StreamName=stream.name)


def test_every_filter_shows_the_shards_that_the_reference_says(service: Service) -> None:
    stream = service.stream(2)
    stream.put("x")
    stream.split(0)  # 0 -> 2, 3
    filters: dict[str, dict[str, Any]] = {
        "AT_LATEST": {},
        "AT_TRIM_HORIZON": {},
        "FROM_TRIM_HORIZON": {},
        "AFTER_SHARD_ID": {"ShardId": shard_id(1)},
        "FROM_TIMESTAMP": {"Timestamp": datetime(2020, 1, 1, tzinfo=UTC)},
        "AT_TIMESTAMP": {"Timestamp": datetime.fromtimestamp(service.now_seconds() + 5, UTC)},
    }
    observed = {kind: code_or_ids(stream, {"Type": kind, **more}) for kind, more in filters.items()}
    expected = {
        "AT_LATEST": [1, 2, 3],
        "AT_TRIM_HORIZON": [0, 1],
        "FROM_TRIM_HORIZON": [0, 1, 2, 3],
        "AFTER_SHARD_ID": [2, 3],
        "FROM_TIMESTAMP": [0, 1, 2, 3],
        "AT_TIMESTAMP": [1, 2, 3],
    }
    for kind, ids in expected.items():
        service.expect(f"the filter {kind}", observed[kind], ids)


def code_or_ids(stream: TestedStream, shard_filter: dict[str, Any]) -> list[int] | str:
    ids: list[int] = []
    code = code_of(lambda: ids.extend(stream.ids(ShardFilter=shard_filter)))
    return ids if code == "accepted" else code


def test_a_filter_without_what_its_type_needs_is_refused(service: Service) -> None:
    stream = service.stream()
    observed = {
        "after nothing": code_or_ids(stream, {"Type": "AFTER_SHARD_ID"}),
        "at no time": code_or_ids(stream, {"Type": "AT_TIMESTAMP"}),
        "from no time": code_or_ids(stream, {"Type": "FROM_TIMESTAMP"}),
        "unknown": code_or_ids(stream, {"Type": "AT_NOON"}),
    }
    expected = dict.fromkeys(observed, "InvalidArgumentException") | {"unknown": "ValidationException"}
    service.expect("incomplete filters are refused", observed, expected)


# Resharding


def test_a_split_closes_the_parent_and_opens_two_children_above_it(service: Service) -> None:
    stream = service.stream(2)
    start, end = range_of(stream.shards()[1])
    last = stream.put(hash_key=start)["SequenceNumber"]
    at = start + 12_345
    stream.split(1, at)
    shards = stream.shards()
    assert [number_of(shard["ShardId"]) for shard in shards] == [0, 1, 2, 3]
    assert [is_open(shard) for shard in shards] == [True, False, True, True]
    assert [range_of(shard) for shard in shards[2:]] == [(start, at - 1), (at, end)]
    assert [shard.get("ParentShardId") for shard in shards] == [None, None, shard_id(1), shard_id(1)]
    assert all(shard.get("AdjacentParentShardId") is None for shard in shards)
    assert partition([shard for shard in shards if is_open(shard)])
    check_ending(service, shards[1], last, shards[2:])
    summary = service.client.describe_stream_summary(StreamName=stream.name)["StreamDescriptionSummary"]
    service.expect("OpenShardCount follows a split", summary["OpenShardCount"], 3)


def check_ending(service: Service, parent: dict[str, Any], last_record: str, children: list[dict[str, Any]]) -> None:
    ending = int(parent["SequenceNumberRange"]["EndingSequenceNumber"])
    service.expect("a closed shard ends at or above its last record", ending >= int(last_record), True)
    beginnings = [int(child["SequenceNumberRange"]["StartingSequenceNumber"]) for child in children]
    law = "children of a split begin above it" if len(children) == 2 else "the child of a merge begins above it"
    service.expect(law, min(beginnings) > max(ending, int(last_record)), True)


def test_a_merge_closes_both_parents_and_opens_one_child_above_them(service: Service) -> None:
    stream = service.stream(3)
    ranges = [range_of(shard) for shard in stream.shards()]
    last = [stream.put(hash_key=start)["SequenceNumber"] for start, _ in ranges]
    stream.merge(0, 1)
    shards = stream.shards()
    assert [is_open(shard) for shard in shards] == [False, False, True, True]
    assert range_of(shards[3]) == (ranges[0][0], ranges[1][1])
    assert [shards[3].get("ParentShardId"), shards[3].get("AdjacentParentShardId")] == [shard_id(0), shard_id(1)]
    assert partition([shard for shard in shards if is_open(shard)])
    for parent in (0, 1):
        check_ending(service, shards[parent], last[parent], shards[3:])


def test_records_of_a_merge_stay_with_the_parents(service: Service) -> None:
    stream = service.stream(2)
    for shard, (start, _) in enumerate(map(range_of, stream.shards())):
        stream.put(str(shard), hash_key=start)
    stream.merge(0, 1)
    service.expect("a merge copies no record", [stream.read(shard) for shard in (0, 1, 2)], [["0"], ["1"], []])


def test_a_shard_cannot_be_split_at_its_edge_or_twice(service: Service) -> None:
    stream = service.stream(2)
    start, end = range_of(stream.shards()[1])
    split = service.client.split_shard

    def refused(shard: int, at: int) -> str:
        return code_of(lambda: split(StreamName=stream.name, ShardToSplit=shard_id(shard), NewStartingHashKey=str(at)))

    edges = {at: refused(1, at) for at in (start, end + 1, 0)}
    service.expect("no split at an edge", list(edges.values()), ["InvalidArgumentException"] * 3)
    stream.settle()
    service.expect("a shard to split must exist", refused(7, start + 2), "ResourceNotFoundException")
    target = 0
    stream.split(target)
    service.expect("no split of a closed shard", refused(target, 1_000), "InvalidArgumentException")


def test_only_neighbours_can_be_merged(service: Service) -> None:
    stream = service.stream(4)

    def refused(one: int, other: int) -> str:
        return code_of(
            lambda: service.client.merge_shards(
                StreamName=stream.name, ShardToMerge=shard_id(one), AdjacentShardToMerge=shard_id(other)
            )
        )

    assert [refused(0, 2), refused(0, 3)] == ["InvalidArgumentException"] * 2
    assert refused(1, 0) == "InvalidArgumentException", "the lower shard is named first"
    service.expect("a shard to merge must exist", refused(0, 9), "ResourceNotFoundException")


def test_the_shard_count_is_updated_to_equal_ranges(service: Service) -> None:
    stream = service.stream(2)
    unevenness: list[bool] = []
    for count in (4, 3):
        stream.scale(count)
        shards = [shard for shard in stream.shards() if is_open(shard)]
        assert len(shards) == count
        assert partition(shards)
        sizes = [end - start for start, end in map(range_of, shards)]
        unevenness.append(max(sizes) - min(sizes) > count)
    service.expect("UNIFORM_SCALING makes equal ranges", unevenness, [False, False])


def test_the_shard_count_at_most_doubles_and_at_most_halves(service: Service) -> None:
    stream = service.stream(4)
    observed = [code_of(lambda: stream.scale(9)), code_of(lambda: stream.scale(1))]
    service.expect("scaling has bounds", observed, ["InvalidArgumentException"] * 2)


def test_after_a_split_records_go_to_the_children(service: Service) -> None:
    stream = service.stream()
    stream.put("before")
    stream.split(0, 2**127)
    for hash_key in (0, 2**127 - 1, 2**127, HASH_KEY_MAX - 1):
        stream.put(str(hash_key), hash_key=hash_key)
    service.expect(
        "after a split records go to the children",
        [stream.read(shard) for shard in (0, 1, 2)],
        [["before"], ["0", str(2**127 - 1)], [str(2**127), str(HASH_KEY_MAX - 1)]],
    )


# Reading


def test_the_iterator_types_begin_where_their_names_say(service: Service) -> None:
    stream = service.stream()
    numbers = [stream.put(str(n))["SequenceNumber"] for n in range(5)]
    latest = stream.iterator(0, "LATEST")
    assert stream.read(0, "TRIM_HORIZON") == ["0", "1", "2", "3", "4"]
    assert stream.read(0, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[2]) == ["2", "3", "4"]
    assert stream.read(0, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[2]) == ["3", "4"]
    assert stream.read(0, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[4]) == []
    stream.put("5")
    assert [record["Data"] for record in stream.page(latest)["Records"]] == [b"5"]


def test_a_time_begins_with_the_first_record_that_arrived_in_it(service: Service) -> None:
    stream = service.stream()
    seconds: list[int] = []
    while not seconds or seconds[-1] == seconds[0]:
        stream.put(str(len(seconds)))
        seconds.append(int(stream.records(0)[-1]["ApproximateArrivalTimestamp"].timestamp()))
        assert len(seconds) < 200, "time stands still"
        if service.clock is None:
            time.sleep(0.05)
    later = datetime.fromtimestamp(seconds[-1], UTC)
    assert stream.read(0, "AT_TIMESTAMP", Timestamp=later) == [str(len(seconds) - 1)]
    earlier = datetime.fromtimestamp(seconds[0], UTC)
    assert len(stream.read(0, "AT_TIMESTAMP", Timestamp=earlier)) == len(seconds)


def test_a_shard_that_does_not_exist_has_no_iterator(service: Service) -> None:
    stream = service.stream()
    assert code_of(lambda: stream.iterator(9)) == "ResourceNotFoundException"


def test_an_iterator_needs_what_its_type_says_and_nothing_else(service: Service) -> None:
    stream = service.stream()
    number = stream.put()["SequenceNumber"]
    future = datetime.fromtimestamp(service.now_seconds() + 3_600, UTC)
    observed = {
        "AT without number": code_of(lambda: stream.iterator(0, "AT_SEQUENCE_NUMBER")),
        "AFTER without number": code_of(lambda: stream.iterator(0, "AFTER_SEQUENCE_NUMBER")),
        "LATEST with number": code_of(lambda: stream.iterator(0, "LATEST", StartingSequenceNumber=number)),
        "time without time": code_of(lambda: stream.iterator(0, "AT_TIMESTAMP")),
        "time to come": code_of(lambda: stream.iterator(0, "AT_TIMESTAMP", Timestamp=future)),
    }
    expected = dict.fromkeys(observed, "InvalidArgumentException")
    for case, code in observed.items():
        service.expect(f"iterator arguments: {case}", code, expected[case])
    service.expect(
        "iterator arguments: a type of our own", code_of(lambda: stream.iterator(0, "FIRST")), "ValidationException"
    )


def test_a_sequence_number_from_elsewhere_is_refused(service: Service) -> None:
    stream = service.stream(2)
    number = stream.put(hash_key=0)["SequenceNumber"]

    def refused(shard: int, text: str) -> str:
        return code_of(lambda: stream.iterator(shard, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=text))

    service.expect("a number of another shard is refused", refused(1, number), "InvalidArgumentException")
    service.expect("a number of no shard is refused", refused(0, "12345" * 8), "InvalidArgumentException")
    service.expect("a number that is none is refused", refused(0, "last"), "ValidationException")


def test_an_iterator_that_the_service_did_not_give_is_refused(service: Service) -> None:
    stream = service.stream()
    service.expect(
        "an invented iterator is refused", code_of(lambda: stream.page("invented")), "InvalidArgumentException"
    )


def test_an_iterator_reads_the_same_again(service: Service) -> None:
    stream = service.stream()
    for n in range(4):
        stream.put(str(n))
    iterator = stream.iterator(0)
    pages = [stream.page(iterator, Limit=2) for _ in range(2)]
    assert [[record["Data"] for record in page["Records"]] for page in pages] == [[b"0", b"1"]] * 2
    assert [record["Data"] for record in stream.page(pages[0]["NextShardIterator"])["Records"]] == [b"2", b"3"]


def test_a_page_has_at_most_limit_records_and_the_limit_ten_thousand(service: Service) -> None:
    stream = service.stream()
    for n in range(5):
        stream.put(str(n))
    pages = [stream.page(stream.iterator(0), Limit=3)]
    pages.append(stream.page(pages[0]["NextShardIterator"], Limit=3))
    assert [len(page["Records"]) for page in pages] == [3, 2]
    observed = [code_of(lambda limit=limit: stream.page(stream.iterator(0), Limit=limit)) for limit in (0, 10_001)]  # type: ignore[misc]
    service.expect("a limit out of range is refused", observed, ["ValidationException"] * 2)


def test_a_page_is_at_most_ten_mebibytes(service: Service) -> None:
    stream = service.stream()
    for _ in range(11):
        stream.put(b"x" * (MIB - KIB))
        if service.clock is not None:
            service.clock.advance(seconds=1)
    page = stream.page(stream.iterator(0))
    service.expect("a page has at most 10 MiB", len(page["Records"]), 10)


def test_millis_behind_latest_is_zero_at_the_tip_only(service: Service) -> None:
    stream = service.stream()
    for n in range(3):
        stream.put(str(n))
    page = stream.page(stream.iterator(0), Limit=1)
    rest = stream.page(page["NextShardIterator"])
    assert page["MillisBehindLatest"] > 0
    assert rest["MillisBehindLatest"] == 0


def test_a_closed_shard_ends_and_names_its_children(service: Service) -> None:
    stream = service.stream()
    for n in range(3):
        stream.put(str(n))
    reading = stream.iterator(0)
    stream.split(0, 2**127)
    records, children, iterator = read_to_end(stream, reading)
    assert records == ["0", "1", "2"]
    service.expect("a closed shard ends", iterator is None, True)
    service.expect(
        "the end of a split shard names both children",
        children,
        [(1, [0], 0, 2**127 - 1), (2, [0], 2**127, HASH_KEY_MAX)],
    )
    late_records, late_children, late_iterator = read_to_end(stream, stream.iterator(0, "LATEST"))
    assert [late_records, late_children] == [[], children]
    service.expect("a closed shard ends from LATEST, too", late_iterator is None, True)


def read_to_end(
    stream: TestedStream, iterator: str | None
) -> tuple[list[str], list[tuple[int, list[int], int, int]], str | None]:
    """What a shard gives until it ends, and the iterator that is left if it does not within a few calls."""
    records: list[str] = []
    children: list[tuple[int, list[int], int, int]] = []
    for _ in range(4):
        if iterator is None:
            break
        page = stream.page(iterator)
        records += [record["Data"].decode() for record in page["Records"]]
        children = [
            (number_of(child["ShardId"]), sorted(map(number_of, child["ParentShards"])), *range_of(child))
            for child in page.get("ChildShards") or []
        ]
        iterator = page.get("NextShardIterator")
    return records, sorted(children), iterator


def test_both_parents_of_a_merge_end_and_name_the_one_child(service: Service) -> None:
    stream = service.stream(2)
    stream.put("0", hash_key=0)
    stream.merge(0, 1)
    for parent, payloads in ((0, ["0"]), (1, [])):
        records, children, iterator = read_to_end(stream, stream.iterator(parent))
        assert records == payloads
        service.expect("a merged shard ends", iterator is None, True)
        service.expect("the end of a merged shard names the child", children, [(2, [0, 1], 0, HASH_KEY_MAX)])


def test_every_record_is_read_once_along_the_lineage(service: Service) -> None:
    stream = service.stream(2)
    put: list[str] = []

    def put_some() -> None:
        for _ in range(8):
            put.append(str(len(put)))
            stream.put(put[-1], hash_key=len(put) * (HASH_KEY_MAX // 40))

    put_some()
    stream.split(0)  # 0 -> 2, 3
    put_some()
    stream.merge(3, 1)  # 3, 1 -> 4
    put_some()
    stream.scale(4)
    put_some()
    read = [data for shard in stream.ids() for data in stream.read(shard)]
    service.expect("every record is read once along the lineage", sorted(read, key=int) == put, True)


# Limits and time


def test_a_sixth_read_within_a_second_is_refused(service: Service) -> None:
    stream = service.stream()
    stream.put("x")
    with service.standing_clock():
        iterators = [stream.iterator(0) for _ in range(2)]
        codes = [code_of(lambda: stream.page(iterators[0])) for _ in range(6)]
    service.expect(
        "the sixth read within a second is refused",
        codes,
        ["accepted"] * 5 + ["ProvisionedThroughputExceededException"],
    )


def test_the_thousand_and_first_record_within_a_second_fails_alone(service: Service) -> None:
    stream = service.stream()
    entries = [{"Data": b"x", "PartitionKey": "key"}] * 500
    with service.standing_clock():
        answers = [service.client.put_records(StreamName=stream.name, Records=entries) for _ in range(2)]
        third = service.client.put_records(StreamName=stream.name, Records=entries[:2])
    assert [answer["FailedRecordCount"] for answer in answers] == [0, 0]
    service.expect(
        "the 1,001st record within a second fails",
        [third["FailedRecordCount"], [entry.get("ErrorCode") for entry in third["Records"]]],
        [2, ["ProvisionedThroughputExceededException"] * 2],
    )


def test_every_known_deviation_is_asserted_by_a_test() -> None:
    source = Path(__file__).read_text()
    for _, law in DEVIATIONS:
        name = law.partition(": ")[0] if law.startswith("iterator arguments: ") else law
        name = "the filter {kind}" if law.startswith("the filter ") else name
        assert name in source, f"{law!r} stands in no test"
