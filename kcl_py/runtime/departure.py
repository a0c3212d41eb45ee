"""How a keeper leaves the fleet (fleet.md, section 7)."""

import asyncio
import contextlib

from kcl_py.runtime.fleet.coordinator import Coordinator
from kcl_py.runtime.heartbeat import Heartbeat, SessionEnded
from kcl_py.runtime.leases.desk import Desk
from kcl_py.runtime.leases.holdings import Holdings
from kcl_py.runtime.leases.succession import Succession
from kcl_py.runtime.trouble import through_trouble

MARK_SECONDS = 2.0  # for the mark that this worker leaves, before its leases are passed on all the same


class Departure:
    """Begun while consumers finish their batches; completed when none is left."""

    def __init__(self, desk: Desk, heartbeat: Heartbeat, coordinator: Coordinator, holdings: Holdings) -> None:
        self._desk = desk
        self._heartbeat = heartbeat
        self._coordinator = coordinator
        self._holdings = holdings

    def succession(self) -> Succession:
        """Who would inherit if this worker were not there."""
        return Succession(
            self._desk.table,
            self._coordinator.strategy,
            me=self._heartbeat.key,
            seems_dead=self._coordinator.seems_dead,
            emit=self._desk.emit,
        )

    async def begin(self) -> None:
        """Mark the entry, give up leadership, and find out who inherits."""
        succession = self._desk.succession = self.succession()
        async with asyncio.TaskGroup() as tasks:
            marking = tasks.create_task(self._mark())
            tasks.create_task(self._give_up_leadership(succession.me))
            await succession.read()
            # a fleet that stops at once shall know of each other before leases are passed on
            await asyncio.wait([marking], timeout=MARK_SECONDS)
            succession.open()

    async def complete(self) -> None:
        """Pass on what is still held, without progress, and what arrived meanwhile; then delete the entry."""
        succession = self._desk.succession
        if succession is not None:
            succession.open()
        await self._holdings.give_up_all()
        if succession is not None:
            await through_trouble("take a last look", succession.last_look(), self._desk.emit)
        await self._heartbeat.delete()

    async def _give_up_leadership(self, me: str) -> None:
        await through_trouble("give up leadership", self._coordinator.leave(me), self._desk.emit)

    async def _mark(self) -> None:
        with contextlib.suppress(SessionEnded):
            await self._heartbeat.leave()
