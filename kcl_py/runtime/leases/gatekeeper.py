"""May a shard start? Decided right before a lease is picked up, by consistent reads of its parents' rows (law S4)."""

from collections.abc import Callable

import msgspec

from kcl_py.core.lease import Lease
from kcl_py.core.lineage import Gate
from kcl_py.errors import RowUnreadable
from kcl_py.events import ShardWaiting
from kcl_py.interfaces import LeaseTable
from kcl_py.runtime.discovery import Discovery
from kcl_py.runtime.emitter import Emitter

PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX = 0.5, 8.0  # a parent may have hours of backlog, and each question is a read
PAUSE_SHARE = 1 / 4  # of the time that was waited: who waits briefly is not kept waiting


class _Waiting(msgspec.Struct):
    gate: Gate  # as last told
    since: float
    rests_until: float


class Gatekeeper:
    """Reads what a shard's start depends on, and no more."""

    def __init__(self, table: LeaseTable, discovery: Discovery, *, clock: Callable[[], float], emit: Emitter) -> None:
        self._table = table
        self._discovery = discovery
        self._clock = clock
        self._emit = emit
        self._waiting: dict[str, _Waiting] = {}

    @property
    def needs_listing(self) -> bool:
        """True if a shard waits for a parent without a row: only listings can tell whether that is gone for good."""
        return any(waiting.gate.missing for waiting in self._waiting.values())

    async def may_start(self, lease: Lease) -> bool:
        """Judge one lease; what it waits for is said once."""
        gate = await self._gate(lease)
        before = self._waiting.pop(lease.key, None)
        if gate.is_open:
            return True
        now = self._clock()
        since = before.since if before is not None else now
        if before is None or before.gate != gate:
            self._emit(ShardWaiting(shard_id=lease.key, parents=gate.parents))
        pause_seconds = min(max(PAUSE_SECONDS_MIN, (now - since) * PAUSE_SHARE), PAUSE_SECONDS_MAX)
        self._waiting[lease.key] = _Waiting(gate, since, now + pause_seconds)
        return False

    @property
    def resting(self) -> frozenset[str]:
        """Shards that wait for their parents, and were asked about a moment ago."""
        now = self._clock()
        return frozenset(key for key, waiting in self._waiting.items() if now < waiting.rests_until)

    def wake(self) -> None:
        """A shard has ended: ask about all of them."""
        for waiting in self._waiting.values():
            waiting.rests_until = float("-inf")

    def forget_others(self, keys: frozenset[str]) -> None:
        """Only these are still waited for."""
        self._waiting = {key: waiting for key, waiting in self._waiting.items() if key in keys}

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
