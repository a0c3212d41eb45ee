"""What is wrong in a table, and what may go: missing children, trimmed shards, holes, and rows that have had their day.

Whatever is deleted or given up needs two listings that agree; what is created needs only one, because a row too many
does no harm and a row too few loses records (fleet.md, section 8).
"""

from kcl_py.core.checkpoint import TRIM_HORIZON
from kcl_py.core.lease import Lease
from kcl_py.core.lineage import Lineage, has_moved_on
from kcl_py.core.shard import EVERY_HASH_KEY, HashRange, Shard
from kcl_py.core.shard_end import ShardEnd


def missing_children(lineage: Lineage) -> tuple[Lease, ...]:
    """The rows to make again below shards that ended, oldest first: every listed child of theirs without a row."""
    listing = lineage.listing
    wanted = {
        child
        for lease in lineage.leases.values()
        if lease.is_finished
        for child in (*lease.child_shard_ids, *listing.child_ids.get(lease.key, ()))
    }
    return tuple(
        Lease.for_shard(shard, TRIM_HORIZON)
        for shard in listing.shards.values()
        if shard.shard_id in wanted and shard.shard_id not in lineage.leases
    )


def removable(lineage: Lineage) -> tuple[Lease, ...]:
    """The finished rows that may be deleted, on condition that they still say SHARD_END.

    All children have moved on from their start, all parents' rows are gone, and the listings agree that the shard is
    gone as well, so that no late create finds an empty place.
    """
    return tuple(
        lease
        for lease in lineage.leases.values()
        if lease.is_finished
        and lineage.is_gone(lease)
        and not any(parent in lineage.leases for parent in lease.parent_shard_ids)
        and all(_has_moved_on(lineage, child) for child in _children_ids(lineage, lease))
    )


def trimmed(lineage: Lineage) -> tuple[Lease, ...]:
    """The unfinished rows whose shard is trimmed."""
    return tuple(lease for lease in lineage.leases.values() if not lease.is_finished and lineage.is_trimmed(lease))


def end_of_trimmed(lease: Lease, lineage: Lineage) -> ShardEnd:
    """Who follows a trimmed shard: its listed children, and the oldest listed shards of its hash range.

    They begin at TRIM_HORIZON whatever the start position: what they hold follows the lease's checkpoint. Every
    remembered listing counts, because the newest may lack one of them; a row too many waits for its own parents.
    """
    heirs: dict[str, Shard] = {}
    for _, listing in lineage.listings.window:
        heirs.update((child.shard_id, child) for child in listing.children_of(lease.key))
        for root in listing.roots:
            if lease.hash_range is None or root.hash_range.overlaps(lease.hash_range):
                heirs[root.shard_id] = root
    oldest_first = sorted(heirs.values(), key=lambda shard: shard.age_order)
    return ShardEnd(tuple(Lease.for_shard(shard, TRIM_HORIZON) for shard in oldest_first))


def holes(lineage: Lineage) -> tuple[HashRange, ...]:
    """The parts of the hash range that no unfinished row covers; a row without a range has that of its listed shard.

    One look is not proof: rows are read one after the other, and a shard may end in between. Read the rows around a
    hole consistently, and repair what `missing_leases` and `missing_children` then still name.
    """
    ranges = (lineage.hash_range_of(lease) for lease in lineage.leases.values() if not lease.is_finished)
    return EVERY_HASH_KEY.without(hash_range for hash_range in ranges if hash_range is not None)


def _children_ids(lineage: Lineage, lease: Lease) -> set[str]:
    rows = {child.key for child in lineage.children_of(lease.key)}
    return rows.union(lease.child_shard_ids, lineage.listing.child_ids.get(lease.key, ()))


def _has_moved_on(lineage: Lineage, shard_id: str) -> bool:
    row = lineage.leases.get(shard_id)
    return row is not None and has_moved_on(row)
