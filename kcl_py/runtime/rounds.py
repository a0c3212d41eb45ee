"""What a worker does on time, beside beating: take its turn in the fleet, look for its leases, audit the shards."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from kcl_py.core.session import Session
from kcl_py.retrying import jittered
from kcl_py.runtime.fleet.coordinator import Coordinator
from kcl_py.runtime.leases.desk import Desk
from kcl_py.runtime.leases.gatekeeper import Gatekeeper
from kcl_py.runtime.leases.holdings import Holdings
from kcl_py.runtime.leases.intake import Intake
from kcl_py.runtime.trouble import through_trouble

LOOK_SECONDS = 1.0  # between two questions what this worker was assigned
LOOK_SECONDS_MAX = 8.0  # while the table is throttled or does not answer: beats and checkpoints go first
ARRIVAL_SECONDS = 0.2  # between two looks at a lease whose hand-off to this worker is open
_INSTANT_SECONDS = 0.001  # less is no waiting


class Rounds:
    """Three loops that stop when the worker leaves; trouble with a service only makes them slower."""

    def __init__(
        self,
        desk: Desk,
        *,
        holdings: Holdings,
        intake: Intake,
        gatekeeper: Gatekeeper,
        coordinator: Coordinator,
        session: Callable[[], Session | None],
    ) -> None:
        """Take what is needed.

        Args:
            desk: what all leases share.
            holdings: the held leases.
            intake: picks up what was assigned.
            gatekeeper: knows which shards wait for a listing.
            coordinator: leads, or watches, if it is our turn.
            session: our session; None while there is none, or once the worker leaves.
        """
        self._desk = desk
        self._holdings = holdings
        self._intake = intake
        self._gatekeeper = gatekeeper
        self._coordinator = coordinator
        self._session = session
        self._look_now = asyncio.Event()

    async def lead(self) -> None:
        """Take our turn in the fleet, and audit the shards, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._coordinate(), name="coordinate")
            tasks.create_task(self._audit(), name="audit")

    def look_now(self) -> None:
        """Something happened that a lease may follow from."""
        self._look_now.set()

    async def check_stream(self) -> None:
        """A shard is said to be missing: look whether the stream is still the one it was."""
        await self._through_trouble("describe the stream", self._desk.discovery.check_stream())

    async def _through_trouble(self, operation: str, work: Coroutine[Any, Any, None]) -> bool:
        return await through_trouble(operation, work, self._desk.emit)

    async def _coordinate(self) -> None:
        failures = 0
        back_off = jittered(self._coordinator.turn_seconds, self._desk.config.failover_seconds / 3)
        while True:
            session = self._session()
            if session is not None:
                is_done = await self._through_trouble("coordinate", self._coordinator.turn(session))
                failures = 0 if is_done else failures + 1
            await self._desk.sleep(back_off(failures + 1) if failures else self._coordinator.turn_seconds)

    async def look(self) -> None:
        """Look for what we were assigned, for ever."""
        failures = 0
        back_off = jittered(LOOK_SECONDS, LOOK_SECONDS_MAX)
        while True:
            self._look_now.clear()
            session = self._session()
            if session is not None:
                is_done = await self._through_trouble("look for leases", self._intake.look(session.key))
                failures = 0 if is_done else failures + 1
            await self._wait_to_look(back_off(failures + 1) if failures else LOOK_SECONDS)

    async def _wait_to_look(self, seconds: float) -> None:
        """Wait, unless something happens; while a hand-off to us is open, its row is read now and then."""
        clock = self._desk.clock
        until = clock() + seconds
        while (left := until - clock()) > _INSTANT_SECONDS and not self._look_now.is_set():
            is_arriving = self._intake.is_awaiting_hand_off
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, ARRIVAL_SECONDS) if is_arriving else left):
                    await self._look_now.wait()
            session = self._session()
            if is_arriving and session is not None:
                await self._through_trouble("look for leases", self._intake.look_at_arriving(session.key))

    async def _audit(self) -> None:
        while True:
            await self._desk.sleep(self._desk.config.shard_listing_interval_seconds)
            await self._through_trouble("audit the shards", self._audit_once())
            self._look_now.set()

    async def _audit_once(self) -> None:
        discovery = self._desk.discovery
        await discovery.check_stream()
        snapshot = self._coordinator.led_snapshot
        if snapshot is not None:
            await discovery.audit(snapshot, self._holdings.leases)
            await discovery.clean_up(snapshot)
        elif self._holdings.has_missing_shards or self._gatekeeper.needs_listing:
            await discovery.list_shards()
        await self._holdings.end_trimmed()
