"""The partition keys of an aggregate: many are read in one go, and each is hashed once as long as it is remembered."""

from collections.abc import Sequence, Set

from kcl_py.core.protobuf import Malformed
from kcl_py.core.shard import EVERY_HASH_KEY, HashRange

try:
    # CPython's own takes a third of the time that OpenSSL's takes for something as short as a key, most of which is
    # OpenSSL's lookup of the algorithm. Builds for FIPS come without it.
    from _md5 import md5  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    from hashlib import md5

KEY_TAG = 0x0A
KEYS_REMEMBERED_MAX = 4_096  # with more of them, looking one up costs as much as hashing it
CHARACTERS_REMEMBERED_MAX = 1024 * 1024
"""Of the keys remembered, together: an honest one has 256 at most, and nobody makes an enemy be honest."""

_AT_ONCE_MAX = 256  # so that a look ahead costs little where the keys turn out not to be alike


class KeyHashes:
    """Tells which partition keys are outside a shard; remembers those inside, because keys come again and again.

    What is remembered is bounded, for all shards together, and is forgotten all at once when it is full.
    """

    def __init__(self) -> None:
        self._inside: dict[HashRange, set[str]] = {}
        self._characters = 0

    @property
    def remembered(self) -> int:
        """How many keys are."""
        return sum(map(len, self._inside.values()))

    def outside(self, keys: Sequence[str], hash_range: HashRange | None) -> Set[str]:
        """Those of the keys whose hash is not in the range; none if it is unknown."""
        if hash_range is None or hash_range == EVERY_HASH_KEY:
            return frozenset()
        inside: set[str] = self._inside.get(hash_range, set())
        if inside.issuperset(keys):
            return frozenset()
        first, last = hash_range.start.to_bytes(16, "big"), hash_range.end.to_bytes(16, "big")
        new = [key for key in keys if key not in inside]
        hashes = [md5(key.encode(), usedforsecurity=False).digest() for key in new]
        outside = {key for key, hashed in zip(new, hashes, strict=True) if not first <= hashed <= last}
        self._remember(set(new) - outside, hash_range)
        return outside

    def _remember(self, keys: set[str], hash_range: HashRange) -> None:
        characters = sum(map(len, keys))
        known, all_characters = self.remembered, self._characters + characters
        if known + len(keys) > KEYS_REMEMBERED_MAX or all_characters > CHARACTERS_REMEMBERED_MAX:
            self._inside, all_characters = {}, characters  # not cleared: another thread may be reading it
        if len(keys) <= KEYS_REMEMBERED_MAX and characters <= CHARACTERS_REMEMBERED_MAX:
            self._inside.setdefault(hash_range, set()).update(keys)
            self._characters = all_characters


def short_keys(blob: bytes, at: int, end: int) -> tuple[list[str], int]:
    """Read partition keys of under 128 bytes for as long as they follow one another.

    The byte at `end` and the one after it must exist; what they are does not matter.

    Returns:
        The keys, and where they end.

    Raises:
        Malformed: one of them is not UTF-8.
    """
    keys: list[str] = []
    try:
        while blob[at] == KEY_TAG and (size := blob[at + 1]) < 0x80 and (stop := at + 2 + size) <= end:
            if stop + 2 <= end and blob[stop] == KEY_TAG and blob[stop + 1] == size:
                alike, stop = _alike(blob, at, end)
                keys += alike
            else:
                keys.append(blob[at + 2 : stop].decode())
            at = stop
    except UnicodeDecodeError:
        raise Malformed("a key is not UTF-8") from None
    return keys, at


def _alike(blob: bytes, at: int, end: int) -> tuple[list[str], int]:
    """Read keys of as many bytes each as the first one: at least that one."""
    size = blob[at + 1]
    length = size + 2
    end = min(end, at + length * _AT_ONCE_MAX)
    tags, sizes = blob[at:end:length], blob[at + 1 : end : length]
    count = min(len(tags) - len(tags.lstrip(tags[:1])), len(sizes) - len(sizes.lstrip(sizes[:1])), (end - at) // length)
    stop = at + count * length
    # what parts them stands wherever it has to: as many parts as keys are the keys, unless it can overlap itself
    keys = blob[at + 2 : stop].decode().split(f"{KEY_TAG:c}{size:c}")
    if len(keys) != count or size == KEY_TAG:
        keys = [blob[here + 2 : here + length].decode() for here in range(at, stop, length)]
    return keys, stop
