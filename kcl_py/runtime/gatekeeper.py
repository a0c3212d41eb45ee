"""May a shard start? Decided right before a lease is picked up, by consistent reads of its parents' rows (law S4)."""

from kcl_py.core.lease import Lease
from kcl_py.core.lineage import Gate
from kcl_py.errors import RowUnreadable
from kcl_py.events import ShardWaiting
from kcl_py.interfaces import LeaseTable
from kcl_py.runtime.discovery import Discovery
from kcl_py.runtime.user_code import Emitter


class Gatekeeper:
    """Reads what a shard's start depends on, and no more."""

    def __init__(self, table: LeaseTable, discovery: Discovery, emit: Emitter) -> None:
        self._table = table
        self._discovery = discovery
        self._emit = emit
        self._waiting: dict[str, Gate] = {}  # as last told

    @property
    def needs_listing(self) -> bool:
        """True if a shard waits for a parent without a row: only listings can tell whether that is gone for good."""
        return any(gate.missing for gate in self._waiting.values())

    async def may_start(self, lease: Lease) -> bool:
        """Judge one lease; what it waits for is said once."""
        gate = await self._gate(lease)
        if gate.is_open:
            self._waiting.pop(lease.key, None)
        elif self._waiting.get(lease.key) != gate:
            self._waiting[lease.key] = gate
            self._emit(ShardWaiting(shard_id=lease.key, parents=gate.parents))
        return gate.is_open

    def forget_others(self, keys: frozenset[str]) -> None:
        """Only these are still waited for."""
        self._waiting = {key: gate for key, gate in self._waiting.items() if key in keys}

    async def _gate(self, lease: Lease) -> Gate:
        rows = {lease.key: lease}
        for parent in lease.parent_shard_ids:
            try:
                row = await self._table.lease(parent)
            except RowUnreadable:
                return Gate(unfinished=(parent,))  # it stands there, and does not say that it is done
            if row is not None:
                rows[parent] = row
                continue
            for sibling in sorted(self._discovery.siblings(parent) - rows.keys()):
                try:
                    row = await self._table.lease(sibling)
                except RowUnreadable:
                    continue
                if row is not None:
                    rows[sibling] = row
        return self._discovery.lineage(rows.values()).may_start(lease)
