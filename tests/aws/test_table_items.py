"""What the items of a table are; whatever an item holds, the reader neither crashes nor hides another."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcl_py.aws import columns, lease_row, table_items
from kcl_py.core.checkpoint import SHARD_END, Checkpoint
from kcl_py.core.leadership import LeaderLock
from kcl_py.core.lease import Binding, Lease
from kcl_py.core.session import Session
from kcl_py.core.table import OddRow, TableKind

ITEM: dict[str, Any] = {
    "leaseKey": {"S": "shardId-1"},
    "entityType": {"S": "LEASE"},
    "leaseCounter": {"N": "4"},
    "ownerSwitchesSinceCheckpoint": {"N": "1"},
    "checkpoint": {"S": "100"},
    "checkpointSubSequenceNumber": {"N": "2"},
}
LEASE = Lease(key="shardId-1", counter=4, checkpoint=Checkpoint("100", 2), owner_switches=1)
BINDING = Binding("arn@1", "billing", "id")
ANN = "ann@0123abcd"
JAVA_LOCK: dict[str, Any] = {
    "leaseKey": {"S": "Leader"},
    "ownerName": {"S": "w1"},
    "leaseDuration": {"S": "120000"},
    "recordVersionNumber": {"S": "a"},
}
# as botocore hands them out: one type letter each
values = st.recursive(
    st.one_of(
        st.builds(lambda text: {"S": text}, st.text()),
        st.builds(lambda number: {"N": number}, st.decimals(allow_nan=False, allow_infinity=False).map(str)),
        st.builds(lambda number: {"N": number}, st.integers(0, 50).map(str)),
        st.builds(lambda data: {"B": data}, st.binary()),
        st.builds(lambda flag: {"BOOL": flag}, st.booleans()),
        st.just({"NULL": True}),
        st.builds(lambda found: {"SS": found}, st.lists(st.text())),
        st.builds(lambda found: {"NS": found}, st.lists(st.integers().map(str))),
        st.builds(lambda found: {"BS": found}, st.lists(st.binary())),
    ),
    lambda inner: st.one_of(
        st.builds(lambda found: {"L": found}, st.lists(inner)),
        st.builds(lambda found: {"M": found}, st.dictionaries(st.text(), inner)),
    ),
    max_leaves=5,
)
NAMES = [value for name, value in vars(columns).items() if name.isupper()]
TELLING = [
    {"S": text} for text in ("LEASE", "LEADER", "WORKER_METRIC_STATS", "Leader", "SHARD_END", "LATEST", "7", "9", ANN)
]
hostile_items = st.dictionaries(st.sampled_from(NAMES) | st.text(), values | st.sampled_from(TELLING), max_size=12)
# most attributes as they should be, so that the reader gets far before it meets the odd one
half_right_items = st.builds(lambda odd: ITEM | odd, hostile_items)


class TestAHostileItem:
    @given(st.lists(hostile_items | half_right_items, max_size=4))
    def test_neither_crashes_the_reader_nor_hides_the_others(self, items: list[dict[str, Any]]) -> None:
        snapshot = table_items.snapshot_of([*items, ITEM], ())
        assert LEASE in snapshot.leases
        twice = snapshot.foreign_entries.count("Leader")  # a Java worker's lock may be odd besides
        known = len(snapshot.leases) + len(snapshot.sessions) + len(snapshot.odd_rows) + len(snapshot.foreign_entries)
        assert known <= len(items) + 1 + twice
        assert isinstance(snapshot.kind, TableKind)
        table_items.pulse_of(items)

    @given(hostile_items | half_right_items)
    def test_that_does_parse_can_be_changed(self, item: dict[str, Any]) -> None:
        for lease in table_items.snapshot_of([item], ()).leases:
            change = lease.picked_up(ANN, BINDING)
            assert set(lease_row.lease_update(change).assigned) <= {*NAMES}
            assert lease.checkpoint <= SHARD_END

    def test_is_reported_by_key_and_reason(self) -> None:
        odd = ITEM | {"leaseKey": {"S": "shardId-2"}, "leaseCounter": {"N": "x"}}
        snapshot = table_items.snapshot_of([ITEM, odd], ())
        assert snapshot.odd_rows == (
            OddRow("shardId-2", "leaseCounter is 'x', not a whole number from 0 to 2**63 - 1"),
        )

    @pytest.mark.parametrize("key", ["\x1b[2J", "shardId-1\n", "1:orders:2:shardId-1", "shardId-\u0661", "", "s" * 129])
    def test_whose_key_no_shard_can_have_is_odd(self, key: str) -> None:
        """The service would refuse to be asked about it, which is no fault of the stream's and would end the reader."""
        snapshot = table_items.snapshot_of([ITEM, ITEM | {"leaseKey": {"S": key}}], ())
        assert snapshot.odd_rows == (OddRow(key, "leaseKey is no shard id"),)
        assert snapshot.leases == (LEASE,)


class TestAnItemThatIsNoLease:
    @pytest.mark.parametrize(
        "item",
        [
            JAVA_LOCK,
            JAVA_LOCK | {"entityType": {"S": "LEADER"}},
            {"leaseKey": {"S": "Migration3.0"}, "cv": {"S": "CLIENT_VERSION_3X"}},
            {"leaseKey": {"S": "TableMigration3.5"}, "entityType": {"S": "TABLE_MIGRATION"}},
            {"leaseKey": {"S": "w1"}, "entityType": {"S": "WORKER_METRIC_STATS"}, "lut": {"N": "1"}},
            {"leaseKey": {"S": "orders"}, "entityType": {"S": "STREAM"}, "streamId": {"S": "orders"}},
        ],
    )
    def test_of_a_java_fleet_is_foreign(self, item: dict[str, Any]) -> None:
        snapshot = table_items.snapshot_of([item], ())
        assert snapshot.foreign_entries == (item["leaseKey"]["S"],)
        assert snapshot.odd_rows == ()
        assert snapshot.kind == TableKind.JAVA_3_5

    def test_is_ours_if_our_leader_holds_the_lock(self) -> None:
        lock = JAVA_LOCK | {"entityType": {"S": "LEADER"}, "ownerName": {"S": ANN}}
        snapshot = table_items.snapshot_of([lock], ())
        assert snapshot.foreign_entries == ()
        assert snapshot.lock == LeaderLock(owner=ANN, version="a", duration_ms=120_000)
        assert table_items.pulse_of([lock]) == {}

    def test_is_the_lock_whoever_holds_it(self) -> None:
        lock = table_items.snapshot_of([JAVA_LOCK], ()).lock
        assert lock == LeaderLock(owner="w1", version="a", duration_ms=120_000)

    @pytest.mark.parametrize("owner", ["w1", ANN])
    def test_is_reported_if_it_is_a_lock_that_does_not_parse(self, owner: str) -> None:
        odd = JAVA_LOCK | {"ownerName": {"S": owner}, "leaseDuration": {"S": "long"}}
        snapshot = table_items.snapshot_of([odd], ())
        assert snapshot.lock is None
        assert snapshot.odd_rows == (OddRow("Leader", "leaseDuration is 'long', not a number of milliseconds"),)

    def test_is_a_session_if_it_beats(self) -> None:
        entry = {"leaseKey": {"S": ANN}, "entityType": {"S": "WORKER_METRIC_STATS"}, "kclPyBeat": {"N": "3"}}
        assert table_items.snapshot_of([entry], ()).sessions == (Session(key=ANN, beat=3),)


@pytest.mark.parametrize(
    ("item", "still"),
    [
        ({"leaseKey": {"S": "s"}, "leaseOwner": {"S": "w1"}, "leaseCounter": {"N": "4"}}, False),
        ({"leaseKey": {"S": "s"}, "leaseOwner": {"S": ANN}, "checkpointOwner": {"S": "w1"}}, False),
        ({"leaseKey": {"S": "s"}, "leaseOwner": {"S": ANN}, "leaseCounter": {"N": "4"}}, True),
        ({"leaseKey": {"S": "s"}, "leaseCounter": {"N": "4"}}, True),
        ({"key": {"S": "Leader"}, "ownerName": {"S": "w1"}, "recordVersionNumber": {"S": "a"}}, False),
        ({"wid": {"S": "w1"}, "lut": {"N": "1"}}, False),
        ({"leaseKey": {"S": ANN}, "lut": {"N": "1"}, "kclPyBeat": {"N": "1"}}, True),
        ({"key": {"S": "Migration3.0"}, "mts": {"N": "1"}}, True),
    ],
)
def test_the_foreign_pulse_is_what_a_living_java_worker_moves(item: dict[str, Any], still: bool) -> None:
    assert (table_items.pulse_of([item]) == {}) is still
