"""What the stream listed, and what it listed before: a shard that is missing once may only have been left out.

A listing may be stale by a minute, or lack an entry. So nothing is concluded from the absence of a shard until two
complete listings, taken `CONFIRM_SECONDS` apart, both lack it (fleet.md, section 8).
"""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from kcl_py.core.shard import EVERY_HASH_KEY, HashRange, Shard

CONFIRM_SECONDS = 60.0
REMEMBERED_MAX = 16
"""Listings come about once a minute; in a burst every other one is forgotten, never the first or the last."""


class Listing(msgspec.Struct, frozen=True):
    """One answer of ListShards, all pages. Made by `of`."""

    shards: Mapping[str, Shard]  # oldest first
    child_ids: Mapping[str, tuple[str, ...]]  # of every parent that a listed shard names, listed itself or not

    @classmethod
    def of(cls, shards: Iterable[Shard]) -> "Listing":
        """Index a listing. Of a shard that stands there twice the closed entry counts: it is the newer one."""
        by_id: dict[str, Shard] = {}
        for shard in sorted(shards, key=lambda shard: (shard.age_order, shard.is_closed)):
            by_id[shard.shard_id] = shard
        child_ids: dict[str, tuple[str, ...]] = {}
        for shard in by_id.values():
            for parent_id in shard.parent_shard_ids:
                child_ids[parent_id] = (*child_ids.get(parent_id, ()), shard.shard_id)
        return cls(by_id, child_ids)

    def __contains__(self, shard_id: str) -> bool:
        return shard_id in self.shards

    def parents_of(self, shard_id: str) -> tuple[Shard, ...]:
        """The parents of a listed shard, as far as they are listed too."""
        return tuple(self.shards[parent] for parent in self.shards[shard_id].parent_shard_ids if parent in self.shards)

    def children_of(self, shard_id: str) -> tuple[Shard, ...]:
        """The listed children of a shard, which need not be listed itself."""
        return tuple(self.shards[child] for child in self.child_ids.get(shard_id, ()))

    @property
    def roots(self) -> tuple[Shard, ...]:
        """The shards without a listed parent: those that were open at the trim horizon."""
        return tuple(shard for shard in self.shards.values() if not self.parents_of(shard.shard_id))

    @property
    def leaves(self) -> tuple[Shard, ...]:
        """The shards without a listed child: those that are open, or were closed a moment ago."""
        return tuple(shard for shard in self.shards.values() if not self.children_of(shard.shard_id))

    @property
    def early_children(self) -> tuple[Shard, ...]:
        """The shards with a parent that is listed as open still: the listing was taken in the middle of a reshard."""
        return tuple(
            shard
            for shard in self.shards.values()
            if any(not parent.is_closed for parent in self.parents_of(shard.shard_id))
        )

    def is_ancestry_whole(self, shard_id: str) -> bool:
        """True if every ancestor of a listed shard, back to the first shards of the stream, is listed."""
        ahead, seen = [shard_id], set()
        while ahead:
            shard = self.shards.get(ahead.pop())
            if shard is None:
                return False
            seen.add(shard.shard_id)
            ahead.extend(parent for parent in shard.parent_shard_ids if parent not in seen)
        return True

    def covers(self, hash_range: HashRange | None) -> bool:
        """True if it lists shards of every key of this range; of the whole ring, if the range is not known."""
        return not (hash_range or EVERY_HASH_KEY).without(shard.hash_range for shard in self.shards.values())


class Listings(msgspec.Struct, frozen=True):
    """The complete, unfiltered listings of the last `CONFIRM_SECONDS`, and the one before them."""

    window: tuple[tuple[float, Listing], ...] = ()  # oldest first, each with when it was asked for

    @property
    def newest(self) -> Listing | None:
        """The last listing; None if there is none yet."""
        return self.window[-1][1] if self.window else None

    def seen(self, listing: Listing, asked_at: float) -> "Listings":
        """Add a listing that was asked for at `asked_at`, in seconds of the caller's own clock, never going back."""
        window = [*self.window, (asked_at, listing)]
        while len(window) > 1 and asked_at - window[1][0] >= CONFIRM_SECONDS:
            del window[0]
        if len(window) > REMEMBERED_MAX:
            del window[1:-1:2]
        return Listings(tuple(window))

    def agree(self, says: Callable[[Listing], bool]) -> bool:
        """True if there are two listings `CONFIRM_SECONDS` apart that say so, and none between them says otherwise."""
        if not self.window or self.window[-1][0] - self.window[0][0] < CONFIRM_SECONDS:
            return False
        return all(says(listing) for _, listing in self.window)

    def lack(self, shard_id: str) -> bool:
        """True if the listings agree that there is no such shard."""
        return self.agree(lambda listing: shard_id not in listing)
