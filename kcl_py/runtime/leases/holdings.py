"""The leases that this worker holds, and the door through which the data plane asks about them."""

import asyncio
from collections.abc import Iterable

from kcl_py.core import audit
from kcl_py.core.lease import Lease
from kcl_py.errors import LeaseLost
from kcl_py.runtime.leases.desk import Desk
from kcl_py.runtime.leases.tenure import Tenure
from kcl_py.runtime.mailbox import Request
from kcl_py.runtime.trouble import through_trouble


class Holdings:
    """One `Tenure` per held shard, and which epochs the data plane has not closed yet."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._held: dict[str, Tenure] = {}
        self._epochs: dict[str, int] = {}  # fencing tokens that the data plane was given and has not closed
        self._loose: set[str] = set()
        self._beginnings: set[asyncio.Task[object]] = set()

    @property
    def keys(self) -> frozenset[str]:
        """The shards that are held, or about to be."""
        return frozenset(self._held)

    @property
    def leases(self) -> tuple[Lease, ...]:
        """The rows of the held leases, as last known."""
        return tuple(tenure.lease for tenure in self._held.values() if tenure.fencing_token)

    @property
    def loose(self) -> frozenset[str]:
        """Rows that may name us though we do not hold them: lost ones, and the children of ended shards."""
        return frozenset(self._loose)

    @property
    def has_missing_shards(self) -> bool:
        """True if the service does not know a shard that is held."""
        return any(tenure.is_shard_missing for tenure in self._held.values())

    def is_settled(self, shard_id: str) -> None:
        """The row of a loose lease was read, and is not ours."""
        self._loose.discard(shard_id)

    def has_room_for(self, shard_id: str) -> bool:
        """True if the shard is not held, and no call of an earlier epoch of it can still be running here."""
        return shard_id not in self._held and shard_id not in self._epochs

    def pick_up(self, seen: Lease, owner: str) -> None:
        """Begin to take a lease, and hand it to the data plane once it is ours; if somebody is faster, nothing happens.

        Nobody waits for it: a row that cannot be written just now must hold up no other.
        """
        if self._desk.session() != owner or seen.key in self._held:
            return
        tenure = Tenure(seen, self._desk, on_end=self._ended)
        self._held[seen.key] = tenure
        beginning = self._desk.spawn(self._pick_up(tenure, owner))
        if beginning is not None:
            self._beginnings.add(beginning)
            beginning.add_done_callback(self._beginnings.discard)

    async def wait_for_pick_ups(self, seconds: float) -> None:
        """Wait for those under way: one that is cut off may still land, with nobody there to pass the lease on."""
        if self._beginnings:
            await asyncio.wait(tuple(self._beginnings), timeout=seconds)

    async def serve(self, request: Request) -> object:
        """Do what the data plane asks.

        Raises:
            LeaseLost: the epoch of the request is over.
            CheckpointError: the position is behind the row's.
        """
        tenure = self._held.get(request.shard_id)
        if tenure is None or tenure.fencing_token != request.fencing_token:
            raise LeaseLost(f"{request.shard_id}: this worker does not hold it any more")
        return await tenure.serve(request.matter)

    def closed(self, shard_id: str, fencing_token: int) -> None:
        """The data plane runs no call of this epoch any more."""
        if self._epochs.get(shard_id) == fencing_token:
            del self._epochs[shard_id]

    def is_missing(self, shard_id: str) -> None:
        """The service does not know the shard."""
        if shard_id in self._held:
            self._held[shard_id].is_shard_missing = True

    def lose_all(self, reason: str) -> None:
        """The session is over, and every lease with it."""
        for tenure in tuple(self._held.values()):
            tenure.lose(reason)
        self._loose.clear()

    async def give_up_all(self) -> None:
        """Pass on whatever is still held, with no progress beyond what was written."""
        await asyncio.gather(*(tenure.give_up() for tenure in tuple(self._held.values())))

    def look_at(self, shard_ids: Iterable[str]) -> None:
        """Begin to read the rows of held leases that the index did not name."""
        for shard_id in sorted(shard_ids):
            tenure = self._held.get(shard_id)
            if tenure is not None and tenure.fencing_token and not tenure.is_looking:
                self._desk.spawn(self._look_at(tenure))

    async def end_trimmed(self) -> None:
        """Finish the held shards that the service has trimmed away unread."""
        lineage = self._desk.discovery.lineage(self.leases)
        for lease in audit.trimmed(lineage):
            tenure = self._held.get(lease.key)
            if tenure is not None and tenure.is_shard_missing:
                await tenure.end_trimmed(lineage)

    async def _look_at(self, tenure: Tenure) -> None:
        await through_trouble("look at a held lease", tenure.look(), self._desk.emit)

    def _ended(self, tenure: Tenure) -> None:
        lease = tenure.lease
        if self._held.get(lease.key) is tenure:
            del self._held[lease.key]
        self._loose.update((lease.key, *lease.child_shard_ids))

    async def _pick_up(self, tenure: Tenure, owner: str) -> None:
        lease = None
        try:
            lease = await tenure.pick_up(owner)
        finally:
            if lease is None:
                tenure.abandon()  # whatever became of the write: the next look reads the row
        if lease is not None:
            self._loose.discard(lease.key)
            self._epochs[lease.key] = lease.counter
