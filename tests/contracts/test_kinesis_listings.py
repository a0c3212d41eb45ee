"""Pages and filters of a shard listing. One contract for everything that speaks Kinesis."""

from datetime import UTC, datetime
from typing import Any

from tests.contracts.kinesis_deviations import DEVIATIONS
from tests.contracts.kinesis_services import Service
from tests.contracts.tested_stream import TestedStream, code_of, number_of, shard_id


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
