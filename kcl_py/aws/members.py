"""Reads the members that several of Kinesis' answers have; what makes no sense is refused."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from kcl_py.aws.calls import MalformedAnswer
from kcl_py.core.shard import HASH_KEY_MAX, ChildShard, HashRange

_SEQUENCE_NUMBER = re.compile(r"0|[1-9][0-9]{0,128}")  # the API reference's patterns
_HASH_KEY = re.compile(r"[0-9]{1,39}")


def hash_range(item: Mapping[str, Any]) -> HashRange:
    """Read a HashKeyRange; what a row could not hold is refused here.

    Raises:
        MalformedAnswer: it is none, or inverted.
        LookupError, TypeError: it has the wrong shape.
    """
    start, end = item["StartingHashKey"], item["EndingHashKey"]
    if not (_HASH_KEY.fullmatch(start) and _HASH_KEY.fullmatch(end) and int(start) <= int(end) <= HASH_KEY_MAX):
        raise MalformedAnswer("a hash range that is none")
    return HashRange(int(start), int(end))


def name_in(item: Mapping[str, Any], member: str) -> str:
    """Read a shard's id.

    Raises:
        MalformedAnswer: it is missing, or no text.
    """
    name = item.get(member)
    if not isinstance(name, str) or not name:
        raise MalformedAnswer(f"no {member}")
    return name


def token_in(answer: Mapping[str, Any], member: str) -> str | None:
    """Read what leads to the next page, None if nothing does.

    Raises:
        MalformedAnswer: it is no text.
    """
    token = answer.get(member) or None
    if token is not None and not isinstance(token, str):
        raise MalformedAnswer(f"a {member} that is none")
    return token


def sequence_number(number: object) -> str:
    """Read a sequence number.

    Raises:
        MalformedAnswer: it is none.
    """
    if not isinstance(number, str) or _SEQUENCE_NUMBER.fullmatch(number) is None:
        raise MalformedAnswer("a sequence number that is none")
    return number


def children(items: Iterable[Mapping[str, Any]]) -> tuple[ChildShard, ...]:
    """Read the ChildShards of a closed shard's last page, sorted by id.

    Raises:
        MalformedAnswer: they are none.
        LookupError, TypeError, ValueError, AttributeError: a part of them has the wrong shape.
    """
    return tuple(sorted(map(_child, items), key=lambda child: child.shard_id))


def _child(item: Mapping[str, Any]) -> ChildShard:
    parents = item["ParentShards"]
    if not isinstance(parents, list) or not all(isinstance(parent, str) and parent for parent in parents):
        raise MalformedAnswer("a child whose parents are no ids")
    return ChildShard(
        shard_id=name_in(item, "ShardId"),
        hash_range=hash_range(item["HashKeyRange"]),
        parent_shard_ids=tuple(parents),
    )
