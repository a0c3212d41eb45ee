"""Where one look is not enough: half-known families, listings that contradict each other, and rows without listings."""

import msgspec
import pytest

from kcl_py.core.audit import end_of_trimmed, trimmed
from kcl_py.core.bootstrap import Incomplete, Start, missing_leases
from kcl_py.core.checkpoint import SHARD_END, TRIM_HORIZON, Checkpoint
from kcl_py.core.leadership import LeaderLock, LockWatch
from kcl_py.core.lease import Lease
from kcl_py.core.lineage import Gate, Lineage
from kcl_py.core.listing import Listing, Listings
from kcl_py.core.liveness import Liveness
from kcl_py.core.position import StartPosition
from kcl_py.core.shard import EVERY_HASH_KEY, HASH_KEY_MAX, ChildShard, HashRange, Shard
from kcl_py.core.shard_end import ShardEnd, Unconfirmed, shard_end

MIDDLE = 2**127
LEFT, RIGHT = HashRange(0, MIDDLE - 1), HashRange(MIDDLE, HASH_KEY_MAX)
NUMBER = Checkpoint("77")


def shard(shard_id: str, hash_range: HashRange, *parents: str, born: int = 0, closed: bool = False) -> Shard:
    return Shard(
        shard_id=shard_id,
        hash_range=hash_range,
        parent_shard_ids=parents,
        starting_sequence_number=str(born),
        ending_sequence_number=str(born + 9) if closed else None,
    )


def child(shard_id: str, hash_range: HashRange, *parents: str) -> ChildShard:
    return ChildShard(shard_id=shard_id, hash_range=hash_range, parent_shard_ids=parents)


def row(shard_id: str, *parents: str, checkpoint: Checkpoint = TRIM_HORIZON, within: HashRange | None = None) -> Lease:
    return Lease(key=shard_id, checkpoint=checkpoint, parent_shard_ids=parents, hash_range=within)


def listed(*listings: list[Shard]) -> Listings:
    """These listings, a minute between the first and the last."""
    seen = Listings()
    for number, shards in enumerate(listings):
        seen = seen.seen(Listing.of(shards), 60.0 * number / max(1, len(listings) - 1))
    return seen


# -- the end of a shard -------------------------------------------------------------------------------------------

PARENT = shard("p", LEFT, closed=True)
QUARTER, REST = HashRange(0, MIDDLE // 2 - 1), HashRange(MIDDLE // 2, MIDDLE - 1)


@pytest.mark.parametrize("within", [LEFT, None])
def test_two_children_that_leave_a_hole_are_not_all_of_them(within: HashRange | None) -> None:
    children = [child("a", QUARTER, "p"), child("b", HashRange(MIDDLE // 2, MIDDLE - 9), "p")]
    listings = listed([PARENT]) if within is None else Listings()
    assert isinstance(shard_end(row("p", within=within), children, listings), Unconfirmed)


def test_a_shard_of_which_nothing_is_known_has_not_ended() -> None:
    assert isinstance(shard_end(row("p"), [], Listings()), Unconfirmed)


def test_one_child_of_two_is_no_end_while_the_listings_show_the_shard_open() -> None:
    stale = [shard("p", LEFT)]
    assert isinstance(shard_end(row("p", within=LEFT), [child("a", QUARTER, "p")], listed(stale, stale)), Unconfirmed)


def test_a_child_that_an_earlier_listing_showed_is_not_forgotten_when_the_newest_lacks_it() -> None:
    both = [PARENT, shard("a", QUARTER, "p"), shard("b", REST, "p")]
    listings = listed(both, both[:2])
    assert isinstance(shard_end(row("p", within=LEFT), [child("a", QUARTER, "p")], listings), Unconfirmed)


def test_the_page_adds_the_parent_that_the_listing_forgot() -> None:
    listings = listed([PARENT, shard("m", EVERY_HASH_KEY, "p")])
    end = shard_end(row("p", within=LEFT), [child("m", EVERY_HASH_KEY, "o", "p")], listings)
    assert isinstance(end, ShardEnd)
    assert [one.parent_shard_ids for one in end.children] == [("o", "p")]


# -- a shard that is trimmed --------------------------------------------------------------------------------------


def test_a_child_whose_other_parent_is_still_listed_follows_a_trimmed_shard() -> None:
    shards = [shard("o", RIGHT, closed=True), shard("m", EVERY_HASH_KEY, "o", "p", born=10)]
    lease = row("p", within=LEFT)
    lineage = Lineage([lease], listed(shards, shards))
    assert trimmed(lineage) == (lease,)
    assert end_of_trimmed(lease, lineage).child_shard_ids == ("m",)


def test_the_oldest_shards_of_another_part_of_the_ring_do_not_follow_a_trimmed_one() -> None:
    shards = [shard("l", LEFT, born=10), shard("r", RIGHT, born=10)]
    lineage = Lineage([], listed(shards, shards))
    assert end_of_trimmed(row("p", within=LEFT), lineage).child_shard_ids == ("l",)
    assert end_of_trimmed(row("p"), lineage).child_shard_ids == ("l", "r"), "it may have been anywhere"


def test_a_listing_covers_a_part_of_the_ring_though_the_rest_is_missing() -> None:
    listing = Listing.of([shard("l", LEFT)])
    assert [listing.covers(within) for within in (LEFT, RIGHT, None)] == [True, False, False]


# -- who may start ------------------------------------------------------------------------------------------------


def test_a_gate_is_open_when_nothing_is_waited_for_and_says_what_is() -> None:
    assert Gate().is_open
    assert str(Gate()) == "may start"
    for gate in (Gate(unfinished=("p",)), Gate(missing=("p",))):
        assert not gate.is_open
        assert "p" in str(gate)


def test_without_a_listing_a_lineage_knows_of_no_shard() -> None:
    assert Lineage([row("p")], Listings()).listing.shards == {}
    assert Lineage([row("p")], Listings()).unlisted == (row("p"),)


def test_a_row_that_was_read_since_may_start_by_what_it_says_now() -> None:
    assert Lineage([row("c", "p")], Listings()).may_start(row("c", "p", checkpoint=NUMBER)).is_open


def test_ancestors_are_followed_however_many_ways_lead_back() -> None:
    shards = [shard("0l", LEFT), shard("0r", RIGHT)]
    for age in range(1, 60):
        parents = (f"{age - 1}l", f"{age - 1}r")
        shards += [shard(f"{age}l", LEFT, *parents, born=age), shard(f"{age}r", RIGHT, *parents, born=age)]
    assert Listing.of(shards).is_ancestry_whole("59l")
    assert not Listing.of(shards[1:]).is_ancestry_whole("59l")


# -- rows that are missing ----------------------------------------------------------------------------------------

FROM_LATEST = Start(StartPosition.LATEST, 1_700_000_000_000)


def test_below_a_finished_row_whose_shard_was_trimmed_nothing_begins_anew() -> None:
    listing = Listing.of([shard("c", EVERY_HASH_KEY, "p", born=10)])
    assert missing_leases(listing, [row("p", checkpoint=SHARD_END, within=EVERY_HASH_KEY)], FROM_LATEST) == ()


def test_a_row_beside_its_listed_parent_is_newer_than_the_listing_though_older_ones_are_trimmed() -> None:
    listing = Listing.of([shard("p", EVERY_HASH_KEY, "trimmed", born=10)])
    rows = [row("p", "trimmed", checkpoint=SHARD_END), row("c", "p", within=EVERY_HASH_KEY)]
    assert isinstance(missing_leases(listing, rows, FROM_LATEST), Incomplete)


def test_a_missing_parent_that_is_not_listed_is_not_made() -> None:
    listing = Listing.of([shard("c", EVERY_HASH_KEY, "p", born=10)])
    assert missing_leases(listing, [row("c", "p", within=EVERY_HASH_KEY)], FROM_LATEST) == ()


# -- who lives ----------------------------------------------------------------------------------------------------


def test_a_leader_that_was_seen_to_live_stays_known_and_one_that_vanished_proves_none() -> None:
    first = LeaderLock(owner="a@00000001", version="1", duration_ms=10_000)
    watch, is_led = LockWatch(), []
    for at, lock in enumerate((first, None, first, msgspec.structs.replace(first, version="2"), None, first)):
        watch.saw(lock, float(at))
        is_led.append(watch.is_led)
    assert is_led == [False, False, False, True, True, True]


def test_a_gap_between_two_looks_counts_though_nobody_asked_meanwhile() -> None:
    liveness = Liveness(10.0)
    for at in (0.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 15.0):
        liveness.saw({"a": 1}, at)
    assert liveness.silent(15.0) == ()
    assert liveness.quiet_seconds("a", 15.0) == 9.0
