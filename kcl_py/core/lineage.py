"""Parents before children: a shard may start when all that its parents held is done, or can never be had.

A parent with a row is awaited until the row says SHARD_END. A parent without a row is awaited too, unless something
says that nothing is left of it to wait for (fleet.md, section 8): the reasons stand in `Lineage._is_out_of_scope`.
Both parents of a merge count.
"""

from collections.abc import Iterable, Set

import msgspec

from kcl_py.core.checkpoint import AT_TIMESTAMP, LATEST
from kcl_py.core.lease import Lease
from kcl_py.core.listing import Listing, Listings
from kcl_py.core.shard import HashRange

NOTHING_LISTED = Listing.of(())


class Gate(msgspec.Struct, frozen=True):
    """Whether a shard may start, and what it waits for.

    Attributes:
        unfinished: parents whose row does not say SHARD_END yet.
        missing: parents without a row that may still hold records: `missing_leases` makes a row for those that are
            listed; those that are not are given up once two listings agree.
    """

    unfinished: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """True if the shard may start."""
        return not self.unfinished and not self.missing

    @property
    def parents(self) -> tuple[str, ...]:
        """Every parent that is waited for."""
        return tuple(sorted(self.unfinished + self.missing))

    def __str__(self) -> str:
        reasons = [f"{parent} is not finished" for parent in self.unfinished]
        reasons += [f"{parent} has no row, and may still be in the stream" for parent in self.missing]
        return "; ".join(reasons) or "may start"


def has_moved_on(lease: Lease) -> bool:
    """True once something of the shard is done: its checkpoint is a number or SHARD_END."""
    return lease.checkpoint.is_number or lease.is_finished


class Lineage:
    """The rows of one stream and its listings, joined by who descends from whom.

    Attributes:
        leases: every row, by shard id.
        listings: what the stream listed, unfiltered.
        at_horizon: shards that the service named as open at the trim horizon: their ancestors hold nothing.
    """

    def __init__(self, leases: Iterable[Lease], listings: Listings, at_horizon: Set[str] = frozenset()) -> None:
        self.leases = {lease.key: lease for lease in leases}
        self.listings = listings
        self.at_horizon = at_horizon
        self._children: dict[str, list[Lease]] = {}
        for lease in self.leases.values():
            for parent in lease.parent_shard_ids:
                self._children.setdefault(parent, []).append(lease)

    @property
    def listing(self) -> Listing:
        """The newest listing; an empty one if there is none."""
        return self.listings.newest or NOTHING_LISTED

    def children_of(self, shard_id: str) -> tuple[Lease, ...]:
        """The rows that name this shard as a parent."""
        return tuple(self._children.get(shard_id, ()))

    @property
    def unlisted(self) -> tuple[Lease, ...]:
        """The unfinished rows whose shard the newest listing lacks."""
        return tuple(row for row in self.leases.values() if not row.is_finished and row.key not in self.listing)

    def hash_range_of(self, lease: Lease) -> HashRange | None:
        """The row's hash range, or that of its listed shard; None if neither tells."""
        shard = self.listing.shards.get(lease.key)
        return lease.hash_range or (shard.hash_range if shard is not None else None)

    def is_gone(self, lease: Lease) -> bool:
        """True if the listings agree that the shard is trimmed: one whose parents are listed was only left out."""
        return self.listings.agree(
            lambda listing: not any(shard_id in listing for shard_id in (lease.key, *lease.parent_shard_ids))
        )

    def is_trimmed(self, lease: Lease) -> bool:
        """True if it is gone and other shards are listed in its place: the listings agree, and cover its hash range."""
        return self.is_gone(lease) and self.listings.agree(lambda listing: listing.covers(lease.hash_range))

    def _is_outlived(self, lease: Lease) -> bool:
        """True if all that is listed in its place was made after it: a shard that is new is not listed yet either."""
        return self.listings.agree(
            lambda listing: all(
                shard.shard_id > lease.key
                for shard in listing.shards.values()
                if lease.hash_range is None or shard.hash_range.overlaps(lease.hash_range)
            )
        )

    def may_start(self, lease: Lease) -> Gate:
        """Judge whether what follows the lease's checkpoint may be delivered."""
        unfinished, missing = [], []
        for parent in lease.parent_shard_ids:
            row = self.leases.get(parent)
            if row is None:
                if not self._is_out_of_scope(parent, lease):
                    missing.append(parent)
            elif not row.is_finished:
                unfinished.append(parent)
        return Gate(tuple(unfinished), tuple(missing))

    def _is_out_of_scope(self, parent: str, lease: Lease) -> bool:
        """Why a parent without a row need not be waited for."""
        return (
            has_moved_on(lease)  # it was decided before: the child has delivered
            or lease.checkpoint in (LATEST, AT_TIMESTAMP)  # a start that leaves the past out
            or any(has_moved_on(other) for other in self.children_of(parent))
            # positive proof; some emulators name every shard, so a parent that is listed counts all the same
            or (lease.key in self.at_horizon and lease.key in self.listing and parent not in self.listing)
            or self.listings.agree(lambda listing: lease.key in listing and parent not in listing)
            or (self.is_trimmed(lease) and self._is_outlived(lease))  # its parent's records are older, and gone as well
        )
