"""A lease table's columns <-> core values. Pure; the only place that spells an attribute name.

Names, types and tolerance are those of KCL 3.5 (protocol reference, sections 1.1 and 1.3). Attributes that are not
listed here belong to others: they are never read, written or removed. What does not parse raises `RowError` here and
becomes an `OddRow` in a snapshot, so that one bad item never hides the others.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from kcl_py.core.checkpoint import Checkpoint
from kcl_py.core.lease import Binding, Change, Lease
from kcl_py.core.session import PROTOCOL, Process, Session
from kcl_py.core.shard import HASH_KEY_MAX, HashRange

KEY = "leaseKey"
OWNER = "leaseOwner"
CHECKPOINT_OWNER = "checkpointOwner"
COUNTER = "leaseCounter"
CHECKPOINT = "checkpoint"
SUB_SEQUENCE_NUMBER = "checkpointSubSequenceNumber"
OWNER_SWITCHES = "ownerSwitchesSinceCheckpoint"
PENDING_CHECKPOINT = "pendingCheckpoint"
PENDING_SUB_SEQUENCE_NUMBER = "pendingCheckpointSubSequenceNumber"
PENDING_STATE = "pendingCheckpointState"
PARENTS = "parentShardId"  # a set, in spite of its name
CHILDREN = "childShardIds"
HASH_START = "startingHashKey"
HASH_END = "endingHashKey"
ENTITY_TYPE = "entityType"
STREAM_NAME = "streamName"  # only rows of multi-stream tables carry it
LAST_UPDATE = "lut"
STATISTICS = "sts"
OPERATING_RANGE = "opr"
SUPPORT = "sup"
LAST_SUPPORT_UPDATE = "slu"

# Private: Java readers ignore them. The first six stand on lease rows, the others on worker entries.
HELD = "kclPyHeld"  # S, the owner string that picked the lease up
START_AT = "kclPyStartAt"  # N, milliseconds since the epoch
CAUGHT_UP_AT = "kclPyCaughtUpAt"  # N, milliseconds since the epoch
STREAM = "kclPyStream"  # S, ARN@creation epoch
APPLICATION = "kclPyApplication"  # S
TABLE = "kclPyTable"  # S, DynamoDB's TableId
BEAT = "kclPyBeat"  # N; marks a worker entry as ours
PROTOCOL_VERSION = "kclPyProtocol"  # N
REVOKED = "kclPyRevoked"  # BOOL true, or absent
LEAVING = "kclPyLeaving"  # BOOL true, or absent
PROCESS = "kclPyProcess"  # M: bootId S, pidNamespace S, pid N, startedTicks N

LEASE_TYPE = "LEASE"
SESSION_TYPE = "WORKER_METRIC_STATS"

_INTEGER = re.compile(r"[0-9]{1,38}")  # DynamoDB's numbers have 38 digits
_SEQUENCE_DIGITS_MAX = 129  # the service's pattern for sequence numbers: 0|([1-9]\d{0,128})
_HASH_KEY = re.compile(r"[0-9]{1,39}")


Value = TypeVar("Value")
AttributeValue = dict[str, Any]
"""A value as DynamoDB's API writes it: one type letter and its value, such as `{"N": "7"}`."""
Attributes = Mapping[str, AttributeValue]


class RowError(ValueError):
    """An item is not the row it claims to be; the text says why."""


class RowUpdate(msgspec.Struct, frozen=True):
    """Which attributes to set and which to remove; no other is touched."""

    assigned: dict[str, AttributeValue]
    removed: tuple[str, ...]


def lease_attributes(lease: Lease) -> dict[str, AttributeValue]:
    """A lease as the whole item that `create` puts."""
    item: dict[str, AttributeValue] = {
        KEY: {"S": lease.key},
        ENTITY_TYPE: {"S": LEASE_TYPE},
        COUNTER: _number(lease.counter),
        OWNER_SWITCHES: _number(lease.owner_switches),
        CHECKPOINT: {"S": lease.checkpoint.sequence_number},
        SUB_SEQUENCE_NUMBER: _number(lease.checkpoint.sub_sequence_number),
    }
    for name, text in ((OWNER, lease.owner), (CHECKPOINT_OWNER, lease.checkpoint_owner), (HELD, lease.held_by)):
        if text is not None:
            item[name] = {"S": text}
    for name, instant in ((START_AT, lease.start_at_ms), (CAUGHT_UP_AT, lease.caught_up_at_ms)):
        if instant is not None:
            item[name] = _number(instant)
    for name, shard_ids in ((PARENTS, lease.parent_shard_ids), (CHILDREN, lease.child_shard_ids)):
        if shard_ids:
            item[name] = {"SS": list(shard_ids)}
    if lease.pending_checkpoint is not None:
        item[PENDING_CHECKPOINT] = {"S": lease.pending_checkpoint.sequence_number}
        item[PENDING_SUB_SEQUENCE_NUMBER] = _number(lease.pending_checkpoint.sub_sequence_number)
    if lease.pending_checkpoint_state is not None:
        item[PENDING_STATE] = {"B": lease.pending_checkpoint_state}
    if lease.hash_range is not None:
        item[HASH_START] = {"S": str(lease.hash_range.start)}
        item[HASH_END] = {"S": str(lease.hash_range.end)}
    if lease.binding is not None:
        item[STREAM] = {"S": lease.binding.stream}
        item[APPLICATION] = {"S": lease.binding.application}
        if lease.binding.table_id is not None:
            item[TABLE] = {"S": lease.binding.table_id}
    return item


def lease_update(change: Change) -> RowUpdate:
    """The attributes in which `change.after` differs from `change.before`."""
    return _difference(lease_attributes(change.before), lease_attributes(change.after))


def session_attributes(session: Session) -> dict[str, AttributeValue]:
    """A session as the worker entry that Java readers take for a worker without metrics (section 1.3)."""
    item: dict[str, AttributeValue] = {
        KEY: {"S": session.key},
        ENTITY_TYPE: {"S": SESSION_TYPE},
        LAST_UPDATE: _number(session.updated_at_seconds),
        STATISTICS: {"M": {}},
        OPERATING_RANGE: {"M": {}},
        SUPPORT: _number(1),
        LAST_SUPPORT_UPDATE: _number(session.updated_at_seconds),
        BEAT: _number(session.beat),
        PROTOCOL_VERSION: _number(session.protocol),
    }
    for name, is_set in ((REVOKED, session.is_revoked), (LEAVING, session.is_leaving)):
        if is_set:
            item[name] = {"BOOL": True}
    if session.process is not None:
        item[PROCESS] = {
            "M": {
                "bootId": {"S": session.process.boot_id},
                "pidNamespace": {"S": session.process.pid_namespace},
                "pid": _number(session.process.pid),
                "startedTicks": _number(session.process.started_ticks),
            }
        }
    return item


def session_update(before: Session, after: Session) -> RowUpdate:
    """The attributes in which `after` differs from `before`; the beat at least, so that there is something to write."""
    update = _difference(session_attributes(before), session_attributes(after))
    return update if update.assigned or update.removed else RowUpdate({BEAT: _number(after.beat)}, ())


def lease_of(item: Attributes) -> Lease:
    """Read a lease row.

    Raises:
        RowError: an attribute is missing, of another type, or out of range.
    """
    kind = _text(item, ENTITY_TYPE)
    if kind not in (None, LEASE_TYPE):
        raise RowError(f"{ENTITY_TYPE} is {kind[:64]!r}, not a lease")
    if STREAM_NAME in item:
        raise RowError(f"it carries {STREAM_NAME}: a row of a table that several streams share")
    checkpoint = _checkpoint(item, CHECKPOINT, SUB_SEQUENCE_NUMBER)
    if checkpoint is None:
        raise RowError(f"{CHECKPOINT} is missing")
    return Lease(
        key=_required(KEY, _text(item, KEY)),
        owner=_text(item, OWNER),
        checkpoint_owner=_text(item, CHECKPOINT_OWNER),
        counter=_required(COUNTER, _integer(item, COUNTER)),
        checkpoint=checkpoint,
        owner_switches=_required(OWNER_SWITCHES, _integer(item, OWNER_SWITCHES)),
        pending_checkpoint=_checkpoint(item, PENDING_CHECKPOINT, PENDING_SUB_SEQUENCE_NUMBER),
        pending_checkpoint_state=_value(item, PENDING_STATE, "B", bytes),
        parent_shard_ids=_texts(item, PARENTS),
        child_shard_ids=_texts(item, CHILDREN),
        hash_range=_hash_range(item),
        held_by=_text(item, HELD),
        start_at_ms=_integer(item, START_AT),
        caught_up_at_ms=_integer(item, CAUGHT_UP_AT),
        binding=_binding(item),
    )


def session_of(item: Attributes) -> Session:
    """Read a worker entry that a kcl_py session wrote.

    Raises:
        RowError: as `lease_of`; also for a worker entry without a beat, which a Java worker wrote.
    """
    if _text(item, ENTITY_TYPE) != SESSION_TYPE:
        raise RowError(f"{ENTITY_TYPE} is not {SESSION_TYPE}")
    process = _value(item, PROCESS, "M", dict)
    return Session(
        key=_required(KEY, _text(item, KEY)),
        beat=_required(BEAT, _integer(item, BEAT)),
        is_revoked=bool(_value(item, REVOKED, "BOOL", bool)),
        is_leaving=bool(_value(item, LEAVING, "BOOL", bool)),
        protocol=_integer(item, PROTOCOL_VERSION) or PROTOCOL,
        process=None if process is None else _process(process),
        updated_at_seconds=_integer(item, LAST_UPDATE) or 0,
    )


def text_of(item: Attributes, name: str) -> str | None:
    """A string attribute of an item that may be anything; None if it is absent or no string."""
    try:
        return _text(item, name)
    except RowError:
        return None


def _difference(before: Attributes, after: dict[str, AttributeValue]) -> RowUpdate:
    return RowUpdate(
        {name: value for name, value in after.items() if before.get(name) != value},
        tuple(name for name in before if name not in after),
    )


def _number(value: int) -> AttributeValue:
    return {"N": str(value)}


def _value(item: Attributes, name: str, letter: str, kind: type[Value]) -> Value | None:
    """The value of one attribute, None if it is absent."""
    if name not in item:
        return None
    typed = item[name]
    value = typed.get(letter) if isinstance(typed, Mapping) and len(typed) == 1 else None
    if not isinstance(value, kind):
        raise RowError(f"{name} is not of type {letter}")
    return value


def _required(name: str, value: Value | None) -> Value:
    if value is None:
        raise RowError(f"{name} is missing")
    return value


def _text(item: Attributes, name: str) -> str | None:
    return _value(item, name, "S", str)


def _texts(item: Attributes, name: str) -> tuple[str, ...]:
    texts: list[str] = _value(item, name, "SS", list) or []
    if not all(isinstance(text, str) for text in texts):
        raise RowError(f"{name} is not of type SS")
    return tuple(sorted(texts))


def _integer(item: Attributes, name: str) -> int | None:
    digits = _value(item, name, "N", str)
    if digits is None:
        return None
    if not _INTEGER.fullmatch(digits):
        raise RowError(f"{name} is {digits[:64]!r}, not a whole number of 0 or more")
    return int(digits)


def _checkpoint(item: Attributes, name: str, sub_name: str) -> Checkpoint | None:
    text = _text(item, name)
    sub_sequence_number = _integer(item, sub_name) or 0
    if text is None:
        return None
    if len(text) > _SEQUENCE_DIGITS_MAX:
        raise RowError(f"{name} has {len(text)} characters; a sequence number has at most {_SEQUENCE_DIGITS_MAX}")
    try:
        return Checkpoint(text, sub_sequence_number)
    except ValueError as error:
        raise RowError(f"{name} is {error}") from None


def _hash_range(item: Attributes) -> HashRange | None:
    start, end = _text(item, HASH_START), _text(item, HASH_END)
    if not start or not end:
        return None
    if not _HASH_KEY.fullmatch(start) or not _HASH_KEY.fullmatch(end):
        raise RowError(f"{HASH_START} and {HASH_END} are not decimal hash keys")
    if not int(start) <= int(end) <= HASH_KEY_MAX:
        raise RowError(f"the hash range {start} to {end} is inverted, or beyond 128 bits")
    return HashRange(int(start), int(end))


def _binding(item: Attributes) -> Binding | None:
    stream, application = _text(item, STREAM), _text(item, APPLICATION)
    table_id = _text(item, TABLE)
    if stream is None and application is None:
        return None
    return Binding(_required(STREAM, stream), _required(APPLICATION, application), table_id)


def _process(parts: Attributes) -> Process:
    return Process(
        boot_id=_required("bootId", _text(parts, "bootId")),
        pid_namespace=_required("pidNamespace", _text(parts, "pidNamespace")),
        pid=_required("pid", _integer(parts, "pid")),
        started_ticks=_required("startedTicks", _integer(parts, "startedTicks")),
    )
