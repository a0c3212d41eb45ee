"""Hash ranges are inclusive, and what they leave uncovered is told exactly."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kcl_py.core.shard import EVERY_HASH_KEY, HASH_KEY_MAX, HashRange, Shard

RING = 12  # a small ring, so that every hash key can be looked at
ranges = st.tuples(st.integers(0, RING), st.integers(0, RING)).map(lambda pair: HashRange(min(pair), max(pair)))


def keys_in(*hash_ranges: HashRange) -> set[int]:
    """Every hash key of these ranges, one by one."""
    return {key for key in range(RING + 1) if any(key in hash_range for hash_range in hash_ranges)}


@given(ranges, st.lists(ranges, max_size=6))
def test_what_is_left_of_a_range_is_exactly_what_no_other_covers(whole: HashRange, taken: list[HashRange]) -> None:
    left = whole.without(taken)
    assert keys_in(*left) == keys_in(whole) - keys_in(*taken)
    assert all(before.end + 1 < after.start for before, after in pairwise(left))


@given(ranges, ranges)
def test_two_ranges_overlap_if_they_share_a_key(one: HashRange, other: HashRange) -> None:
    assert one.overlaps(other) == bool(keys_in(one) & keys_in(other))


def test_both_ends_of_a_range_are_in_it() -> None:
    hash_range = HashRange(10, 20)
    assert [key in hash_range for key in (9, 10, 20, 21)] == [False, True, True, False]
    assert 0 in EVERY_HASH_KEY
    assert HASH_KEY_MAX in EVERY_HASH_KEY
    assert 2**128 not in EVERY_HASH_KEY


def test_a_shard_is_closed_once_its_sequence_ends() -> None:
    shard = Shard(shard_id="s", hash_range=EVERY_HASH_KEY)
    assert not shard.is_closed
    assert Shard(shard_id="s", hash_range=EVERY_HASH_KEY, ending_sequence_number="0").is_closed


def test_shards_sort_by_the_number_they_start_at_and_then_by_id() -> None:
    places = [("b", "9"), ("a", "10"), ("c", "9")]
    shards = [Shard(shard_id=key, hash_range=EVERY_HASH_KEY, starting_sequence_number=at) for key, at in places]
    assert [shard.shard_id for shard in sorted(shards, key=lambda shard: shard.age_order)] == ["b", "c", "a"]
