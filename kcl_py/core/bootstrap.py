"""Which rows a table lacks before anything is consumed: the first ones, and those that no shard end will make.

An empty table gets a row for every shard that was open at the start position. A table with rows gets one for every open
shard that does not descend from a row, or for the oldest of its listed ancestors where the past counts; a shard that
does descend from a row gets its own when its parents end. Protocol reference, section 4.2; beyond it, a row whose shard
or children are not listed keeps its descendants from starting anew, which at LATEST would skip records (a trim makes
their rows, see `audit`), and the missing parents of a waiting child are made as well.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from kcl_py.core.lease import Lease
from kcl_py.core.lineage import Lineage
from kcl_py.core.listing import Listing, Listings
from kcl_py.core.position import StartPosition
from kcl_py.core.shard import EVERY_HASH_KEY, Shard

LATEST_MARGIN_MS = 2_000
"""LATEST begins this long before the service's clock said it was: a Date header has whole seconds."""


class Incomplete(msgspec.Struct, frozen=True):
    """The listing cannot be right, as in the middle of a reshard: list again."""

    reason: str


class Start(msgspec.Struct, frozen=True):
    """A start position and the instant that pins it down.

    Attributes:
        position: as the user chose it.
        service_time_ms: what the service's own clock said just before, in milliseconds since the epoch.
    """

    position: StartPosition
    service_time_ms: int

    def lease(self, shard: Shard) -> Lease:
        """The row that begins at this position."""
        at_ms = {
            "TRIM_HORIZON": None,
            "LATEST": self.service_time_ms - LATEST_MARGIN_MS,
            "AT_TIMESTAMP": self.position.timestamp_ms,
        }
        return Lease.for_shard(shard, self.position.sentinel, at_ms[self.position.kind])


def first_leases(listing: Listing, start: Start) -> tuple[Lease, ...] | Incomplete:
    """The rows of an empty table, oldest shard first.

    Args:
        listing: what the filter that belongs to the position gave (AT_LATEST, AT_TRIM_HORIZON, AT_TIMESTAMP), or an
            unfiltered one. From the latter a time cannot be told apart from the trim horizon: the oldest shards are
            taken, each read from that time; what their descendants hold is delivered from its beginning.
        start: where to begin.
    """
    shards = listing.leaves if start.position.kind == "LATEST" else listing.roots
    return _flaw(shards) or tuple(start.lease(shard) for shard in shards)


def missing_leases(listing: Listing, leases: Iterable[Lease], start: Start) -> tuple[Lease, ...] | Incomplete:
    """The rows to add to a table that has some, oldest shard first. `listing` must not be filtered.

    A shard that was closed a moment ago and has no listed children counts as open: its end makes their rows, while a
    row made for them later would begin at a later LATEST.
    """
    lineage = Lineage(leases, Listings().seen(listing, 0.0))
    flaw = _flaw(listing.leaves) or _contradiction(lineage)
    if flaw is not None:
        return flaw
    tops = [shard.shard_id for shard in listing.leaves if shard.shard_id not in lineage.leases]
    for lease in lineage.leases.values():
        tops += [parent for parent in lineage.may_start(lease).missing if parent in listing]
    walk = _Walk(lineage, is_past_wanted=start.position.kind != "LATEST")
    walk.visit_ancestry(tops)
    if walk.left_out:
        return Incomplete(f"{walk.left_out[0]} is listed without a parent that must still be there")
    new = walk.new.union(top for top in tops if not walk.descends[top])
    return tuple(start.lease(shard) for shard in listing.shards.values() if shard.shard_id in new)


def generations(leases: Iterable[Lease]) -> Iterator[tuple[Lease, ...]]:
    """The same rows in groups, parents before their children; those of a group may be written side by side."""
    left = tuple(leases)
    while left:
        keys = {lease.key for lease in left}
        oldest = {lease.key for lease in left if keys.isdisjoint(lease.parent_shard_ids)} or keys
        yield tuple(lease for lease in left if lease.key in oldest)
        left = tuple(lease for lease in left if lease.key not in oldest)


def _flaw(shards: Sequence[Shard]) -> Incomplete | None:
    """What shows that not all shards that were open together are there: each hash key must belong to one of them."""
    if EVERY_HASH_KEY.without(shard.hash_range for shard in shards):
        return Incomplete(f"the {len(shards)} shards to begin with leave a hole in the hash range")
    if sum(shard.hash_range.end - shard.hash_range.start + 1 for shard in shards) > EVERY_HASH_KEY.end + 1:
        return Incomplete(f"the {len(shards)} shards to begin with overlap: one between them is missing")
    return None


def _contradiction(lineage: Lineage) -> Incomplete | None:
    """What shows that the listing was taken in the middle of a reshard, or is older than a row.

    A row whose shard is not listed was trimmed, with all its ancestors, or it is newer than the listing.
    """
    listing = lineage.listing
    for shard in listing.early_children:
        return Incomplete(f"{shard.shard_id} is listed beside a parent that is open")
    leaves = sorted(listing.leaves, key=lambda shard: shard.hash_range)
    starts = [leaf.hash_range.start for leaf in leaves]
    for row in lineage.unlisted:
        is_newer = any(parent in listing for parent in row.parent_shard_ids)
        if not is_newer and row.hash_range is not None:
            overlapping = leaves[bisect_right(starts, row.hash_range.start) - 1]
            is_newer = listing.is_ancestry_whole(overlapping.shard_id)
        if is_newer:
            return Incomplete(f"{row.key} has a row and is not listed, while its ancestors are")
    return None


class _Walk:
    """The ancestor walk of section 4.2, from the oldest ancestor down instead of by recursion."""

    def __init__(self, lineage: Lineage, *, is_past_wanted: bool) -> None:
        self._rows = lineage.leases
        self._listing = lineage.listing
        self._is_past_wanted = is_past_wanted
        self._unlisted = lineage.unlisted
        self._oldest: set[str] = set()  # where the past begins: they get a row if something descends from them
        self.descends: dict[str, bool] = {}  # of every visited shard: it or an ancestor has a row, or will have one
        self.new: set[str] = set()
        self.left_out: list[str] = []  # shards with a parent that the listing should have and has not

    def visit_ancestry(self, tops: Iterable[str]) -> None:
        """Visit listed shards after all their listed ancestors, up to those that have rows."""
        path = [(top, False) for top in tops]
        entered = set()
        while path:
            shard_id, are_parents_visited = path.pop()
            if are_parents_visited:
                self._visit(self._listing.shards[shard_id])
            elif shard_id not in entered:
                entered.add(shard_id)
                path.append((shard_id, True))
                if shard_id not in self._rows:
                    path.extend((parent.shard_id, False) for parent in self._listing.parents_of(shard_id))

    def _visit(self, shard: Shard) -> None:
        if shard.shard_id in self._rows or self._may_descend(shard):
            self.descends[shard.shard_id] = True
            return
        parents = [parent.shard_id for parent in self._listing.parents_of(shard.shard_id)]
        ancestral = {parent for parent in parents if self.descends.get(parent) or parent in self._oldest}
        for parent in parents:
            if ancestral and parent not in self._rows and (parent in self._oldest or parent not in ancestral):
                self.new.add(parent)
        self.descends[shard.shard_id] = bool(ancestral)
        if not ancestral and self._is_past_wanted:
            self._oldest.add(shard.shard_id)

    def _may_descend(self, shard: Shard) -> bool:
        """True if a row is an ancestor, or may be, though the listing does not show how: so nothing is made of it yet.

        Of two shards with a common hash key the older one is an ancestor of the other. A row that overlaps and is not
        listed was trimmed, and its trim makes the next rows; or it is newer than the listing. What is older than a
        parent, or was closed with it, is trimmed first or with it: if it is listed, the parent was left out.
        """
        unlisted = [parent for parent in shard.parent_shard_ids if parent not in self._listing]
        if unlisted:
            is_half_listed = len(unlisted) < len(shard.parent_shard_ids)
            if is_half_listed or any(self._is_ancestor(row, shard) for row in self._rows.values()):
                self.left_out.append(shard.shard_id)
            if self.left_out or any(parent in self._rows for parent in unlisted):
                return True
        return any(row.hash_range is None or row.hash_range.overlaps(shard.hash_range) for row in self._unlisted)

    def _is_ancestor(self, row: Lease, shard: Shard) -> bool:
        listed = self._listing.shards.get(row.key)
        if row.is_finished or listed is None:
            return False
        return listed.age_order[0] <= shard.age_order[0] and listed.hash_range.overlaps(shard.hash_range)
