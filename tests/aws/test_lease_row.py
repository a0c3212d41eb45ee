"""Columns and core values: both ways, and changed attributes only."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcl_py.aws import lease_row, lock_row, session_row
from kcl_py.aws.attributes import RowError, RowUpdate
from kcl_py.core.checkpoint import AT_TIMESTAMP, LATEST, SHARD_END, TRIM_HORIZON, Checkpoint
from kcl_py.core.leadership import LeaderLock
from kcl_py.core.lease import Binding, Change, Lease
from kcl_py.core.session import Process, Session
from kcl_py.core.shard import HASH_KEY_MAX, HashRange

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


class TestReadingALease:
    def test_takes_each_attribute_to_its_field(self) -> None:
        assert lease_row.lease_of(ITEM) == LEASE

    @pytest.mark.parametrize(
        ("attributes", "fields"),
        [
            ({"leaseOwner": {"S": "w1"}, "checkpointOwner": {"S": "w0"}}, {"owner": "w1", "checkpoint_owner": "w0"}),
            ({"leaseOwner": {"S": ""}}, {"owner": ""}),
            ({"checkpoint": {"S": "LATEST"}, "kclPyStartAt": {"N": "7"}}, {"checkpoint": LATEST, "start_at_ms": 7}),
            ({"parentShardId": {"SS": ["b", "a"]}}, {"parent_shard_ids": ("a", "b")}),
            ({"childShardIds": {"SS": ["d", "c"]}}, {"child_shard_ids": ("c", "d")}),
            ({"startingHashKey": {"S": "0"}, "endingHashKey": {"S": "9"}}, {"hash_range": HashRange(0, 9)}),
            ({"startingHashKey": {"S": "9"}, "endingHashKey": {"S": "9"}}, {"hash_range": HashRange(9, 9)}),
            ({"startingHashKey": {"S": "0"}}, {"hash_range": None}),
            ({"startingHashKey": {"S": ""}, "endingHashKey": {"S": "9"}}, {"hash_range": None}),
            (
                {"pendingCheckpoint": {"S": "200"}, "pendingCheckpointState": {"B": b"x"}},
                {"pending_checkpoint": Checkpoint("200"), "pending_checkpoint_state": b"x"},
            ),
            (
                {"pendingCheckpoint": {"S": "200"}, "pendingCheckpointSubSequenceNumber": {"N": "3"}},
                {"pending_checkpoint": Checkpoint("200", 3)},
            ),
            ({"kclPyHeld": {"S": ANN}, "kclPyCaughtUpAt": {"N": "8"}}, {"held_by": ANN, "caught_up_at_ms": 8}),
            (
                {"kclPyStream": {"S": "arn@1"}, "kclPyApplication": {"S": "billing"}, "kclPyTable": {"S": "id"}},
                {"binding": BINDING},
            ),
            (
                {"kclPyStream": {"S": "arn@1"}, "kclPyApplication": {"S": "billing"}},
                {"binding": Binding("arn@1", "billing", None)},
            ),
            ({"anything": {"M": {"a": {"NULL": True}}}}, {}),
            ({"throughputKBps": {"N": "0.016799"}}, {"throughput_kbps": 0.016799}),
            ({"throughputKBps": {"N": "12"}}, {"throughput_kbps": 12.0}),
            ({"throughputKBps": {"N": "1.25E+3"}}, {"throughput_kbps": 1250.0}),
            ({"throughputKBps": {"N": ".5"}}, {"throughput_kbps": 0.5}),
            ({"throughputKBps": {"N": "9.9e125"}}, {"throughput_kbps": 9.9e125}),
            ({"throughputKBps": {"N": "1e-130"}}, {"throughput_kbps": 1e-130}),
            # no metric is worth a row
            ({"throughputKBps": {"N": "-1"}}, {"throughput_kbps": None}),
            ({"throughputKBps": {"N": "NaN"}}, {"throughput_kbps": None}),
            ({"throughputKBps": {"N": "Infinity"}}, {"throughput_kbps": None}),
            ({"throughputKBps": {"N": "1_000"}}, {"throughput_kbps": None}),
            ({"throughputKBps": {"N": "1e999"}}, {"throughput_kbps": None}),
            ({"throughputKBps": {"N": "\u0664"}}, {"throughput_kbps": None}),
            ({"throughputKBps": {"S": "4"}}, {"throughput_kbps": None}),
            ({"throughputKBps": {"N": 4}}, {"throughput_kbps": None}),
        ],
    )
    def test_understands(self, attributes: dict[str, Any], fields: dict[str, Any]) -> None:
        assert lease_row.lease_of(ITEM | attributes) == msgspec.structs.replace(LEASE, **fields)

    @pytest.mark.parametrize("optional", ["entityType", "checkpointSubSequenceNumber"])
    def test_does_without(self, optional: str) -> None:
        item = {name: value for name, value in ITEM.items() if name != optional}
        sub_sequence_number = 2 if optional == "entityType" else 0
        assert lease_row.lease_of(item) == msgspec.structs.replace(
            LEASE, checkpoint=Checkpoint("100", sub_sequence_number)
        )

    @pytest.mark.parametrize("required", ["leaseKey", "leaseCounter", "ownerSwitchesSinceCheckpoint", "checkpoint"])
    def test_does_not_do_without(self, required: str) -> None:
        with pytest.raises(RowError, match=f"{required} is missing"):
            lease_row.lease_of({name: value for name, value in ITEM.items() if name != required})

    @pytest.mark.parametrize(
        ("attributes", "reason"),
        [
            ({"leaseCounter": {"S": "4"}}, "leaseCounter is not of type N"),
            ({"leaseCounter": {"N": "4.5"}}, "leaseCounter is '4.5'"),
            ({"leaseCounter": {"N": "-4"}}, "leaseCounter is '-4'"),
            ({"leaseCounter": {"N": "\u0664"}}, "leaseCounter"),
            ({"leaseCounter": {"N": "1_000"}}, "leaseCounter"),
            ({"leaseCounter": {"N": "9" * 39}}, "leaseCounter"),
            ({"leaseOwner": {"NULL": True}}, "leaseOwner is not of type S"),
            ({"leaseOwner": {"S": "w1", "N": "1"}}, "leaseOwner is not of type S"),
            ({"checkpoint": {"S": "trim_horizon"}}, "not a checkpoint"),
            ({"checkpoint": {"S": ""}}, "not a checkpoint"),
            ({"checkpoint": {"S": "9" * 5000}}, "5000 characters"),
            ({"checkpoint": {"S": "\u0661\u0662"}}, "not a checkpoint"),
            ({"checkpointSubSequenceNumber": {"N": "-1"}}, "checkpointSubSequenceNumber"),
            ({"pendingCheckpoint": {"S": "soon"}}, "pendingCheckpoint is not a checkpoint"),
            ({"pendingCheckpointState": {"N": "1"}}, "pendingCheckpointState is not of type B"),
            ({"parentShardId": {"S": "shardId-0"}}, "parentShardId is not of type SS"),
            ({"startingHashKey": {"S": "9"}, "endingHashKey": {"S": "3"}}, "inverted"),
            ({"startingHashKey": {"S": "-1"}, "endingHashKey": {"S": "3"}}, "not decimal"),
            ({"startingHashKey": {"S": "0"}, "endingHashKey": {"S": str(2**128)}}, "beyond 128 bits"),
            ({"startingHashKey": {"S": "0"}, "endingHashKey": {"S": "9" * 5000}}, "not decimal"),
            ({"entityType": {"S": "STREAM"}}, "not a lease"),
            ({"streamName": {"S": "1:orders:2"}}, "several streams"),
            ({"kclPyStream": {"S": "arn@1"}}, "kclPyApplication is missing"),
            ({"kclPyApplication": {"S": "billing"}}, "kclPyStream is missing"),
        ],
    )
    def test_refuses(self, attributes: dict[str, Any], reason: str) -> None:
        with pytest.raises(RowError, match=reason):
            lease_row.lease_of(ITEM | attributes)

    def test_quotes_no_more_than_a_line_of_what_it_refuses(self) -> None:
        with pytest.raises(RowError) as caught:
            lease_row.lease_of(ITEM | {"checkpoint": {"S": "x\n" * 60}})
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300


class TestWritingALease:
    @pytest.mark.parametrize(
        ("change", "assigned", "removed"),
        [
            (
                LEASE.picked_up(ANN, BINDING),
                {
                    "leaseOwner": {"S": ANN},
                    "leaseCounter": {"N": "5"},
                    "kclPyHeld": {"S": ANN},
                    "kclPyStream": {"S": "arn@1"},
                    "kclPyApplication": {"S": "billing"},
                    "kclPyTable": {"S": "id"},
                },
                set(),
            ),
            (
                LEASE.checkpointed(Checkpoint("100", 3)),
                {
                    "leaseCounter": {"N": "5"},
                    "checkpointSubSequenceNumber": {"N": "3"},
                    "ownerSwitchesSinceCheckpoint": {"N": "0"},
                },
                set(),
            ),
            (
                msgspec.structs.replace(
                    LEASE,
                    owner_switches=0,
                    pending_checkpoint=Checkpoint("200"),
                    pending_checkpoint_state=b"x",
                    caught_up_at_ms=1,
                ).checkpointed(Checkpoint("200", 2)),
                {"leaseCounter": {"N": "5"}, "checkpoint": {"S": "200"}},
                {
                    "pendingCheckpoint",
                    "pendingCheckpointSubSequenceNumber",
                    "pendingCheckpointState",
                    "kclPyCaughtUpAt",
                },
            ),
            (
                LEASE.ended(["b", "a"]),
                {
                    "leaseCounter": {"N": "5"},
                    "checkpoint": {"S": "SHARD_END"},
                    "checkpointSubSequenceNumber": {"N": "0"},
                    "ownerSwitchesSinceCheckpoint": {"N": "0"},
                    "childShardIds": {"SS": ["a", "b"]},
                },
                set(),
            ),
            (
                msgspec.structs.replace(LEASE, owner=ANN, checkpoint_owner="w0", held_by=ANN).released(),
                {"leaseCounter": {"N": "5"}},
                {"leaseOwner", "checkpointOwner", "kclPyHeld"},
            ),
            (
                LEASE.checkpointed(Checkpoint("100", 2), throughput_kbps=1234.56789),
                {
                    "leaseCounter": {"N": "5"},
                    "ownerSwitchesSinceCheckpoint": {"N": "0"},
                    "throughputKBps": {"N": "1234.568"},
                },
                set(),
            ),
            (
                msgspec.structs.replace(LEASE, owner=ANN, held_by=ANN, throughput_kbps=0.016799).offered(
                    "bob@4567cdef"
                ),
                {"leaseOwner": {"S": "bob@4567cdef"}, "checkpointOwner": {"S": ANN}},
                set(),
            ),
            (Change(LEASE, LEASE), {}, set()),
        ],
    )
    def test_names_changed_attributes_only(self, change: Change, assigned: dict[str, Any], removed: set[str]) -> None:
        update = lease_row.lease_update(change)
        assert update.assigned == assigned
        assert set(update.removed) == removed

    def test_of_an_unchanged_session_still_writes_its_beat(self) -> None:
        session = Session(key=ANN, beat=3)
        assert session_row.session_update(session, session) == RowUpdate({"kclPyBeat": {"N": "3"}}, ())


@pytest.mark.parametrize(
    ("rate", "written"),
    [(0.0, "0"), (0.0004, "0"), (0.0005, "0.001"), (1.5, "1.5"), (100.0, "100"), (1e15, "1000000000000000")],
)
def test_throughput_is_written_to_three_decimals(rate: float, written: str) -> None:
    item = lease_row.lease_attributes(msgspec.structs.replace(LEASE, throughput_kbps=rate))
    assert item["throughputKBps"] == {"N": written}


@pytest.mark.parametrize("rate", [float("inf"), float("nan")])
def test_throughput_that_is_no_number_keeps_no_checkpoint_from_being_written(rate: float) -> None:
    assert "throughputKBps" not in lease_row.lease_attributes(msgspec.structs.replace(LEASE, throughput_kbps=rate))


@pytest.mark.parametrize(
    "statistics",
    [
        {"S": "busy"},
        {"M": {"C": {"N": "7"}}},
        {"M": {"C": {"L": [{"N": "7"}, {"S": "busy"}]}}},
        {"M": {"C": {"L": [7]}}},
        {"M": {"M": {"L": [{"N": "7"}]}}},
    ],
)
def test_odd_metrics_are_none_and_leave_the_session_readable(statistics: dict[str, Any]) -> None:
    session = Session(key=ANN, beat=3, cpu_percents=(1.0,))
    item = session_row.session_attributes(session) | {"sts": statistics}
    assert session_row.session_of(item) == msgspec.structs.replace(session, cpu_percents=())


@pytest.mark.parametrize(("released", "is_released"), [("1", True), ("0", False), ("", False)])
def test_a_lock_is_released_by_the_one_word_that_java_clients_write(released: str, is_released: bool) -> None:
    lock = LeaderLock(owner=ANN, version="a", duration_ms=10_000)
    item = lock_row.lock_attributes(lock) | {"isReleased": {"S": released}}
    assert lock_row.lock_of(item).is_released is is_released


texts = st.text(min_size=1, max_size=20)
rates = st.floats(0, 2**40).map(lambda rate: round(rate, 3))
counts = st.integers(0, 2**63 - 1)
checkpoints = st.one_of(
    st.sampled_from([AT_TIMESTAMP, TRIM_HORIZON, LATEST, SHARD_END]),
    st.builds(Checkpoint, st.integers(0, 10**128).map(str), counts),
)
hash_keys = st.integers(0, HASH_KEY_MAX)
shard_ids = st.frozensets(texts, max_size=3).map(sorted).map(tuple)
leases = st.builds(
    Lease,
    key=st.from_regex(r"[a-zA-Z0-9_.-]{1,128}", fullmatch=True),
    owner=st.none() | texts,
    checkpoint_owner=st.none() | texts,
    counter=counts,
    checkpoint=checkpoints,
    owner_switches=counts,
    pending_checkpoint=st.none() | checkpoints,
    pending_checkpoint_state=st.none() | st.binary(max_size=20),
    parent_shard_ids=shard_ids,
    child_shard_ids=shard_ids,
    hash_range=st.none() | st.tuples(hash_keys, hash_keys).map(lambda ends: HashRange(*sorted(ends))),
    held_by=st.none() | texts,
    start_at_ms=st.none() | counts,
    caught_up_at_ms=st.none() | counts,
    throughput_kbps=st.none() | rates,
    binding=st.none() | st.builds(Binding, texts, texts, st.none() | texts),
)
sessions = st.builds(
    Session,
    key=texts,
    beat=counts,
    is_revoked=st.booleans(),
    is_leaving=st.booleans(),
    protocol=st.integers(1, 9),
    process=st.none()
    | st.builds(Process, boot_id=texts, pid_namespace=texts, pid=st.integers(1, 2**31), started_ticks=counts),
    updated_at_seconds=st.integers(0, 2**40),
    leases_max=st.none() | counts,
    cpu_percents=st.lists(rates | st.just(-1.0), max_size=10).map(tuple),
)
locks = st.builds(
    LeaderLock,
    owner=texts,
    version=texts,
    duration_ms=st.integers(0, 10**18 - 1),
    is_released=st.booleans(),
    standby=st.none() | texts,
)


class TestAnyValue:
    @given(leases)
    def test_of_a_lease_is_read_as_it_was_written(self, lease: Lease) -> None:
        assert lease_row.lease_of(lease_row.lease_attributes(lease)) == lease

    @given(sessions)
    def test_of_a_session_is_read_as_it_was_written(self, session: Session) -> None:
        assert session_row.session_of(session_row.session_attributes(session)) == session

    @given(locks)
    def test_of_a_lock_is_read_as_it_was_written(self, lock: LeaderLock) -> None:
        assert lock_row.lock_of(lock_row.lock_attributes(lock)) == lock

    @given(locks, locks)
    def test_of_a_lock_becomes_another_of_its_holders_by_the_update_alone(
        self, before: LeaderLock, after: LeaderLock
    ) -> None:
        after = msgspec.structs.replace(after, owner=before.owner)
        update = lock_row.lock_update(before, after)
        item = lock_row.lock_attributes(before) | {"data": {"B": b"x"}}
        patched = {name: value for name, value in item.items() if name not in update.removed} | update.assigned
        assert lock_row.lock_of(patched) == after
        assert patched["data"] == {"B": b"x"}
        assert {"leaseDuration", "recordVersionNumber"} <= set(update.assigned)

    @given(leases, leases)
    def test_becomes_another_by_the_update_alone(self, before: Lease, after: Lease) -> None:
        after = msgspec.structs.replace(after, key=before.key)
        update = lease_row.lease_update(Change(before, after))
        foreign = {"futureText": {"S": "kept"}}
        item = lease_row.lease_attributes(before) | foreign
        patched = {name: value for name, value in item.items() if name not in update.removed} | update.assigned
        assert lease_row.lease_of(patched) == after
        assert patched["futureText"] == {"S": "kept"}
        assert all(item.get(name) != value for name, value in update.assigned.items())
