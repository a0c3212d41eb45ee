"""What an audit finds: missing children, trimmed shards, holes, and finished rows that have had their day."""

import msgspec
import pytest

from kcl_py.core.audit import end_of_trimmed, holes, missing_children, removable, trimmed
from kcl_py.core.checkpoint import AT_TIMESTAMP, LATEST, SHARD_END, TRIM_HORIZON, Checkpoint
from kcl_py.core.lease import Lease
from kcl_py.core.lineage import Lineage
from kcl_py.core.listing import Listing, Listings
from kcl_py.core.shard import EVERY_HASH_KEY, HASH_KEY_MAX, HashRange, Shard

NUMBER = Checkpoint("77")
MIDDLE = 2**127
LEFT, RIGHT = HashRange(0, MIDDLE - 1), HashRange(MIDDLE, HASH_KEY_MAX)
# 0 -> 1, 2 -> 3, the last a merge
SHARDS = {
    "0": Shard(shard_id="0", hash_range=EVERY_HASH_KEY, ending_sequence_number="9"),
    "1": Shard(shard_id="1", hash_range=LEFT, parent_shard_ids=("0",), ending_sequence_number="19"),
    "2": Shard(shard_id="2", hash_range=RIGHT, parent_shard_ids=("0",), ending_sequence_number="19"),
    "3": Shard(shard_id="3", hash_range=EVERY_HASH_KEY, parent_shard_ids=("1", "2")),
}


def row(shard_id: str, checkpoint: Checkpoint, *children: str) -> Lease:
    lease = Lease.for_shard(SHARDS[shard_id], checkpoint)
    return msgspec.structs.replace(lease, child_shard_ids=children)


def lineage(*rows: Lease, listed: str = "0123", before: str | None = None, seconds: float = 60.0) -> Lineage:
    """These rows, and two listings of the named shards, `seconds` apart."""
    old, new = (Listing.of(SHARDS[key] for key in keys) for keys in (listed if before is None else before, listed))
    return Lineage(rows, Listings().seen(old, 0.0).seen(new, seconds))


def keys(leases: tuple[Lease, ...]) -> list[str]:
    return [lease.key for lease in leases]


# -- missing children ---------------------------------------------------------------------------------------------


def test_children_without_rows_below_a_finished_parent_are_made_at_the_horizon() -> None:
    found = missing_children(lineage(row("0", SHARD_END, "1", "2"), row("1", NUMBER)))
    assert found == (row("2", TRIM_HORIZON),)


def test_a_child_that_the_parents_row_does_not_name_is_found_in_the_listing() -> None:
    assert keys(missing_children(lineage(row("0", SHARD_END)))) == ["1", "2"]
    assert keys(missing_children(lineage(row("1", SHARD_END), row("2", NUMBER)))) == ["3"]


def test_children_of_an_unfinished_parent_are_made_at_its_end() -> None:
    assert missing_children(lineage(row("0", NUMBER))) == ()


def test_a_missing_child_that_is_trimmed_is_past_making() -> None:
    assert missing_children(lineage(row("0", SHARD_END, "1", "2"), listed="3")) == ()


# -- finished rows that may go ------------------------------------------------------------------------------------

ENDED = row("0", SHARD_END, "1", "2")


def test_a_finished_row_goes_once_its_children_moved_on_and_its_shard_is_gone() -> None:
    assert keys(removable(lineage(ENDED, row("1", NUMBER), row("2", SHARD_END), listed="123"))) == ["0"]


def test_a_finished_row_stays_while_a_listing_shows_its_shard_or_only_one_lacks_it() -> None:
    rows = (ENDED, row("1", NUMBER), row("2", NUMBER))
    assert removable(lineage(*rows, listed="0123")) == ()
    assert removable(lineage(*rows, listed="123", before="0123")) == ()
    assert removable(lineage(*rows, listed="0123", before="123")) == ()
    assert removable(lineage(*rows, listed="123", seconds=59.0)) == ()
    assert removable(Lineage(rows, Listings())) == ()


@pytest.mark.parametrize("checkpoint", [TRIM_HORIZON, LATEST, AT_TIMESTAMP])
def test_a_finished_row_stays_until_every_child_has_moved_on(checkpoint: Checkpoint) -> None:
    assert removable(lineage(ENDED, row("1", NUMBER), row("2", checkpoint), listed="123")) == ()


def test_a_finished_row_stays_while_a_child_has_no_row() -> None:
    assert removable(lineage(ENDED, row("1", NUMBER), listed="123")) == ()
    unnamed = row("0", SHARD_END)
    assert removable(lineage(unnamed, row("1", NUMBER), listed="123")) == ()
    assert keys(removable(lineage(unnamed, row("1", NUMBER), row("2", NUMBER), listed="123"))) == ["0"]


def test_a_finished_row_stays_while_a_parents_row_stands() -> None:
    rows = (ENDED, row("1", SHARD_END, "3"), row("2", SHARD_END, "3"), row("3", NUMBER))
    assert keys(removable(lineage(*rows, listed="3"))) == ["0"]
    assert keys(removable(lineage(*rows[1:], listed="3"))) == ["1", "2"]


def test_an_unfinished_row_never_goes() -> None:
    for checkpoint in (NUMBER, TRIM_HORIZON, LATEST):
        assert removable(lineage(row("0", checkpoint), listed="3")) == ()


# -- trimmed shards -----------------------------------------------------------------------------------------------


def test_an_unfinished_row_whose_shard_two_listings_lack_is_trimmed() -> None:
    assert keys(trimmed(lineage(row("1", NUMBER), listed="3"))) == ["1"]
    assert keys(trimmed(lineage(msgspec.structs.replace(row("1", NUMBER), hash_range=None), listed="3"))) == ["1"]


def test_a_shard_is_not_trimmed_because_one_listing_lacks_it() -> None:
    assert trimmed(lineage(row("1", NUMBER), listed="3", before="13")) == ()
    assert trimmed(lineage(row("1", NUMBER), listed="13", before="3")) == ()
    assert trimmed(lineage(row("1", NUMBER), listed="3", seconds=59.0)) == ()


def test_listings_without_that_part_of_the_hash_range_prove_no_trim() -> None:
    assert trimmed(lineage(row("1", NUMBER), listed="")) == ()
    assert trimmed(lineage(row("1", NUMBER), listed="2")) == ()
    assert trimmed(lineage(msgspec.structs.replace(row("1", NUMBER), hash_range=None), listed="2")) == ()


def test_a_shard_whose_parent_is_listed_was_left_out_and_not_trimmed() -> None:
    assert trimmed(lineage(row("1", NUMBER), listed="023")) == ()
    assert trimmed(lineage(row("1", NUMBER), listed="23", before="023")) == ()
    finished = (row("1", SHARD_END, "3"), row("3", NUMBER))
    assert removable(lineage(*finished, listed="023")) == ()
    assert keys(removable(lineage(*finished, listed="3"))) == ["1"]


def test_a_finished_row_is_not_trimmed() -> None:
    assert trimmed(lineage(ENDED, listed="123")) == ()


@pytest.mark.parametrize(
    ("gone", "listed", "heirs"),
    [
        ("0", "123", ["1", "2"]),
        ("0", "23", ["2"]),  # 3 follows at the end of 2
        ("1", "3", ["3"]),
    ],
)
def test_a_trimmed_shard_is_followed_by_what_is_left_of_its_descendants(
    gone: str, listed: str, heirs: list[str]
) -> None:
    end = end_of_trimmed(row(gone, NUMBER), lineage(listed=listed))
    assert list(end.child_shard_ids) == heirs
    assert {lease.checkpoint for lease in end.children} == {TRIM_HORIZON}


def test_when_the_children_are_trimmed_too_the_oldest_of_the_range_follow() -> None:
    assert end_of_trimmed(row("0", NUMBER), lineage(listed="3")).child_shard_ids == ("3",)


# -- holes --------------------------------------------------------------------------------------------------------


def test_unfinished_rows_cover_the_ring_or_leave_a_hole() -> None:
    assert holes(lineage(row("3", LATEST))) == ()
    assert holes(lineage(row("1", NUMBER), row("2", TRIM_HORIZON))) == ()
    assert holes(lineage(row("1", NUMBER))) == (RIGHT,)
    assert holes(lineage(row("1", SHARD_END), row("2", NUMBER))) == (LEFT,)
    assert holes(lineage()) == (EVERY_HASH_KEY,)


def test_a_row_without_a_range_has_that_of_its_listed_shard() -> None:
    bare = msgspec.structs.replace(row("1", NUMBER), hash_range=None)
    assert holes(lineage(bare, row("2", NUMBER))) == ()
    assert holes(lineage(bare, row("2", NUMBER), listed="3")) == (LEFT,)
