"""When a shard is at its end, and which children's rows must stand first."""

from kcl_py.core.checkpoint import TRIM_HORIZON
from kcl_py.core.lease import Lease
from kcl_py.core.listing import Listing, Listings
from kcl_py.core.shard import ChildShard, HashRange, Shard
from kcl_py.core.shard_end import ShardEnd, Unconfirmed, shard_end

PARENT = Lease(key="parent", checkpoint=TRIM_HORIZON, hash_range=HashRange(0, 9))
LEFT = ChildShard(shard_id="left", hash_range=HashRange(0, 4), parent_shard_ids=("parent",))
RIGHT = ChildShard(shard_id="right", hash_range=HashRange(5, 9), parent_shard_ids=("parent",))
MERGED = ChildShard(shard_id="merged", hash_range=HashRange(0, 19), parent_shard_ids=("parent", "other"))


def listing(*children: ChildShard, parent: str | None = "closed") -> Listing:
    shards = [
        Shard(shard_id=child.shard_id, hash_range=child.hash_range, parent_shard_ids=child.parent_shard_ids)
        for child in children
    ]
    if parent is not None:
        ending = "5" if parent == "closed" else None
        shards.append(Shard(shard_id="parent", hash_range=HashRange(0, 9), ending_sequence_number=ending))
    return Listing.of(shards)


def once(*children: ChildShard, parent: str | None = "closed") -> Listings:
    return Listings().seen(listing(*children, parent=parent), 0.0)


def twice(*children: ChildShard, parent: str | None = "closed") -> Listings:
    return once(*children, parent=parent).seen(listing(*children, parent=parent), 60.0)


def children(end: ShardEnd | Unconfirmed) -> tuple[str, ...]:
    assert isinstance(end, ShardEnd), end
    assert all(row.checkpoint == TRIM_HORIZON for row in end.children)
    assert all(row.owner is None and row.hash_range is not None for row in end.children)
    return end.child_shard_ids


def test_the_children_that_the_page_names_get_rows_at_the_horizon() -> None:
    assert children(shard_end(PARENT, [LEFT, RIGHT], Listings())) == ("left", "right")
    assert children(shard_end(PARENT, [MERGED], Listings())) == ("merged",)


def test_what_the_page_names_counts_even_if_the_listing_is_behind() -> None:
    assert children(shard_end(PARENT, [RIGHT, LEFT], once(parent="open"))) == ("left", "right")


def test_a_page_without_children_is_completed_by_the_listing() -> None:
    assert children(shard_end(PARENT, [], once(LEFT, RIGHT))) == ("left", "right")
    assert children(shard_end(PARENT, [LEFT], once(LEFT, RIGHT))) == ("left", "right")
    assert children(shard_end(PARENT, [], once(MERGED, parent=None))) == ("merged",)


def test_a_shard_that_is_listed_as_open_did_not_end() -> None:
    for listings in (once(parent="open"), twice(parent="open"), twice(LEFT, RIGHT, parent="open")):
        answer = shard_end(PARENT, [], listings)
        assert answer == Unconfirmed("parent has no next iterator and names no children, but is listed as open")


def test_without_any_listing_a_page_without_children_proves_nothing() -> None:
    assert isinstance(shard_end(PARENT, [], Listings()), Unconfirmed)


def test_no_children_are_believed_only_when_two_listings_agree() -> None:
    assert isinstance(shard_end(PARENT, [], once()), Unconfirmed)
    assert isinstance(shard_end(PARENT, [], once().seen(listing(), 59.0)), Unconfirmed)
    assert children(shard_end(PARENT, [], twice())) == ()


def test_a_shard_that_is_not_listed_is_not_at_its_end() -> None:
    assert isinstance(shard_end(PARENT, [], twice(parent=None)), Unconfirmed)
    unrelated = ChildShard(shard_id="x", hash_range=HashRange(0, 9), parent_shard_ids=("elsewhere",))
    assert isinstance(shard_end(PARENT, [unrelated], twice(unrelated, parent=None)), Unconfirmed)


def test_one_child_of_two_is_not_all_of_them() -> None:
    assert isinstance(shard_end(PARENT, [LEFT], Listings()), Unconfirmed)
    assert isinstance(shard_end(PARENT, [LEFT], once(LEFT)), Unconfirmed)
    assert children(shard_end(PARENT, [LEFT], twice(LEFT))) == ("left",)


def test_a_merged_child_that_names_one_parent_only_is_not_believed() -> None:
    half = ChildShard(shard_id="merged", hash_range=HashRange(0, 19), parent_shard_ids=("parent",))
    assert isinstance(shard_end(PARENT, [half], Listings()), Unconfirmed)


def test_the_listing_adds_the_parent_that_the_page_forgot() -> None:
    half = ChildShard(shard_id="merged", hash_range=HashRange(0, 19), parent_shard_ids=("parent",))
    end = shard_end(PARENT, [half], once(MERGED))
    assert isinstance(end, ShardEnd)
    assert end.children[0].parent_shard_ids == ("other", "parent")


def test_a_row_without_a_hash_range_has_that_of_the_listed_shard() -> None:
    bare = Lease(key="parent", checkpoint=TRIM_HORIZON)
    assert isinstance(shard_end(bare, [LEFT], once(LEFT)), Unconfirmed)
    assert children(shard_end(bare, [LEFT, RIGHT], Listings())) == ("left", "right")
    assert children(shard_end(bare, [MERGED], Listings())) == ("merged",)
    assert isinstance(shard_end(bare, [LEFT], Listings()), Unconfirmed)


def test_children_of_somebody_else_are_ignored() -> None:
    stranger = ChildShard(shard_id="x", hash_range=HashRange(0, 9), parent_shard_ids=("elsewhere",))
    assert isinstance(shard_end(PARENT, [stranger], Listings()), Unconfirmed)
    assert children(shard_end(PARENT, [stranger, LEFT, RIGHT], Listings())) == ("left", "right")
