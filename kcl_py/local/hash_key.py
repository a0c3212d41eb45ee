"""Hash keys: from partition key to a place in the 128-bit space, and the space in equal parts."""

import hashlib
from itertools import pairwise

from kcl_py.core.shard import HASH_KEY_MAX, HashRange

_SPACE = HASH_KEY_MAX + 1


def hash_of(partition_key: str) -> int:
    """The hash key of a partition key: MD5, read as a big-endian integer (developer guide, "Key concepts")."""
    return int.from_bytes(hashlib.md5(partition_key.encode(), usedforsecurity=False).digest(), "big")


def equal_ranges(count: int) -> list[HashRange]:
    """Cut the whole space into `count` ranges whose sizes differ by one at most."""
    cuts = [_SPACE * place // count for place in range(count + 1)]
    return [HashRange(start, end - 1) for start, end in pairwise(cuts)]


def are_adjacent(one: HashRange, other: HashRange) -> bool:
    """True when the two ranges make one range without a gap."""
    return one.end + 1 == other.start or other.end + 1 == one.start
