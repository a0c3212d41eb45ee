"""What holds in the model after any sequence of puts, splits, merges and updates of the shard count."""

from itertools import pairwise
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from kcl_py.core.shard import HASH_KEY_MAX
from kcl_py.local import answers, requests
from kcl_py.local.hash_key import equal_ranges, hash_of
from kcl_py.local.sequence_number import PLACE_MAX, SequenceNumber
from tests.local.model_driver import NAME, ModelDriver

Step = tuple[Literal["put", "split", "merge", "scale", "wait"], int, int]
steps = st.lists(
    st.tuples(
        st.sampled_from(("put", "put", "put", "split", "merge", "scale", "wait")),
        st.integers(0, 1_000),
        st.integers(0, HASH_KEY_MAX),
    ),
    max_size=40,
)
_SHARDS_MAX = 24


def range_of(shard: answers.Shard) -> tuple[int, int]:
    return int(shard.hash_key_range.starting_hash_key), int(shard.hash_key_range.ending_hash_key)


def run(shard_count: int, story: list[Step]) -> tuple[ModelDriver, list[answers.PutRecordAnswer]]:
    """Take the steps; a step that is not possible where it stands is left out."""
    driver = ModelDriver(shard_count=shard_count)
    puts: list[answers.PutRecordAnswer] = []
    for kind, choice, hash_key in story:
        take(driver, puts, kind, choice, hash_key)
    return driver, puts


def take(driver: ModelDriver, puts: list[answers.PutRecordAnswer], kind: str, choice: int, hash_key: int) -> None:
    shards = driver.open_shards()
    place = choice % len(shards)
    start, end = range_of(shards[place])
    if kind == "put":
        puts.append(driver.put(str(len(puts)).encode(), hash_key=hash_key))
    elif kind == "wait":
        driver.clock.advance(seconds=choice / 100)
    elif kind == "split" and end - start > 4 and len(shards) < _SHARDS_MAX:
        driver.split(shards[place].shard_id, start + 2 + hash_key % (end - start - 2))
    elif kind == "merge" and place + 1 < len(shards):
        driver.merge(shards[place].shard_id, shards[place + 1].shard_id)
    elif kind == "scale":
        least, most = (len(shards) + 1) // 2, min(len(shards) * 2, _SHARDS_MAX)
        driver.scale(least + choice % max(1, most - least + 1))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 6), steps)
def test_open_shards_always_partition_the_hash_space(shard_count: int, story: list[Step]) -> None:
    driver, _ = run(shard_count, story)
    ranges = [range_of(shard) for shard in driver.open_shards()]
    assert [ranges[0][0], ranges[-1][1]] == [0, HASH_KEY_MAX]
    assert all(low[1] + 1 == high[0] for low, high in pairwise(ranges))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 6), steps)
def test_sequence_numbers_rise_within_a_shard_and_from_parents_to_children(shard_count: int, story: list[Step]) -> None:
    driver, puts = run(shard_count, story)
    shards = {shard.shard_id: shard for shard in driver.shards()}
    for shard in shards.values():
        numbers = [int(put.sequence_number) for put in puts if put.shard_id == shard.shard_id]
        bounds = shard.sequence_number_range
        ending = bounds.ending_sequence_number
        rising = [int(bounds.starting_sequence_number), *numbers, *([] if ending is None else [int(ending)])]
        assert all(before < after for before, after in pairwise(rising))
        for parent_id in (shard.parent_shard_id, shard.adjacent_parent_shard_id):
            if parent_id is not None:
                parent_ending = shards[parent_id].sequence_number_range.ending_sequence_number
                assert parent_ending is not None
                assert int(parent_ending) < int(bounds.starting_sequence_number)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 6), steps, st.integers(1, 5))
def test_every_record_is_read_once_and_in_order_by_walking_the_lineage(
    shard_count: int, story: list[Step], limit: int
) -> None:
    driver, puts = run(shard_count, story)
    read: list[bytes] = []
    waiting = [shard.shard_id for shard in driver.shards(requests.ShardFilter(type="AT_TRIM_HORIZON"))]
    seen: set[str] = set()
    ended: set[str] = set()
    while waiting:
        shard_id = waiting.pop(0)
        seen.add(shard_id)
        payloads, children = read_to_end(driver, shard_id, limit)
        assert payloads == [str(n).encode() for n, put in enumerate(puts) if put.shard_id == shard_id]
        read += payloads
        ended.add(shard_id)
        for child in children:
            if child.shard_id not in seen and child.shard_id not in waiting and ended.issuperset(child.parent_shards):
                waiting.append(child.shard_id)
    assert sorted(read, key=int) == [str(n).encode() for n in range(len(puts))]


def read_to_end(driver: ModelDriver, shard_id: str, limit: int) -> tuple[list[bytes], tuple[answers.ChildShard, ...]]:
    payloads: list[bytes] = []
    iterator = driver.iterator(shard_id)
    while True:
        page = driver.page(iterator, limit)
        payloads += [record.data for record in page.records]
        if page.next_shard_iterator is None:
            return payloads, page.child_shards
        if page.millis_behind_latest == 0:
            return payloads, ()
        iterator = page.next_shard_iterator


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 6), steps, st.lists(st.text(min_size=1, max_size=20), max_size=10))
def test_a_record_goes_to_the_open_shard_whose_range_holds_its_hash(
    shard_count: int, story: list[Step], keys: list[str]
) -> None:
    driver, _ = run(shard_count, story)
    ranges = {shard.shard_id: range_of(shard) for shard in driver.open_shards()}
    for key in keys:
        start, end = ranges[driver.put(key=key).shard_id]
        assert start <= hash_of(key) <= end


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 6), steps, st.integers(0, 400))
def test_the_shards_open_at_any_one_moment_partition_the_hash_space(
    shard_count: int, story: list[Step], back_seconds: int
) -> None:
    driver, _ = run(shard_count, story)
    stream = driver.model.stream(NAME, None, driver.clock())
    moment_ms = max(stream.created_ms, driver.clock() - back_seconds * 100)
    ranges = sorted(
        (shard.hash_range.start, shard.hash_range.end) for shard in stream.shards if shard.is_open_at(moment_ms)
    )
    assert [ranges[0][0], ranges[-1][1]] == [0, HASH_KEY_MAX]
    assert all(low[1] + 1 == high[0] for low, high in pairwise(ranges))


@given(
    st.builds(
        SequenceNumber,
        st.integers(0, 2**36 - 1),
        st.integers(0, 2**31 - 1),
        st.integers(0, PLACE_MAX),
        st.integers(0, 2**36 - 1),
    )
)
def test_a_sequence_number_is_read_as_it_was_written(number: SequenceNumber) -> None:
    assert SequenceNumber.parse(str(number)) == number
    assert int(str(number)).bit_length() == 186
    assert (int(str(number)) >> 4) & 0xFFFFFFFF == number.shard_index


@given(st.integers(1, 2_000))
def test_equal_ranges_are_equal_but_for_what_is_left_over(count: int) -> None:
    ranges = equal_ranges(count)
    sizes = [hash_range.end - hash_range.start + 1 for hash_range in ranges]
    assert sum(sizes) == HASH_KEY_MAX + 1
    assert set(sizes[:-1]) <= {sizes[0]}
    assert sizes[-1] - sizes[0] < count
