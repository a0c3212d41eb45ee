"""Parents and children, listings and ends, and whose table it is."""

from tests.simulation.sabotage.mutation import Mutation
from tests.simulation.sabotage.sabotage import Sabotage, by_law

CATALOGUE = (
    by_law(
        "a second parent is forgotten",
        "kcl_py.core.lineage:Lineage.may_start",
        "for parent in lease.parent_shard_ids:",
        "for parent in lease.parent_shard_ids[:1]:",
        "merged",
        "keys_in_order",
        "parents_first",
    ),
    by_law(
        "a child starts at the tip",
        "kcl_py.core.shard_end:shard_end",
        "Lease.for_shard(child, TRIM_HORIZON)",
        "Lease.for_shard(child, type(TRIM_HORIZON)('LATEST'))",
        "lifetime",
        "complete",
        "in_order",
        "keys_in_order",
        "no_skip",
    ),
    by_law(
        "no children are confirmed at once",
        "kcl_py.core.shard_end:shard_end",
        "if listings.agree(lambda listing: _shows_no_others(listing, lease.key, end.child_shard_ids)):",
        "if True:",
        "half_a_family",
        "shard_end",
    ),
    by_law(
        "an ended shard names no children",
        "kcl_py.core.lease:Lease.ended",
        "child_shard_ids=tuple(sorted(child_shard_ids)),",
        "child_shard_ids=(),",
        "lifetime",
        "shard_end",
    ),
    by_law(
        "a listing that lacks a shard outweighs its kin",
        "kcl_py.core.lineage:Lineage.is_gone",
        "return self.listings.agree(",
        "return self.listings.newest is not None and (lambda says: says(self.listings.newest))(",
        "missing_shard",
        "keys_in_order",
        "no_skip",
        "shard_end",
    ),
    by_law(
        "the stream's incarnation is ignored",
        "kcl_py.runtime.discovery:Discovery.check_stream",
        "if self.description.incarnation != began_with:",
        "if False:",
        "stream_replaced",
        "binding",
    ),
    by_law(
        "an unfinished parent counts as done",
        "kcl_py.core.lineage:Lineage.may_start",
        "elif not row.is_finished:",
        "elif False:",
        "lifetime",
        "parents_first",
    ),
    by_law(
        "a part of the children counts as all",
        "kcl_py.core.shard_end:_are_all",
        "return is_merge_whole and not hash_range.without(child.hash_range for child in children)",
        "return True",
        "half_a_family",
        "shard_end",
    ),
    by_law(
        "children are made for nobody and forgotten",
        "kcl_py.runtime.leases.tenure:Tenure._end_shard",
        "for child in end.children)",
        "for child in end.children[:1])",
        "lifetime",
        "complete",
        "shard_end",
    ),
    by_law(
        "a shard that the service does not know has ended",
        "kcl_py.runtime.leases.holdings:Holdings.end_trimmed",
        "for lease in audit.trimmed(lineage):",
        "for lease in self.leases:",
        "missing_shard",
        "keys_in_order",
        "no_skip",
        "shard_end",
    ),
    by_law(
        "another stream's rows are adopted",
        "kcl_py.runtime.admission:Admission._check_bindings",
        "if binding.stream != self._binding.stream:",
        "if False:",
        "stream_replaced",
        "binding",
    ),
    by_law(
        "SHARD_END before the children's rows",
        "kcl_py.runtime.leases.tenure:Tenure._end_shard",
        (
            "        await discovery.create(msgspec.structs.replace(child, owner=owner) for child in "
            "end.children)\n"
            "        await self._save(lambda row: row.ended(end.child_shard_ids))"
        ),
        (
            "        await self._save(lambda row: row.ended(end.child_shard_ids))\n"
            "        await discovery.create(msgspec.structs.replace(child, owner=owner) for child in "
            "end.children)"
        ),
        "lifetime",
        "shard_end",
    ),
    by_law(
        "the table's id is ignored",
        "kcl_py.runtime.admission:Admission._check_identity",
        "if None not in (was, now) and was != now and",
        "if False and",
        "table_restored",
        "binding",
    ),
    Sabotage(
        name="children are made for nobody, and plans are late",
        mutations=(
            Mutation(
                "kcl_py.runtime.leases.tenure:Tenure._end_shard",
                "owner = self._desk.session() if is_staying else None",
                "owner = None",
            ),
            Mutation(
                "kcl_py.runtime.fleet.coordinator:Coordinator._plan_if_due",
                "if self._is_plan_due or is_settled or now - self._read_at >= PLAN_SECONDS:",
                "if now - self._read_at >= 40:",
            ),
        ),
        scene="merged",
        laws=frozenset({"no_orphan"}),
    ),
    by_law(
        "a parent that has ended is waited for all the same",
        "kcl_py.core.lineage:Lineage.may_start",
        "elif not row.is_finished:",
        "else:",
        "idle_split",
        "discovery",
    ),
    by_law(
        "what an audit misses is forgotten until the next",
        "kcl_py.runtime.discovery:Discovery.audit",
        "self._missing = {lease.key for lease in missing}",
        "self._missing = set()",
        "erased",
        "complete",
    ),
    by_law(
        "the tokens of a row that is made again begin at zero",
        "kcl_py.runtime.discovery:Discovery._made_again",
        "self._counter_now",
        "0",
        "erased_again",
        "tokens_grow",
    ),
    by_law(
        "a row that is made again does not outrun a holder's leap",
        "kcl_py.runtime.discovery:Discovery._made_again",
        "self._counter_now",
        "self.service_time_ms",
        "erased_again",
        "tokens_grow",
    ),
)
