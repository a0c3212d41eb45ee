"""The leader lock's item <-> `LeaderLock`, as the Java lock client has it (protocol reference, section 3.5). Pure."""

import re

from kcl_py.aws.attributes import Attributes, AttributeValue, RowError, RowUpdate, difference, required, text_in
from kcl_py.aws.columns import (
    ENTITY_TYPE,
    KEY,
    LOCK_DURATION,
    LOCK_KEY,
    LOCK_OWNER,
    LOCK_RELEASED,
    LOCK_TYPE,
    LOCK_VERSION,
    STANDBY,
)
from kcl_py.core.leadership import LeaderLock

RELEASED = "1"
_MILLISECONDS = re.compile(r"[0-9]{1,18}")


def lock_attributes(lock: LeaderLock) -> dict[str, AttributeValue]:
    """A lock as a whole item."""
    item: dict[str, AttributeValue] = {
        KEY: {"S": LOCK_KEY},
        ENTITY_TYPE: {"S": LOCK_TYPE},
        LOCK_OWNER: {"S": lock.owner},
        LOCK_DURATION: {"S": str(lock.duration_ms)},
        LOCK_VERSION: {"S": lock.version},
    }
    if lock.is_released:
        item[LOCK_RELEASED] = {"S": RELEASED}
    if lock.standby is not None:
        item[STANDBY] = {"S": lock.standby}
    return item


def lock_update(before: LeaderLock, after: LeaderLock) -> RowUpdate:
    """What its holder writes: the duration and the version, as the Java client's heartbeat does, and what differs."""
    item = lock_attributes(after)
    update = difference(lock_attributes(before), item)
    heartbeat = {name: item[name] for name in (LOCK_DURATION, LOCK_VERSION)}
    return RowUpdate(update.assigned | heartbeat, update.removed)


def lock_of(item: Attributes) -> LeaderLock:
    """Read a lock, whoever holds it.

    Raises:
        RowError: an attribute is missing, or of another type.
    """
    if text_in(item, ENTITY_TYPE) not in (None, LOCK_TYPE):
        raise RowError(f"{ENTITY_TYPE} is not {LOCK_TYPE}")
    duration = required(LOCK_DURATION, text_in(item, LOCK_DURATION))
    if not _MILLISECONDS.fullmatch(duration):
        raise RowError(f"{LOCK_DURATION} is {duration[:64]!r}, not a number of milliseconds")
    return LeaderLock(
        owner=required(LOCK_OWNER, text_in(item, LOCK_OWNER)),
        version=required(LOCK_VERSION, text_in(item, LOCK_VERSION)),
        duration_ms=int(duration),
        is_released=text_in(item, LOCK_RELEASED) == RELEASED,
        standby=text_in(item, STANDBY),
    )
