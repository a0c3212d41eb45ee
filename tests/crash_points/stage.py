"""One run of a scenario: a fleet, the worker whose steps count, perhaps the step at which it ends, and what follows."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from tests.crash_points.places import place_of
from tests.crash_points.steps import StepOrder
from tests.crash_points.victim import Victim, Way
from tests.simulation.facts import Healed, What
from tests.simulation.simulation import Simulation

FAILOVER_SECONDS = 2.0
AUDIT_SECONDS = 20.0
UNCHECKPOINTED_RECORDS_MAX, READ_LIMIT = 4, 2
REPEATS_MAX = UNCHECKPOINTED_RECORDS_MAX + READ_LIMIT
SETTINGS: Mapping[str, object] = {
    "failover_seconds": FAILOVER_SECONDS,
    "checkpoint_interval_seconds": 0.5,
    "uncheckpointed_records_max": UNCHECKPOINTED_RECORDS_MAX,
    "read_limit": READ_LIMIT,
    "idle_read_interval_seconds": 0.5,
    "shutdown_grace_seconds": 5.0,
    "shard_listing_interval_seconds": AUDIT_SECONDS,
    "balance": "lease_count",
}
PROCESSING_SECONDS = 0.15  # so that a batch is in flight half of the time
PUT_SECONDS = 0.3
LOOK_SECONDS = 0.2
STRAY_SECONDS = 1.0  # in which something that was left behind would stir
SCENE_SECONDS_MAX = 40.0
RECOVERY_SECONDS_MAX = 2 * FAILOVER_SECONDS + 3 + 5
"""Leader and standby may have died, and the new leader plans within five seconds (law L1); then all is done."""


class Cut(msgspec.Struct, frozen=True):
    """The victim ends after this step, counted from 1."""

    step: int
    way: Way


class Stage:
    """What a scenario is played on.

    Attributes:
        places: where each step of the victim left its task waiting, in order.
        late: what had not come about long after the cut.
    """

    def __init__(self, fleet: Simulation, cut: Cut | None, settings: Mapping[str, object]) -> None:
        self.fleet = fleet
        self._settings = {**SETTINGS, **settings}
        self.places: list[str] = []
        self.late: list[str] = []
        self._cut = cut
        self._has_been_cut = asyncio.Event()
        self._victim: Victim | None = None

    # -- what a scenario does ---------------------------------------------------------------------------------------

    def join(self, name: str, **settings: object) -> Victim:
        """Start a worker."""
        worker = self.fleet.join(name, **(self._settings | settings))
        assert isinstance(worker, Victim)
        worker.processing_seconds = lambda: PROCESSING_SECONDS
        return worker

    def watch(self, victim: Victim) -> None:
        """From here on its steps count."""
        self._victim = victim
        order = self.fleet.world.order
        assert isinstance(order, StepOrder)
        order.watch(victim.actors, self._step_is_over)

    async def until(self, is_true: Callable[[], Awaitable[bool]], *, within: float = SCENE_SECONDS_MAX) -> bool:
        """Wait until something holds; False if it does not."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        while not await is_true():
            if loop.time() >= until:
                return False
            await asyncio.sleep(LOOK_SECONDS)
        return True

    async def until_noted(self, kind: type[What], worker: str, *, times: int = 1) -> None:
        """Wait until the log says something of a worker so many times, from here on."""
        log = self.fleet.log
        begin = len(log.entries)

        async def is_noted() -> bool:
            seen = [one for one in log.entries[begin:] if one.worker == worker and isinstance(one.what, kind)]
            return len(seen) >= times

        assert await self.until(is_noted), f"{worker} never {kind.__name__}"

    async def until_held(self, **shares: int) -> None:
        """Wait until the workers hold so many shards."""

        async def are_held() -> bool:
            return await self._shares() == shares

        assert await self.until(are_held), f"not {shares} but {await self._shares()}"

    # -- the run ----------------------------------------------------------------------------------------------------

    async def play(self, scene: Callable[["Stage"], Awaitable[None]]) -> None:
        """Play the scene until it is over or the victim is cut, and then wait until the fleet has recovered."""
        feeding = asyncio.create_task(self._feed(), name="records")
        playing = asyncio.ensure_future(scene(self))
        cut = asyncio.create_task(self._has_been_cut.wait(), name="cut")
        await asyncio.wait([playing, cut], return_when=asyncio.FIRST_COMPLETED)
        order = self.fleet.world.order
        assert isinstance(order, StepOrder)
        order.look_away()
        for task in (playing, cut):
            task.cancel()
        outcome, _ = await asyncio.gather(playing, cut, return_exceptions=True)
        if isinstance(outcome, Exception):
            raise outcome
        await self._recover(feeding)

    async def _feed(self) -> None:
        while True:
            self.fleet.put(1)
            await asyncio.sleep(PUT_SECONDS)

    def _step_is_over(self, handle: asyncio.Handle) -> None:
        if self._has_been_cut.is_set():
            return
        victim = self._victim
        assert victim is not None
        self.places.append(place_of(handle))
        if self._cut is not None and self._cut.step == len(self.places):
            victim.end_by(self._cut.way)
            self._has_been_cut.set()
        victim.step_is_over()

    async def _recover(self, feeding: "asyncio.Task[None]") -> None:
        fleet = self.fleet
        fleet.log.note("", Healed())
        if not fleet.workers:
            self.join("again", host="here")
        await asyncio.sleep(1)
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        if not await self.until(self._has_recovered, within=RECOVERY_SECONDS_MAX):
            self.late += await self._missing()
        await self._watch_the_ended()

    async def _watch_the_ended(self) -> None:
        """Nothing of a victim that has ended runs any more."""
        victim, order = self._victim, self.fleet.world.order
        assert isinstance(order, StepOrder)
        if victim is not None and not victim.is_alive:
            strays: set[str] = set()
            order.watch(victim.actors, lambda handle: strays.add(place_of(handle)))
            await asyncio.sleep(STRAY_SECONDS)
            order.look_away()
            self.late += [f"it has ended, and runs on: {place}" for place in sorted(strays)]

    async def _has_recovered(self) -> bool:
        return not await self._missing()

    async def _missing(self) -> list[str]:
        """What has not come about yet."""
        missing = [f"{name} has not ended" for name in self._ending()]
        living = {worker.session_key for worker in self._workers() if worker.is_running}
        rows = await self.fleet.rows()
        missing += [
            f"{key} is held by {row.held_by}"
            for key, row in rows.items()
            if not row.is_finished and row.held_by not in living
        ]
        listed = {shard.shard_id for shard in await self.fleet.open_shards()}
        missing += [f"{key} has no row" for key in sorted(listed - rows.keys())]
        if not await self.fleet.is_all_done():
            missing.append("not everything is done")
        return missing

    def _ending(self) -> list[str]:
        return [worker.name for worker in self._workers() if worker.is_alive and not worker.is_running]

    def _workers(self) -> list[Victim]:
        return [worker for worker in self.fleet.everybody if isinstance(worker, Victim)]

    async def _shares(self) -> dict[str, int]:
        rows = [row for row in (await self.fleet.rows()).values() if not row.is_finished]
        shares = {
            worker.name: sum(row.held_by == worker.session_key for row in rows)
            for worker in self._workers()
            if worker.is_running and worker.session_key
        }
        return {name: share for name, share in shares.items() if share}
