"""Parents before children, by the rules of fleet.md, section 8: one test for every way to wait and not to wait."""

import pytest

from kcl_py.core.checkpoint import AT_TIMESTAMP, LATEST, SHARD_END, TRIM_HORIZON, Checkpoint
from kcl_py.core.lease import Lease
from kcl_py.core.lineage import Gate, Lineage
from kcl_py.core.listing import CONFIRM_SECONDS, REMEMBERED_MAX, Listing, Listings
from kcl_py.core.shard import EVERY_HASH_KEY, HashRange, Shard

NUMBER = Checkpoint("77")


def listed(*shard_ids: str) -> Listing:
    return Listing.of(
        Shard(shard_id=shard_id, hash_range=HashRange(0, 9), ending_sequence_number="1") for shard_id in shard_ids
    )


def twice(listing: Listing) -> Listings:
    """The same listing, seen twice and far enough apart."""
    return Listings().seen(listing, 0.0).seen(listing, CONFIRM_SECONDS)


def gate(child: Lease, *others: Lease, listings: Listings | None = None) -> Gate:
    if listings is None:
        listings = twice(listed("parent", "other", "child"))
    return Lineage([child, *others], listings).may_start(child)


def child(checkpoint: Checkpoint = TRIM_HORIZON, *parents: str) -> Lease:
    return Lease(key="child", checkpoint=checkpoint, parent_shard_ids=parents or ("parent",))


def test_a_shard_without_parents_may_start() -> None:
    assert gate(Lease(key="child", checkpoint=TRIM_HORIZON)).is_open


@pytest.mark.parametrize("checkpoint", [TRIM_HORIZON, LATEST, AT_TIMESTAMP, NUMBER])
@pytest.mark.parametrize("own", [TRIM_HORIZON, LATEST, AT_TIMESTAMP, NUMBER])
def test_a_parent_with_a_row_is_awaited_until_it_says_shard_end(own: Checkpoint, checkpoint: Checkpoint) -> None:
    waiting = gate(child(own), Lease(key="parent", checkpoint=checkpoint))
    assert waiting == Gate(unfinished=("parent",))
    assert str(waiting) == "parent is not finished"
    assert gate(child(own), Lease(key="parent", checkpoint=SHARD_END)).is_open


def test_both_parents_of_a_merge_are_awaited() -> None:
    merged = child(TRIM_HORIZON, "other", "parent")
    done, open_ = Lease(key="parent", checkpoint=SHARD_END), Lease(key="other", checkpoint=NUMBER)
    assert gate(merged, done, open_) == Gate(unfinished=("other",))
    assert gate(merged, done) == Gate(missing=("other",))
    assert gate(merged) == Gate(missing=("other", "parent"))
    assert gate(merged, done, Lease(key="other", checkpoint=SHARD_END)).is_open


def test_a_parent_without_a_row_is_awaited_while_it_may_be_in_the_stream() -> None:
    waiting = gate(child())
    assert waiting == Gate(missing=("parent",))
    assert waiting.parents == ("parent",)
    assert str(waiting) == "parent has no row, and may still be in the stream"


@pytest.mark.parametrize("checkpoint", [NUMBER, Checkpoint("0"), SHARD_END])
def test_a_child_that_has_delivered_waits_for_no_row_that_is_gone(checkpoint: Checkpoint) -> None:
    assert gate(child(checkpoint)).is_open


@pytest.mark.parametrize("checkpoint", [LATEST, AT_TIMESTAMP])
def test_a_bootstrap_row_leaves_the_past_out(checkpoint: Checkpoint) -> None:
    assert gate(child(checkpoint)).is_open


@pytest.mark.parametrize(("checkpoint", "is_open"), [(NUMBER, True), (SHARD_END, True), (TRIM_HORIZON, False)])
def test_another_child_that_has_started_shows_that_the_parent_was_done(checkpoint: Checkpoint, is_open: bool) -> None:
    sibling = Lease(key="sibling", checkpoint=checkpoint, parent_shard_ids=("parent",))
    assert gate(child(), sibling).is_open == is_open


def test_the_childs_own_row_is_not_another_child() -> None:
    stranger = Lease(key="stranger", checkpoint=NUMBER, parent_shard_ids=("elsewhere",))
    assert not gate(child(), stranger).is_open


def test_a_parent_that_two_listings_lack_is_given_up() -> None:
    without = listed("child")
    assert gate(child(), listings=twice(without)).is_open
    assert not gate(child(), listings=Listings().seen(without, 0.0)).is_open
    too_soon = Listings().seen(without, 0.0).seen(without, CONFIRM_SECONDS - 1)
    assert not gate(child(), listings=too_soon).is_open
    assert gate(child(), listings=too_soon.seen(without, CONFIRM_SECONDS)).is_open


def test_a_listing_without_the_child_says_nothing_of_its_parents() -> None:
    assert not gate(child(), listings=twice(listed("other"))).is_open


def test_a_child_that_is_trimmed_itself_waits_for_no_parent_that_nobody_lists() -> None:
    leaf = Shard(shard_id="leaf", hash_range=EVERY_HASH_KEY)
    instead, with_parent = Listing.of([leaf]), Listing.of([leaf, *listed("parent").shards.values()])
    assert gate(child(), listings=twice(instead)).is_open
    assert not gate(child(), listings=Listings().seen(instead, 0.0)).is_open
    assert not gate(child(), listings=Listings().seen(instead, 0.0).seen(with_parent, 30.0).seen(instead, 60.0)).is_open
    assert not gate(child(), Lease(key="parent", checkpoint=NUMBER), listings=twice(instead)).is_open
    older = Listing.of([Shard(shard_id="an older one", hash_range=EVERY_HASH_KEY)])
    assert not gate(child(), listings=twice(older)).is_open, "the child is so new that no listing has it yet"


def test_a_parent_that_one_listing_in_between_shows_is_not_given_up() -> None:
    without, with_parent = listed("child"), listed("parent", "child")
    listings = Listings().seen(without, 0.0).seen(with_parent, 30.0).seen(without, 60.0)
    assert not gate(child(), listings=listings).is_open
    assert not gate(child(), listings=listings.seen(without, 80.0)).is_open
    assert gate(child(), listings=listings.seen(without, 100.0).seen(without, 130.0)).is_open


def test_nothing_is_concluded_from_no_listing_at_all() -> None:
    assert not Listings().agree(lambda listing: True)
    assert not gate(child(), listings=Listings()).is_open
    assert Listings().newest is None


def test_a_burst_of_listings_is_not_kept_whole_and_still_spans_the_minute() -> None:
    listings = Listings()
    for second in range(600):
        listings = listings.seen(listed("child"), float(second))
        assert len(listings.window) <= REMEMBERED_MAX
        assert listings.lack("parent") == (second >= CONFIRM_SECONDS)
    newest = listed("parent")
    assert listings.seen(newest, 600.0).newest is newest


def test_a_shard_that_is_listed_twice_counts_once_as_closed() -> None:
    open_, closed = (
        Shard(shard_id="s", hash_range=HashRange(0, 9), ending_sequence_number=ending) for ending in (None, "5")
    )
    for shards in ([open_, closed], [closed, open_]):
        listing = Listing.of(shards)
        assert list(listing.shards) == ["s"]
        assert listing.shards["s"].is_closed


def test_a_listing_knows_who_descends_from_whom_even_if_the_parent_is_trimmed() -> None:
    shards = [
        Shard(shard_id="2", hash_range=HashRange(0, 9), parent_shard_ids=("0", "1")),
        Shard(shard_id="1", hash_range=HashRange(5, 9), ending_sequence_number="5"),
    ]
    listing = Listing.of(shards)
    assert [shard.shard_id for shard in listing.children_of("0")] == ["2"]
    assert [shard.shard_id for shard in listing.parents_of("2")] == ["1"]
    assert [shard.shard_id for shard in listing.roots] == ["1"]
    assert [shard.shard_id for shard in listing.leaves] == ["2"]


def test_a_parent_of_a_shard_that_was_open_at_the_trim_horizon_is_out_of_scope_unless_it_is_listed() -> None:
    def at_horizon(listing: Listing) -> Gate:
        return Lineage([child()], Listings().seen(listing, 0.0), at_horizon={"child"}).may_start(child())

    assert at_horizon(listed("child")).is_open
    assert not at_horizon(listed("child", "parent")).is_open
    assert not at_horizon(listed("other")).is_open
    assert not Lineage([child()], Listings().seen(listed("child"), 0.0)).may_start(child()).is_open
