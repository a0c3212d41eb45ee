"""The ancestor walk, against section 4.2's pseudo code written down again, and on listings that are deep or absurd."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kcl_py.core.bootstrap import Incomplete, Start, missing_leases
from kcl_py.core.checkpoint import SHARD_END, TRIM_HORIZON, Checkpoint
from kcl_py.core.lease import Lease
from kcl_py.core.listing import Listing
from kcl_py.core.position import StartPosition
from kcl_py.core.shard import EVERY_HASH_KEY, HashRange, Shard
from tests.core.reshard_history import ReshardHistory

STARTS = [
    Start(position, 1_700_000_000_000)
    for position in (StartPosition.TRIM_HORIZON, StartPosition.LATEST, StartPosition("AT_TIMESTAMP", 5_000))
]
NUMBER = Checkpoint("77")


def made(rows: tuple[Lease, ...] | Incomplete) -> dict[str, Checkpoint]:
    assert not isinstance(rows, Incomplete), rows
    return {row.key: row.checkpoint for row in rows}


def shard(number: int, *parents: int, hash_range: HashRange = EVERY_HASH_KEY, is_closed: bool = True) -> Shard:
    return Shard(
        shard_id=str(number),
        hash_range=hash_range,
        parent_shard_ids=tuple(map(str, parents)),
        starting_sequence_number=str(number),
        ending_sequence_number="9" if is_closed else None,
    )


def test_ten_thousand_generations_need_no_recursion() -> None:
    listing = Listing.of(shard(n, *([n - 1] if n else []), is_closed=n < 10_000) for n in range(10_001))
    from_horizon, from_latest, _ = STARTS
    finished = Lease(key="other", checkpoint=SHARD_END)
    assert list(made(missing_leases(listing, [finished], from_horizon))) == ["0"]
    assert list(made(missing_leases(listing, [finished], from_latest))) == ["10000"]
    assert missing_leases(listing, [Lease(key="0", checkpoint=NUMBER)], from_latest) == ()


def test_a_listing_that_goes_in_a_circle_ends_all_the_same() -> None:
    for circle in (
        [shard(0, 1), shard(1, 0), shard(2, 1, 5, is_closed=False)],
        [shard(0, 0), shard(1, 0, is_closed=False)],
    ):
        for start in STARTS:
            missing_leases(Listing.of(circle), [Lease(key="other", checkpoint=SHARD_END)], start)


def java_walk(listing: Listing, leased: set[str], start: Start) -> dict[str, Checkpoint]:
    """Section 4.2's pseudo code, line by line."""
    known: dict[str, bool] = {}
    should_create: set[str] = set()
    new: dict[str, Checkpoint] = {}
    kind = start.position.kind

    def descendant(shard_id: str) -> bool:
        if shard_id not in known:
            known[shard_id] = decided(shard_id)
        return known[shard_id]

    def decided(shard_id: str) -> bool:
        if shard_id not in listing:
            return False
        if shard_id in leased:
            return True
        parents = [parent for parent in listing.shards[shard_id].parent_shard_ids if parent in listing]
        ancestral = {parent for parent in parents if descendant(parent) or parent in should_create}
        if not ancestral:
            if kind in ("TRIM_HORIZON", "AT_TIMESTAMP"):
                should_create.add(shard_id)
            return False
        for parent in parents:
            if parent in leased:
                continue
            if parent not in new and (parent in should_create or parent not in ancestral):
                new[parent] = start.position.sentinel
            if parent in new:
                from_horizon = parent in ancestral and kind != "AT_TIMESTAMP"
                new[parent] = TRIM_HORIZON if from_horizon else start.position.sentinel
        return True

    for listed in listing.shards.values():
        if not listed.is_closed and listed.shard_id not in leased and not descendant(listed.shard_id):
            new[listed.shard_id] = start.position.sentinel
    return new


@given(
    shards=st.integers(1, 5),
    choices=st.lists(st.integers(0, 50), max_size=10),
    retention=st.sampled_from([10, 40, 10_000]),
    start=st.sampled_from(STARTS),
    data=st.data(),
)
@settings(max_examples=200, deadline=None)
def test_the_walk_is_the_one_of_the_java_kcl(
    shards: int, choices: list[int], retention: int, start: Start, data: st.DataObject
) -> None:
    history = ReshardHistory(shards)
    for index, choice in enumerate(choices):
        history.reshard(choice, 10 * (index + 1))
    listing = history.listing(10 * len(choices) + 5, retention)
    leased = data.draw(st.sets(st.sampled_from(sorted(listing.shards))))
    rows = [
        Lease.for_shard(listing.shards[shard_id], data.draw(st.sampled_from([NUMBER, SHARD_END])))
        for shard_id in sorted(leased)
    ]
    assert made(missing_leases(listing, rows, start)) == java_walk(listing, leased, start)
