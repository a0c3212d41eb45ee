"""Whose table it is, told by what stands in it (fleet.md, section 1)."""

import pytest

from kcl_py.core.checkpoint import SHARD_END, TRIM_HORIZON
from kcl_py.core.lease import Binding, Lease
from kcl_py.core.session import Session
from kcl_py.core.table import OddRow, TableKind, TableSnapshot

BINDING = Binding("arn:aws:kinesis:eu-west-1:123456789012:stream/orders@1700000000", "billing", "id-1")
OURS = "w1@0123abcd"
LEGACY = ("billing-CoordinatorState",)


def lease(
    number: int = 0, owner: str | None = None, binding: Binding | None = BINDING, receiver: str | None = None
) -> Lease:
    """A row of `owner`; with a `receiver`, in the middle of a hand-off to it."""
    if receiver is not None:
        return Lease(
            key=f"shardId-{number}", owner=receiver, checkpoint_owner=owner, checkpoint=TRIM_HORIZON, binding=binding
        )
    return Lease(key=f"shardId-{number}", owner=owner, checkpoint=TRIM_HORIZON, binding=binding)


@pytest.mark.parametrize(
    ("snapshot", "kind"),
    [
        pytest.param(TableSnapshot(), TableKind.FRESH, id="an empty table is fresh"),
        pytest.param(
            TableSnapshot(odd_rows=(OddRow("x", "no counter"),)),
            TableKind.FRESH,
            id="a typed odd row alone is no fleet",
        ),
        pytest.param(
            TableSnapshot(odd_rows=(OddRow("x", "no counter"),), untyped_leases=("x",)),
            TableKind.KCL_2_X,
            id="an odd row without a type may be anybody's",
        ),
        pytest.param(
            TableSnapshot(sessions=(Session(key=OURS),)), TableKind.NATIVE, id="our sessions alone are native"
        ),
        pytest.param(TableSnapshot(leases=(lease(),)), TableKind.NATIVE, id="bound unowned rows are native"),
        pytest.param(TableSnapshot(leases=(lease(owner=OURS),)), TableKind.NATIVE, id="bound rows of ours are native"),
        pytest.param(
            TableSnapshot(leases=(lease(binding=None),)), TableKind.NATIVE, id="typed rows that nobody owns are native"
        ),
        pytest.param(
            TableSnapshot(leases=(lease(0, OURS),), foreign_entries=("Leader",), legacy_tables=LEGACY),
            TableKind.NATIVE,
            id="rows that are all ours are native, whatever a stopped fleet left",
        ),
        pytest.param(
            TableSnapshot(leases=(lease(0, OURS), lease(1, "w1", None)), legacy_tables=LEGACY),
            TableKind.LEGACY_3_X,
            id="one row of a Java worker makes it theirs",
        ),
        pytest.param(TableSnapshot(legacy_tables=LEGACY), TableKind.LEGACY_3_X, id="legacy tables beside an empty one"),
        pytest.param(
            TableSnapshot(foreign_entries=("Migration3.0", "w1")),
            TableKind.JAVA_3_5,
            id="coordinator items in the table",
        ),
        pytest.param(
            TableSnapshot(leases=(lease(0, "w1", None),), foreign_entries=("Leader",), untyped_leases=("shardId-0",)),
            TableKind.JAVA_3_5,
            id="a 2.x table upgraded to 3.5",
        ),
        pytest.param(
            TableSnapshot(leases=(lease(0, "w1", None),), untyped_leases=("shardId-0",)),
            TableKind.KCL_2_X,
            id="rows without a type and nothing else",
        ),
        pytest.param(
            TableSnapshot(leases=(lease(0, "w1", None),)),
            TableKind.JAVA_3_5,
            id="typed rows of Java workers whose other traces cannot be seen",
        ),
        pytest.param(
            TableSnapshot(leases=(lease(0, "w1"),)), TableKind.JAVA_3_5, id="a bound row that a Java worker took over"
        ),
        pytest.param(
            TableSnapshot(leases=(lease(0, "w1", receiver=OURS),)),
            TableKind.JAVA_3_5,
            id="a row that a Java worker still holds on its way to us",
        ),
    ],
)
def test_a_table_is_known_by_what_stands_in_it(snapshot: TableSnapshot, kind: TableKind) -> None:
    assert snapshot.kind == kind


def test_finished_rows_keep_a_table_native() -> None:
    done = Lease(key="shardId-0", checkpoint=SHARD_END, binding=BINDING, child_shard_ids=("shardId-1",))
    assert TableSnapshot(leases=(done,)).kind == TableKind.NATIVE
