"""What stands in a lease table, and whose table it is (fleet.md, section 1)."""

from enum import Enum

import msgspec

from kcl_py.core.leadership import LeaderLock
from kcl_py.core.lease import Lease
from kcl_py.core.session import Session


class TableKind(Enum):
    """Whose table this is; the value names it for people."""

    FRESH = "empty"
    NATIVE = "kcl_py"
    JAVA_3_5 = "Java KCL 3.5 or newer, single table"
    LEGACY_3_X = "Java KCL 3.0 to 3.4, or an upgraded one"
    KCL_2_X = "KCL 1.x or 2.x"


class OddRow(msgspec.Struct, frozen=True):
    """An item that claims to be a lease or a session and does not parse; it is left alone and reported."""

    key: str
    reason: str


class TableSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One consistent reading of the whole table."""

    leases: tuple[Lease, ...] = ()
    sessions: tuple[Session, ...] = ()
    odd_rows: tuple[OddRow, ...] = ()
    foreign_entries: tuple[str, ...] = ()  # keys of non-lease items that no kcl_py wrote
    untyped_leases: tuple[str, ...] = ()  # keys of lease rows, odd ones too, without `entityType`
    lock: LeaderLock | None = None  # who leads
    legacy_tables: tuple[str, ...] = ()  # CoordinatorState and WorkerMetricStats tables that exist beside this one

    @property
    def kind(self) -> TableKind:
        """Whose table this is.

        A table whose every lease is bound by kcl_py and owned by nobody else is native, whatever a stopped Java fleet
        left beside it: that is how a table looks after `--take-over`. One whose rows name other workers is never
        native, even if nothing else of their fleet can be seen.
        """
        is_ours = all(lease.is_owner_native for lease in self.leases)
        is_bound = bool(self.leases) and all(lease.binding is not None for lease in self.leases)
        evidence = (
            (is_bound and is_ours, TableKind.NATIVE),
            (bool(self.legacy_tables), TableKind.LEGACY_3_X),
            (bool(self.foreign_entries), TableKind.JAVA_3_5),
            (bool(self.untyped_leases), TableKind.KCL_2_X),
            (not is_ours, TableKind.JAVA_3_5),
            (not self.leases and not self.sessions, TableKind.FRESH),
        )
        return next((kind for holds, kind in evidence if holds), TableKind.NATIVE)
