"""The conditions that a lease table's writes are made on (fleet.md, sections 2 to 4). Pure."""

import functools

from pynamodb.expressions.condition import And, Condition
from pynamodb.expressions.operand import Path

from kcl_py.aws import columns
from kcl_py.aws.lock_row import RELEASED
from kcl_py.core.checkpoint import SHARD_END
from kcl_py.core.leadership import LeaderLock
from kcl_py.core.lease import Change, Lease
from kcl_py.core.session import Session


def of_change(change: Change) -> Condition:
    """The row exists, both owners are as seen, and the counter too, or who holds the row."""
    before = change.before
    if change.is_counter_free:
        return _all(*_owners(before), _as_seen(columns.HELD, before.held_by))
    return _all(*_owners(before), _as_seen(columns.COUNTER, before.counter))


def of_deletion(lease: Lease) -> Condition:
    """The row is as seen, and finished."""
    return _all(
        *_owners(lease),
        _as_seen(columns.COUNTER, lease.counter),
        _as_seen(columns.CHECKPOINT, SHARD_END.sequence_number),
    )


def of_session(before: Session) -> Condition:
    """The beat and the revocation are as seen."""
    return _all(_as_seen(columns.BEAT, before.beat), _as_seen(columns.REVOKED, before.is_revoked or None))


def of_lock(before: LeaderLock) -> Condition:
    """The version and the owner are as seen, and if it was seen released, it still is."""
    released = [_as_seen(columns.LOCK_RELEASED, RELEASED)] if before.is_released else []
    return _all(_as_seen(columns.LOCK_VERSION, before.version), _as_seen(columns.LOCK_OWNER, before.owner), *released)


def _owners(lease: Lease) -> tuple[Condition, ...]:
    return (
        Path(columns.KEY).exists(),
        _as_seen(columns.OWNER, lease.owner),
        _as_seen(columns.CHECKPOINT_OWNER, lease.checkpoint_owner),
    )


def _as_seen(name: str, value: str | float | None) -> Condition:
    """The attribute has the value, or is absent if that is None."""
    return Path(name).does_not_exist() if value is None else Path(name) == value


def _all(*conditions: Condition) -> Condition:
    return functools.reduce(And, conditions)
