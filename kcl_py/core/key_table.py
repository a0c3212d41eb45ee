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
    """Tells which partition keys are outside a shard; remembers hashes, because keys come again and again.

    What is remembered is bounded and is forgotten all at once when it is full.
    """

    def __init__(self) -> None:
        self._hashes: dict[str, bytes] = {}
        self._characters = 0

    @property
    def remembered(self) -> int:
        """How many keys are."""
        return len(self._hashes)

    def outside(self, keys: Sequence[str], hash_range: HashRange | None) -> Set[str]:
        """Those of the keys whose hash is not in the range; none if it is unknown."""
        if hash_range is None or hash_range == EVERY_HASH_KEY:
            return frozenset()
        first, last = hash_range.start.to_bytes(16, "big"), hash_range.end.to_bytes(16, "big")
        hashes = self._of(keys)
        return {key for key in keys if not first <= hashes[key] <= last}

    def _of(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The hashes of these keys and maybe of others."""
        hashes = self._hashes
        new = [key for key in keys if key not in hashes]
        if not new:
            return hashes
        characters = sum(map(len, new))
        if len(hashes) + len(new) > KEYS_REMEMBERED_MAX or self._characters + characters > CHARACTERS_REMEMBERED_MAX:
            # not cleared: another thread may be reading what was remembered
            hashes, new, characters = {}, list(keys), sum(map(len, keys))
            is_too_much = len(new) > KEYS_REMEMBERED_MAX or characters > CHARACTERS_REMEMBERED_MAX
            self._hashes, self._characters = ({}, 0) if is_too_much else (hashes, 0)
        hashes.update(zip(new, [md5(key.encode(), usedforsecurity=False).digest() for key in new], strict=True))
        if hashes is self._hashes:
            self._characters += characters
        return hashes


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
    """Read keys of as many bytes each as the first one: at least that one, and all in one step if they are ASCII."""
    size = blob[at + 1]
    length = size + 2
    end = min(end, at + length * _AT_ONCE_MAX)
    tags, sizes = blob[at:end:length], blob[at + 1 : end : length]
    count = min(len(tags) - len(tags.lstrip(tags[:1])), len(sizes) - len(sizes.lstrip(sizes[:1])), (end - at) // length)
    stop = at + count * length
    keys = blob[at + 2 : stop].decode().split(f"{KEY_TAG:c}{size:c}")
    if len(keys) != count or set(map(len, keys)) != {size}:  # not ASCII, or what parts them is in one of them as well
        keys = [blob[here + 2 : here + length].decode() for here in range(at, stop, length)]
    return keys, stop
