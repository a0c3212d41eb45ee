"""Hash keys: from partition key to a place in the 128-bit space, and the space in equal parts."""

import hashlib
from itertools import pairwise

from kcl_py.core.shard import HASH_KEY_MAX, HashRange

_SPACE = HASH_KEY_MAX + 1


def hash_of(partition_key: str) -> int:
    """The hash key of a partition key: MD5, read as a big-endian integer (developer guide, "Key concepts")."""
    return int.from_bytes(hashlib.md5(partition_key.encode(), usedforsecurity=False).digest(), "big")


def equal_ranges(count: int) -> list[HashRange]:
    """Cut the whole space as CreateStream does: equal ranges, of which the last one takes what is left over."""
    size = _SPACE // count
    starts = [size * place for place in range(count)]
    return [HashRange(start, end - 1) for start, end in pairwise([*starts, _SPACE])]
