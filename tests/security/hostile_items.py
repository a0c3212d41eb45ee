"""Items of a lease table as an enemy might leave them: any attribute missing, of another type, or absurd."""

from typing import Any

from hypothesis import strategies as st

from kcl_py.aws import lease_row, lock_row, session_row
from kcl_py.core.checkpoint import Checkpoint
from kcl_py.core.leadership import LOCK_KEY, LeaderLock
from kcl_py.core.lease import Lease
from kcl_py.core.session import Process, Session
from kcl_py.core.shard import HashRange
from tests.security.hostile_text import ACTING

Item = dict[str, Any]
REAL_SHARD, OTHER_SHARD, STRANGER = "shardId-000000000001", "shardId-000000000777", "mallory@0123abcd"

LEASE = lease_row.lease_attributes(
    Lease(
        key=OTHER_SHARD,
        owner=STRANGER,
        checkpoint_owner="eve@0123abcd",
        counter=4,
        checkpoint=Checkpoint("100", 2),
        owner_switches=1,
        pending_checkpoint=Checkpoint("101"),
        pending_checkpoint_state=b"state",
        parent_shard_ids=("shardId-000000000776",),
        child_shard_ids=("shardId-000000000778",),
        hash_range=HashRange(0, 9),
        held_by=STRANGER,
        start_at_ms=7,
        caught_up_at_ms=8,
        throughput_kbps=3.0,
    )
)
SESSION = session_row.session_attributes(
    Session(
        key=STRANGER,
        beat=3,
        is_leaving=True,
        is_revoked=True,
        process=Process(boot_id="boot", pid_namespace="pid:[1]", pid=1, started_ticks=1),
        updated_at_seconds=5,
        leases_max=3,
        cpu_percents=(1.0, 2.0),
    )
)
LOCK = lock_row.lock_attributes(
    LeaderLock(owner=STRANGER, version="v", duration_ms=10_000, is_released=True, standby="eve@0123abcd")
)


def _nested(depth: int) -> Item:
    value: Item = {"S": "bottom"}
    for level in range(depth):
        value = {"M": {"deeper": value}} if level % 2 else {"L": [value]}
    return value


_DIGITS = ("0", "-1", "1E999999", "1E308", "9.99E125", "1E-130", "NaN", "Infinity", "-0", "1_0", "\u0663", "", "9" * 38,
           "9" * 39, "9" * 5000, "0x10", " 1", str(2**63 - 1), str(2**63))  # fmt: skip
_TEXTS = (*ACTING, "", " ", "x" * 3000, "0", "-1", "007", "9" * 129, "9" * 5000, "TRIM_HORIZON", "LATEST", "SHARD_END",
          "shard_end", "AT_TIMESTAMP", "1/2", "\u0661", str(2**128),
          LOCK_KEY, REAL_SHARD, STRANGER, "@", "a@b@0123abcd",
          "LEASE", "WORKER_METRIC_STATS", "LEADER", "STREAM", "Migration3.0")  # fmt: skip
_SETS: tuple[list[str], ...] = (
    ["a"],
    [REAL_SHARD],
    [OTHER_SHARD],
    [],
    ["b", "a", "b"],
    [f"p{n}" for n in range(2000)],
    [ACTING[0]],
)
VALUES: tuple[Any, ...] = (
    *({"S": text} for text in _TEXTS),
    *({"N": digits} for digits in _DIGITS),
    *({"SS": texts} for texts in _SETS),
    {"NS": ["1", "2"]},
    {"BS": [b"\xff"]},
    {"B": b"\xff\xfe\x00"},
    {"B": b"x" * 400_000},
    {"BOOL": True},
    {"BOOL": False},
    {"BOOL": "true"},
    {"NULL": True},
    {"M": {}},
    {"M": {"C": {"L": [{"N": "1E999999"}, {"N": "-5"}]}}},
    {"M": {"C": {"L": [{"N": "9E125"}] * 50}}},
    {"M": {"bootId": {"S": "boot"}, "pidNamespace": {"S": "x"}, "pid": {"N": "9" * 38}, "startedTicks": {"N": "0"}}},
    {"L": [{"S": "a"}]},
    {"S": "a", "N": "1"},
    {"S": 7},
    {"N": 7},
    {"SS": "abc"},
    {"SS": [7]},
    {},
    _nested(32),
)
_DIFFERENCES = st.dictionaries(
    st.sampled_from(
        [*LEASE, *SESSION, *LOCK, "kclPyStream", "kclPyApplication", "kclPyTable", "streamName", "foreign"]
    ),
    st.none() | st.sampled_from(VALUES),  # None: it is missing
    max_size=4,
)


def _changed(item: Item, difference: dict[str, Any]) -> Item:
    return {name: value for name, value in (item | difference).items() if value is not None}


def items(*plain: Item) -> st.SearchStrategy[Item]:
    """Items near one of `plain`, or made of nothing but absurd attributes."""
    return st.builds(_changed, st.sampled_from([*plain, {}]), _DIFFERENCES)
