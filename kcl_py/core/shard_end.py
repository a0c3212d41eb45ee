"""The end of a shard: which rows must stand before SHARD_END may be written, and whether it is the end at all.

The service says that a shard ended by giving no next iterator, and names the children. Where it names none, or not all,
the listing must show them; that a closed shard has no more children is believed only when two listings agree (law S9).
"""

from collections.abc import Sequence

import msgspec

from kcl_py.core.checkpoint import TRIM_HORIZON
from kcl_py.core.lease import Lease
from kcl_py.core.listing import Listing, Listings
from kcl_py.core.shard import ChildShard, HashRange


class ShardEnd(msgspec.Struct, frozen=True):
    """The shard ended. `children` are the rows to create if absent, before the shard's own row says SHARD_END."""

    children: tuple[Lease, ...]

    @property
    def child_shard_ids(self) -> tuple[str, ...]:
        """What the shard's own row is to name."""
        return tuple(child.key for child in self.children)


class Unconfirmed(msgspec.Struct, frozen=True):
    """It is not certain that the shard ended, or with which children: list again and ask again."""

    reason: str


def shard_end(lease: Lease, named: Sequence[ChildShard], listings: Listings) -> ShardEnd | Unconfirmed:
    """Judge a shard whose last page gave no next iterator.

    Args:
        lease: its row.
        named: the children that the page named.
        listings: what the stream listed.
    """
    listing = listings.newest or Listing.of(())
    shard = listing.shards.get(lease.key)
    if not named and shard is not None and not shard.is_closed:
        return Unconfirmed(f"{lease.key} has no next iterator and names no children, but is listed as open")
    children = _known_children(lease.key, named, listing)
    end = ShardEnd(tuple(Lease.for_shard(child, TRIM_HORIZON) for child in children))
    if children and _are_all(children, lease.hash_range or (shard.hash_range if shard else None)):
        return end
    if listings.agree(lambda listing: _shows_no_others(listing, lease.key, end.child_shard_ids)):
        return end
    return Unconfirmed(f"{lease.key} has no next iterator, but its children are not known yet")


def _known_children(shard_id: str, named: Sequence[ChildShard], listing: Listing) -> tuple[ChildShard, ...]:
    """The children that the page names or the listing shows, each with every parent that either knows of."""
    children = {child.shard_id: child for child in named if shard_id in child.parent_shard_ids}
    for listed in listing.children_of(shard_id):
        known = children.get(listed.shard_id)
        parents = {*listed.parent_shard_ids, *(known.parent_shard_ids if known else ())}
        children[listed.shard_id] = ChildShard(
            shard_id=listed.shard_id, hash_range=listed.hash_range, parent_shard_ids=tuple(sorted(parents))
        )
    return tuple(children[child_id] for child_id in sorted(children))


def _are_all(children: Sequence[ChildShard], hash_range: HashRange | None) -> bool:
    """True if the children take the whole range over, and each that reaches beyond it names another parent as well."""
    if hash_range is None:
        return len(children) > 1 or len(children[0].parent_shard_ids) > 1
    is_merge_whole = all(
        len(child.parent_shard_ids) > 1 or not child.hash_range.without([hash_range]) for child in children
    )
    return is_merge_whole and not hash_range.without(child.hash_range for child in children)


def _shows_no_others(listing: Listing, shard_id: str, child_ids: Sequence[str]) -> bool:
    """True if the shard is listed as closed, with no children but these."""
    shard = listing.shards.get(shard_id)
    is_closed = shard is not None and shard.is_closed
    return is_closed and all(child in child_ids for child in listing.child_ids.get(shard_id, ()))
