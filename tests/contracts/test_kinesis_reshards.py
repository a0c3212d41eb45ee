"""What splits, merges and updates of the shard count leave behind. One contract for everything that speaks Kinesis."""

from typing import Any

from kcl_py.core.shard import HASH_KEY_MAX
from tests.contracts.kinesis_services import Service
from tests.contracts.tested_stream import code_of, is_open, number_of, partition, range_of, shard_id


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
