"""The shape of a lease item, as section 1.1 of the protocol reference has it: names, types and values."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from integration.lease_items import Item

_WHOLE = re.compile(r"0|[1-9][0-9]*")
_DECIMAL = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]{1,6})?")
_SHARD_ID = re.compile(r"shardId-[0-9]{12}")
_OWNER = re.compile(r"[^@]+@[0-9a-f]{8}")
_BOUNDARY = re.compile(r"0|[1-9][0-9]{0,38}")
_POSITION = re.compile(r"TRIM_HORIZON|LATEST|AT_TIMESTAMP|SHARD_END|[1-9][0-9]{54,56}")
_STREAM = re.compile(r"arn:aws:kinesis:[a-z0-9-]+:[0-9]{12}:stream/[\w.-]+@[0-9]+")


def _text(form: re.Pattern[str]) -> tuple[str, Callable[[Any], bool]]:
    return "S", lambda value: form.fullmatch(value) is not None


def _shard_ids(counts: Sequence[int]) -> tuple[str, Callable[[Any], bool]]:
    return "SS", lambda value: len(value) in counts and all(map(_SHARD_ID.fullmatch, value))


_NUMBER = ("N", lambda value: _WHOLE.fullmatch(value) is not None)
_REQUIRED: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "leaseKey": _text(_SHARD_ID),
    "leaseCounter": _NUMBER,
    "ownerSwitchesSinceCheckpoint": _NUMBER,
    "checkpoint": _text(_POSITION),
    "checkpointSubSequenceNumber": _NUMBER,
    "startingHashKey": _text(_BOUNDARY),
    "endingHashKey": _text(_BOUNDARY),
    "entityType": _text(re.compile("LEASE")),
}
_OPTIONAL: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "leaseOwner": _text(_OWNER),
    "checkpointOwner": _text(_OWNER),
    "throughputKBps": ("N", lambda value: _DECIMAL.fullmatch(value) is not None),
    "parentShardId": _shard_ids((1, 2)),
    "childShardIds": _shard_ids((1, 2)),
    "kclPyHeld": _text(_OWNER),
    "kclPyStartAt": _NUMBER,
    "kclPyCaughtUpAt": _NUMBER,
    "kclPyStream": _text(_STREAM),
    "kclPyApplication": _text(re.compile(r"[\w-]+")),
    "kclPyTable": _text(re.compile(r"[\w-]+")),
}


def flaws(item: Item) -> list[str]:
    """What is wrong with a lease item; nothing, if a Java KCL reads it as its own."""
    found = [f"{name} is missing" for name in _REQUIRED if name not in item]
    for name, typed in item.items():
        if (rule := {**_REQUIRED, **_OPTIONAL}.get(name)) is None:
            found.append(f"{name} is not in the reference, nor one of ours")
        elif list(typed) != [rule[0]] or not rule[1](typed[rule[0]]):
            found.append(f"{name} is {typed}")
    sentinel = not item["checkpoint"]["S"].isdigit()
    if sentinel and item["checkpointSubSequenceNumber"] != {"N": "0"}:
        found.append("a sentinel has a sub-sequence number")
    if int(item["startingHashKey"]["S"]) >= int(item["endingHashKey"]["S"]):
        found.append("the hash range is empty or inverted")
    if ("childShardIds" in item) != (item["checkpoint"] == {"S": "SHARD_END"}):
        found.append("children are for finished shards, and for all of them")
    return found
