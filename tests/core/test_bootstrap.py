"""The rows that a table gets before anything is consumed: section 4.2 of the protocol reference, and beyond."""

import msgspec
import pytest

from kcl_py.core.bootstrap import LATEST_MARGIN_MS, Incomplete, Start, first_leases, generations, missing_leases
from kcl_py.core.checkpoint import AT_TIMESTAMP, LATEST, SHARD_END, TRIM_HORIZON, Checkpoint
from kcl_py.core.lease import Lease
from kcl_py.core.listing import Listing
from kcl_py.core.position import StartPosition
from kcl_py.core.shard import HashRange, Shard

NOW_MS = 1_700_000_000_000
FROM_HORIZON = Start(StartPosition.TRIM_HORIZON, NOW_MS)
FROM_LATEST = Start(StartPosition.LATEST, NOW_MS)
FROM_TIME = Start(StartPosition("AT_TIMESTAMP", 5_000), NOW_MS)
STARTS = [FROM_HORIZON, FROM_LATEST, FROM_TIME]
NUMBER = Checkpoint("77")


def shard(number: int, start: float, end: float, *parents: int, born: int = 0, closed: bool = False) -> Shard:
    """A shard of the sixth parts of the ring from `start` to `end`."""
    first, last = (int(edge * 2**128 / 6) for edge in (start, end))
    return Shard(
        shard_id=str(number),
        hash_range=HashRange(first, last - 1),
        parent_shard_ids=tuple(map(str, parents)),
        starting_sequence_number=str(born),
        ending_sequence_number="99" if closed else None,
    )


# levels 0 1 2 3 4 5 -> 6=(0,1) 7=(2,3) 4 5 -> 8=(6,7) 4 9,10=(5); open: 8, 4, 9, 10
VECTOR = Listing.of(
    [
        shard(0, 0, 1, closed=True),
        shard(1, 1, 2, closed=True),
        shard(2, 2, 3, closed=True),
        shard(3, 3, 4, closed=True),
        shard(4, 4, 5),
        shard(5, 5, 6, closed=True),
        shard(6, 0, 2, 0, 1, born=10, closed=True),
        shard(7, 2, 4, 2, 3, born=10, closed=True),
        shard(8, 0, 4, 6, 7, born=20),
        shard(9, 5, 5.5, 5, born=20),
        shard(10, 5.5, 6, 5, born=20),
    ]
)


def made(rows: tuple[Lease, ...] | Incomplete) -> list[tuple[str, Checkpoint, int | None]]:
    assert not isinstance(rows, Incomplete), rows
    return [(row.key, row.checkpoint, row.start_at_ms) for row in rows]


def keys(rows: tuple[Lease, ...] | Incomplete) -> list[str]:
    return [key for key, _, _ in made(rows)]


def rows_at(checkpoint: Checkpoint, *shard_ids: str) -> list[Lease]:
    return [
        Lease.for_shard(VECTOR.shards[shard_id], checkpoint)
        if shard_id in VECTOR
        else Lease(key=shard_id, checkpoint=checkpoint)
        for shard_id in shard_ids
    ]


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (FROM_LATEST, [("6", LATEST, NOW_MS - LATEST_MARGIN_MS)]),
        (FROM_HORIZON, [("0", TRIM_HORIZON, None), ("1", TRIM_HORIZON, None)]),
        (FROM_TIME, [("0", AT_TIMESTAMP, 5_000), ("1", AT_TIMESTAMP, 5_000)]),
    ],
)
def test_the_vector_of_the_java_documentation(start: Start, expected: list[tuple[str, Checkpoint, int | None]]) -> None:
    assert made(missing_leases(VECTOR, rows_at(NUMBER, "4", "5", "7"), start)) == expected


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (FROM_LATEST, ["10", "4", "8", "9"]),
        (FROM_HORIZON, ["0", "1", "2", "3", "4", "5"]),
        (FROM_TIME, ["0", "1", "2", "3", "4", "5"]),
    ],
)
def test_an_empty_table_gets_what_was_open_at_the_start(start: Start, expected: list[str]) -> None:
    rows = first_leases(VECTOR, start)
    assert sorted(keys(rows)) == expected
    assert not isinstance(rows, Incomplete)
    assert {row.checkpoint for row in rows} == {start.position.sentinel}


def test_a_filtered_listing_is_taken_whole() -> None:
    open_shards = Listing.of(shard for shard in VECTOR.shards.values() if not shard.is_closed)
    for start in STARTS:
        assert sorted(keys(first_leases(open_shards, start))) == ["10", "4", "8", "9"]


def test_a_shard_that_was_closed_a_moment_ago_is_where_latest_begins() -> None:
    listing = Listing.of([shard(0, 0, 3, closed=True), shard(1, 3, 6)])
    assert keys(first_leases(listing, FROM_LATEST)) == ["0", "1"]


def test_rows_name_parents_that_are_trimmed() -> None:
    listing = Listing.of([shard(8, 0, 6, 7, 6)])
    rows = first_leases(listing, FROM_HORIZON)
    assert not isinstance(rows, Incomplete)
    assert rows[0].parent_shard_ids == ("6", "7")


def test_rows_come_oldest_shard_first() -> None:
    listing = Listing.of([shard(1, 0, 3, born=9), shard(2, 3, 6, born=10), shard(3, 0, 3, born=9)])
    assert [listed.shard_id for listed in listing.shards.values()] == ["1", "3", "2"]


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize(
    "shards",
    [
        pytest.param([], id="nothing"),
        pytest.param([shard(0, 0, 3)], id="half of the ring"),
        pytest.param([shard(0, 0, 2), shard(1, 3, 6)], id="a hole"),
        pytest.param(
            [shard(0, 0, 6, closed=True), shard(1, 3, 6, 9, born=2), shard(2, 0, 3, 9, born=2)],
            id="a generation is missing between two",
        ),
    ],
)
def test_a_listing_that_does_not_cover_the_ring_once_is_asked_for_again(shards: list[Shard], start: Start) -> None:
    assert isinstance(first_leases(Listing.of(shards), start), Incomplete)


def test_one_child_of_two_is_a_hole_at_latest_and_none_at_the_horizon() -> None:
    listing = Listing.of([shard(0, 0, 3, closed=True), shard(1, 3, 6), shard(2, 0, 1, 0, born=1)])
    assert isinstance(first_leases(listing, FROM_LATEST), Incomplete)
    assert keys(first_leases(listing, FROM_HORIZON)) == ["0", "1"]


def test_a_child_beside_a_parent_that_is_listed_as_open_is_asked_for_again() -> None:
    listing = Listing.of([shard(0, 0, 6), shard(1, 0, 3, 0, born=1), shard(2, 3, 6, 0, born=1)])
    answer = missing_leases(listing, rows_at(NUMBER, "0"), FROM_HORIZON)
    assert answer == Incomplete("1 is listed beside a parent that is open")


def test_rows_that_exist_are_not_made_again() -> None:
    for start in STARTS:
        assert missing_leases(VECTOR, rows_at(NUMBER, "4", "8", "9", "10"), start) == ()


@pytest.mark.parametrize("start", STARTS)
def test_descendants_of_a_row_wait_for_its_end(start: Start) -> None:
    assert missing_leases(VECTOR, rows_at(NUMBER, "0", "1", "2", "3", "4", "5"), start) == ()
    assert missing_leases(VECTOR, rows_at(SHARD_END, "0", "1", "2", "3", "4", "5"), start) == ()


@pytest.mark.parametrize("start", STARTS)
def test_a_row_whose_shard_was_trimmed_keeps_its_descendants_from_starting_anew(start: Start) -> None:
    grandchildren = Listing.of(
        [shard(3, 0, 3, 1, born=9), shard(4, 3, 6, 2, born=9)]  # 0 -> 1, 2 -> 3, 4; only the last are listed
    )
    row = Lease(key="0", checkpoint=NUMBER, hash_range=HashRange(0, 2**128 - 1))
    assert missing_leases(grandchildren, [row], start) == ()
    assert missing_leases(grandchildren, [Lease(key="0", checkpoint=NUMBER)], start) == ()
    child = Lease(key="1", checkpoint=NUMBER, hash_range=shard(1, 0, 3).hash_range)
    assert keys(missing_leases(grandchildren, [child], start)) == ["4"]


@pytest.mark.parametrize("start", STARTS)
def test_a_parent_left_out_of_one_listing_does_not_let_its_child_start_anew(start: Start) -> None:
    # 0 -> 1, 2 and 1 -> 3, without 1
    listing = Listing.of([shard(0, 0, 6, closed=True), shard(2, 3, 6, 0, born=5), shard(3, 0, 3, 1, born=9)])
    row = Lease(key="0", checkpoint=NUMBER, hash_range=HashRange(0, 2**128 - 1))
    answer = missing_leases(listing, [row], start)
    assert answer == Incomplete("3 is listed without a parent that must still be there")


@pytest.mark.parametrize("start", STARTS)
def test_a_listing_older_than_the_rows_makes_none(start: Start) -> None:
    before_the_split = Listing.of([shard(0, 0, 3), shard(1, 3, 6)])
    rows = [Lease.for_shard(shard(n, n - 2, n - 1, 0), LATEST) for n in (2, 3, 4)]
    answer = missing_leases(before_the_split, rows, start)
    assert answer == Incomplete("2 has a row and is not listed, while its ancestors are")


@pytest.mark.parametrize("start", STARTS)
def test_a_listing_two_generations_older_than_the_rows_makes_none(start: Start) -> None:
    before = Listing.of([shard(0, 0, 3), shard(1, 3, 6)])
    row = Lease.for_shard(shard(8, 4, 5, 7), LATEST)
    assert missing_leases(before, [row], start) == Incomplete("8 has a row and is not listed, while its ancestors are")


@pytest.mark.parametrize("start", STARTS)
def test_a_merge_with_one_parent_left_out_is_asked_for_again(start: Start) -> None:
    shards = [listed for listed in VECTOR.shards.values() if listed.shard_id not in ("0", "1", "2", "3", "6")]
    for leased in ("6", "7"):
        answer = missing_leases(Listing.of(shards), rows_at(NUMBER, "4", "5", leased), start)
        assert answer == Incomplete("8 is listed without a parent that must still be there")


@pytest.mark.parametrize("start", STARTS)
def test_where_a_row_may_be_trimmed_or_newer_nothing_is_made_below_it(start: Start) -> None:
    listing = Listing.of([shard(5, 0, 3, 4), shard(6, 3, 6, 4)])  # 4 is trimmed
    row = Lease.for_shard(shard(8, 4, 5, 7), LATEST)
    assert keys(missing_leases(listing, [row], start)) == ["5"]


@pytest.mark.parametrize("start", STARTS)
def test_below_a_row_that_may_be_trimmed_the_other_parent_of_a_merge_waits_as_well(start: Start) -> None:
    shards = [shard(5, 0, 3, 1, closed=True), shard(6, 3, 6, 2, closed=True), shard(7, 0, 6, 5, 6, born=9)]
    row = Lease(key="1", checkpoint=NUMBER, hash_range=shards[0].hash_range)
    unrelated = msgspec.structs.replace(row, key="0")
    assert missing_leases(Listing.of(shards), [row], start) == ()
    assert missing_leases(Listing.of(shards), [unrelated], start) == ()


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("left_out", ["4", "9"])
def test_an_open_shard_left_out_of_a_listing_is_a_hole(start: Start, left_out: str) -> None:
    shards = [listed for listed in VECTOR.shards.values() if listed.shard_id != left_out]
    answer = missing_leases(Listing.of(shards), rows_at(NUMBER, "0", "5"), start)
    assert answer == Incomplete("the 3 shards to begin with leave a hole in the hash range")


def test_where_the_only_child_was_left_out_its_parents_are_begun_with() -> None:
    shards = [listed for listed in VECTOR.shards.values() if listed.shard_id != "8"]
    rows = rows_at(NUMBER, "4", "9", "10")
    assert keys(missing_leases(Listing.of(shards), rows, FROM_LATEST)) == ["6", "7"]
    assert keys(missing_leases(Listing.of(shards), rows, FROM_HORIZON)) == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("start", "expected"), [(FROM_LATEST, ["6"]), (FROM_HORIZON, ["0", "1"]), (FROM_TIME, ["0", "1"])]
)
def test_the_missing_parent_of_a_waiting_child_is_made(start: Start, expected: list[str]) -> None:
    rows = [*rows_at(SHARD_END, "7"), *rows_at(TRIM_HORIZON, "8"), *rows_at(NUMBER, "4", "9", "10")]
    assert keys(missing_leases(VECTOR, rows, start)) == expected


def test_a_child_that_does_not_wait_asks_for_no_parents() -> None:
    for checkpoint in (NUMBER, LATEST, AT_TIMESTAMP, SHARD_END):
        rows = [*rows_at(checkpoint, "8"), *rows_at(NUMBER, "4", "9", "10")]
        assert missing_leases(VECTOR, rows, FROM_HORIZON) == ()


def test_rows_are_made_in_generations_parents_before_children():
    rows = [
        Lease(key="grandchild", checkpoint=TRIM_HORIZON, parent_shard_ids=("child", "other")),
        Lease(key="child", checkpoint=TRIM_HORIZON, parent_shard_ids=("parent",)),
        Lease(key="parent", checkpoint=TRIM_HORIZON, parent_shard_ids=("trimmed",)),
        Lease(key="other", checkpoint=TRIM_HORIZON),
    ]
    assert [[row.key for row in group] for group in generations(rows)] == [
        ["parent", "other"],
        ["child"],
        ["grandchild"],
    ]


def test_rows_that_call_each_other_parents_are_made_all_the_same():
    rows = [
        Lease(key=key, checkpoint=TRIM_HORIZON, parent_shard_ids=(parent,)) for key, parent in ("ab", "ba", ("c", "a"))
    ]
    assert [[row.key for row in group] for group in generations(rows)] == [["a", "b", "c"]]
