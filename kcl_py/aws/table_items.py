"""What the items of a lease table are: leases, sessions, odd rows, and what others keep beside them.

An item is typed by `entityType`; where that is absent, as KCL before 3.5 wrote it, by its well-known key, else it is a
lease (protocol reference, sections 0 and 1.4).
"""

from collections.abc import Iterable

from kcl_py.aws import columns, lease_row, lock_row, session_row
from kcl_py.aws.attributes import Attributes, RowError, text_of
from kcl_py.core.session import is_native_owner
from kcl_py.core.table import OddRow, TableSnapshot

_WELL_KNOWN_KEYS = (columns.LOCK_KEY, "Migration3.0", "TableMigration3.5")


def snapshot_of(items: Iterable[Attributes], legacy_tables: tuple[str, ...]) -> TableSnapshot:
    """Sort a table's items into what they are; never raises, whatever they hold."""
    leases, sessions, odd_rows, foreign_entries, untyped_leases = [], [], [], [], []
    lock = None
    for item in items:
        key = text_of(item, columns.KEY) or ""
        try:
            if _is_lease(item):
                if columns.ENTITY_TYPE not in item:
                    untyped_leases.append(key)
                leases.append(lease_row.lease_of(item))
            elif columns.BEAT in item:
                sessions.append(session_row.session_of(item))
            else:
                if not is_native_owner(text_of(item, columns.LOCK_OWNER) or ""):
                    foreign_entries.append(key)
                if key == columns.LOCK_KEY:
                    lock = lock_row.lock_of(item)
        except RowError as error:
            odd_rows.append(OddRow(key, str(error)))
    return TableSnapshot(
        leases=tuple(sorted(leases, key=lambda lease: lease.key)),
        sessions=tuple(sorted(sessions, key=lambda session: session.key)),
        odd_rows=tuple(sorted(odd_rows, key=lambda row: row.key)),
        foreign_entries=tuple(sorted(foreign_entries)),
        untyped_leases=tuple(sorted(untyped_leases)),
        lock=lock,
        legacy_tables=legacy_tables,
    )


def pulse_of(items: Iterable[Attributes]) -> dict[str, str]:
    """What a living Java worker would change in `items`, by key.

    Read off the raw items, because a row that does not parse may still be renewed by whoever wrote it.
    """
    pulse = {}
    for item in items:
        key = text_of(item, columns.KEY) or text_of(item, "key") or text_of(item, "wid")
        owners = [text_of(item, name) for name in (columns.OWNER, columns.CHECKPOINT_OWNER)]
        lock_owner = text_of(item, columns.LOCK_OWNER)
        if any(owner is not None and not is_native_owner(owner) for owner in owners):
            pulse[str(key)] = f"{owners} {item.get(columns.COUNTER)}"
        elif lock_owner is not None and not is_native_owner(lock_owner):
            pulse[str(key)] = f"{lock_owner} {item.get(columns.LOCK_VERSION)}"
        elif columns.LAST_UPDATE in item and columns.BEAT not in item:
            pulse[str(key)] = f"{item[columns.LAST_UPDATE]}"
    return pulse


def _is_lease(item: Attributes) -> bool:
    if columns.ENTITY_TYPE not in item:
        return text_of(item, columns.KEY) not in _WELL_KNOWN_KEYS
    return text_of(item, columns.ENTITY_TYPE) in (None, columns.LEASE_TYPE)
