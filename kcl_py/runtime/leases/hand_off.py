"""One hand-off, as its giver lives it (fleet.md, section 6).

    noticed ─ the receiver is dead or leaving ─→ called off: the epoch goes on
       │
     begun  ─ no new batch; the one in flight is finished, `shutdown_requested` called, progress saved
       ├─ in time ──────────→ completed: checkpoint and owner in one update
       └─ the grace is over → forced: the owner alone; what was not checkpointed is the receiver's to repeat

While the giver's session beats nobody else completes. When it does not, the leader assigns the lease anew. Whatever
ends the epoch in between, the end of the shard included, ends the hand-off as well.
"""

import asyncio
from collections.abc import Awaitable, Callable

from kcl_py.core.lease import Lease
from kcl_py.events import HandOffBegun, HandOffCalledOff
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.leases.held_lease import HeldLease


class HandOff:
    """From the moment that a holder sees another worker named until its epoch is over, or goes on."""

    def __init__(
        self,
        held: HeldLease,
        *,
        grace_seconds: float,
        may_receive: Callable[[str], Awaitable[bool]],
        begin: Callable[[], None],
        force: Callable[[], Awaitable[None]],
        emit: Emitter,
    ) -> None:
        """Prepare; nothing happens before `run`.

        Args:
            held: the lease, whose row names another owner.
            grace_seconds: how long the batch in flight may take.
            may_receive: whether a session lives and is not leaving.
            begin: has the data plane finish, and let go.
            force: completes without the data plane.
            emit: where events go.
        """
        self._held = held
        self._grace_seconds = grace_seconds
        self._may_receive = may_receive
        self._begin = begin
        self._force = force
        self._emit = emit

    async def run(self) -> None:
        """Go through it. When this returns, the epoch is over, or the hand-off was called off.

        Raises:
            LeaseLost: the row is somebody else's.
        """
        receiver = self._held.lease.owner or ""  # an outsider may have taken the name away
        if not await self._may_receive(receiver):
            await self._held.change(Lease.taken_back)
            self._emit(HandOffCalledOff(shard_id=self._held.lease.key, to=receiver))
            return
        self._emit(HandOffBegun(shard_id=self._held.lease.key, to=receiver))
        self._begin()
        try:
            async with asyncio.timeout(self._grace_seconds):
                await self._held.wait_until_over()
        except TimeoutError:
            await self._force()
