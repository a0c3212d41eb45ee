"""Lease rows <-> `Lease`, laid out as KCL 3.5 does (protocol reference, section 1.1). Pure."""

import math
import re

from kcl_py.aws.attributes import (
    Attributes,
    AttributeValue,
    RowError,
    RowUpdate,
    decimal_of,
    difference,
    integer_in,
    number,
    required,
    text_in,
    texts_in,
    value_in,
)
from kcl_py.aws.columns import (
    APPLICATION,
    CAUGHT_UP_AT,
    CHECKPOINT,
    CHECKPOINT_OWNER,
    CHILDREN,
    COUNTER,
    ENTITY_TYPE,
    HASH_END,
    HASH_START,
    HELD,
    KEY,
    LEASE_TYPE,
    OWNER,
    OWNER_SWITCHES,
    PARENTS,
    PENDING_CHECKPOINT,
    PENDING_STATE,
    PENDING_SUB_SEQUENCE_NUMBER,
    START_AT,
    STREAM,
    STREAM_NAME,
    SUB_SEQUENCE_NUMBER,
    TABLE,
    THROUGHPUT,
)
from kcl_py.core.checkpoint import Checkpoint
from kcl_py.core.lease import Binding, Change, Lease
from kcl_py.core.shard import HASH_KEY_MAX, HashRange

_SEQUENCE_DIGITS_MAX = 129  # the service's pattern for sequence numbers: 0|([1-9]\d{0,128})
_THROUGHPUT_KBPS_MAX = 1e15  # what a row said goes on in what we say, and a number has 38 digits
_HASH_KEY = re.compile(r"[0-9]{1,39}")
_SHARD_ID = re.compile(r"[a-zA-Z0-9_.-]{1,128}", re.ASCII)  # the API reference's pattern; the service refuses others


def lease_attributes(lease: Lease) -> dict[str, AttributeValue]:
    """A lease as the whole item that `create` puts."""
    item: dict[str, AttributeValue] = {
        KEY: {"S": lease.key},
        ENTITY_TYPE: {"S": LEASE_TYPE},
        COUNTER: number(lease.counter),
        OWNER_SWITCHES: number(lease.owner_switches),
        CHECKPOINT: {"S": lease.checkpoint.sequence_number},
        SUB_SEQUENCE_NUMBER: number(lease.checkpoint.sub_sequence_number),
    }
    for name, text in ((OWNER, lease.owner), (CHECKPOINT_OWNER, lease.checkpoint_owner), (HELD, lease.held_by)):
        if text is not None:
            item[name] = {"S": text}
    for name, instant in ((START_AT, lease.start_at_ms), (CAUGHT_UP_AT, lease.caught_up_at_ms)):
        if instant is not None:
            item[name] = number(instant)
    for name, shard_ids in ((PARENTS, lease.parent_shard_ids), (CHILDREN, lease.child_shard_ids)):
        if shard_ids:
            item[name] = {"SS": list(shard_ids)}
    if lease.pending_checkpoint is not None:
        item[PENDING_CHECKPOINT] = {"S": lease.pending_checkpoint.sequence_number}
        item[PENDING_SUB_SEQUENCE_NUMBER] = number(lease.pending_checkpoint.sub_sequence_number)
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
    if lease.throughput_kbps is not None and math.isfinite(lease.throughput_kbps):
        item[THROUGHPUT] = number(min(float(lease.throughput_kbps), _THROUGHPUT_KBPS_MAX))
    return item


def lease_update(change: Change) -> RowUpdate:
    """The attributes in which `change.after` differs from `change.before`."""
    return difference(lease_attributes(change.before), lease_attributes(change.after))


def lease_of(item: Attributes) -> Lease:
    """Read a lease row.

    Raises:
        RowError: an attribute is missing, of another type, or out of range.
    """
    kind = text_in(item, ENTITY_TYPE)
    if kind not in (None, LEASE_TYPE):
        raise RowError(f"{ENTITY_TYPE} is {kind[:64]!r}, not a lease")
    if STREAM_NAME in item:
        raise RowError(f"it carries {STREAM_NAME}: a row of a table that several streams share")
    checkpoint = _checkpoint(item, CHECKPOINT, SUB_SEQUENCE_NUMBER)
    if checkpoint is None:
        raise RowError(f"{CHECKPOINT} is missing")
    return Lease(
        key=_shard_id(item),
        owner=text_in(item, OWNER),
        checkpoint_owner=text_in(item, CHECKPOINT_OWNER),
        counter=required(COUNTER, integer_in(item, COUNTER)),
        checkpoint=checkpoint,
        owner_switches=required(OWNER_SWITCHES, integer_in(item, OWNER_SWITCHES)),
        pending_checkpoint=_checkpoint(item, PENDING_CHECKPOINT, PENDING_SUB_SEQUENCE_NUMBER),
        pending_checkpoint_state=value_in(item, PENDING_STATE, "B", bytes),
        parent_shard_ids=texts_in(item, PARENTS),
        child_shard_ids=texts_in(item, CHILDREN),
        hash_range=_hash_range(item),
        held_by=text_in(item, HELD),
        start_at_ms=integer_in(item, START_AT),
        caught_up_at_ms=integer_in(item, CAUGHT_UP_AT),
        binding=_binding(item),
        throughput_kbps=_throughput(item),
    )


def _shard_id(item: Attributes) -> str:
    key = required(KEY, text_in(item, KEY))
    if not _SHARD_ID.fullmatch(key):
        raise RowError(f"{KEY} is no shard id")
    return key


def _checkpoint(item: Attributes, name: str, sub_name: str) -> Checkpoint | None:
    text = text_in(item, name)
    sub_sequence_number = integer_in(item, sub_name) or 0
    if text is None:
        return None
    if len(text) > _SEQUENCE_DIGITS_MAX:
        raise RowError(f"{name} has {len(text)} characters; a sequence number has at most {_SEQUENCE_DIGITS_MAX}")
    try:
        return Checkpoint(text, sub_sequence_number)
    except ValueError as error:
        raise RowError(f"{name} is {error}") from None


def _hash_range(item: Attributes) -> HashRange | None:
    start, end = text_in(item, HASH_START), text_in(item, HASH_END)
    if not start or not end:
        return None
    if not _HASH_KEY.fullmatch(start) or not _HASH_KEY.fullmatch(end):
        raise RowError(f"{HASH_START} and {HASH_END} are not decimal hash keys")
    if not int(start) <= int(end) <= HASH_KEY_MAX:
        raise RowError(f"the hash range {start} to {end} is inverted, or beyond 128 bits")
    return HashRange(int(start), int(end))


def _binding(item: Attributes) -> Binding | None:
    stream, application = text_in(item, STREAM), text_in(item, APPLICATION)
    table_id = text_in(item, TABLE)
    if stream is None and application is None:
        return None
    return Binding(required(STREAM, stream), required(APPLICATION, application), table_id)


def _throughput(item: Attributes) -> float | None:
    """None also for what is no rate: no metric is worth a row."""
    rate = decimal_of(item.get(THROUGHPUT))
    return rate if rate is not None and rate >= 0 else None
