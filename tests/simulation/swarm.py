"""Lives the life of a fleet: its incidents happen at their times, its workers are replaced, and then it ends."""

import asyncio
import random
from collections.abc import Callable

from tests.simulation.endings import ENDINGS
from tests.simulation.fleet_worker import FleetWorker
from tests.simulation.incidents import FAN_OUT, KINDS
from tests.simulation.journals import Journal, ManualJournal
from tests.simulation.life import Life
from tests.simulation.scene import Mending, Scene
from tests.simulation.simulation import Simulation

STRIKES = {**KINDS, **FAN_OUT}
FAR_SECONDS = (0.01, 0.4)
FOR_EVER_SECONDS = 1e9


class Swarm:
    """One life.

    Attributes:
        mending: of everything that is broken just now.
    """

    def __init__(self, life: Life) -> None:
        self.life = life
        self.mending = Mending()
        self._dice = random.Random(f"swarm {life.seed}")  # apart from the incidents', which may be left out
        self._joined = 0
        self._everybody: list[tuple[float, Callable[[FleetWorker], None]]] = []
        self._troubles: set[asyncio.Task[None]] = set()

    async def live(self, fleet: Simulation) -> None:
        """Trouble for a while, and then the end that the life has."""
        self._fleet = fleet
        if self.life.is_far:
            fleet.world.network.latency_seconds = FAR_SECONDS
        if self.life.is_far or not self.life.settings.get("fan_out_fallback", True):
            fleet.trouble("far", FOR_EVER_SECONDS)  # nobody is as quick as the promises suppose
        trouble = asyncio.create_task(self._suffer(), name="incidents")
        loop = asyncio.get_running_loop()
        until = loop.time() + self.life.seconds
        while loop.time() < until:
            if loop.time() < until - self.life.seconds / 2:
                await fleet.back_up_table()
            self.put()
            self._keep_company()
            await asyncio.sleep(self._dice.uniform(0.2, 2))
        await trouble
        await ENDINGS[self.life.ending](self, fleet)

    def put(self) -> None:
        """Put what is put in about a second."""
        self._fleet.put(self._dice.randint(*self.life.puts), aggregate_max=self.life.aggregate_max)

    def recruit(self, worker_id: str | None = None) -> FleetWorker:
        """Have another worker join, under a new name."""
        self._joined += 1
        life, dice, name = self.life, self._dice, f"w{self._joined}"
        worker = self._fleet.join(
            name,
            rate=dice.uniform(0.976, 1.024),
            host=f"host-{dice.randrange(life.hosts)}" if life.hosts else "",
            journal=ManualJournal if life.is_manual else Journal,
            worker_id=worker_id or name,
            **life.settings,
        )
        for until, spoil in self._everybody:
            if asyncio.get_running_loop().time() < until:
                spoil(worker)
        return worker

    def for_everybody(self, seconds: float, spoil: Callable[[FleetWorker], None]) -> None:
        """Do something to all that run and to all that join within so many seconds."""
        self._everybody.append((asyncio.get_running_loop().time() + seconds, spoil))
        for worker in self._fleet.workers.values():
            spoil(worker)

    def heal(self) -> None:
        """Mend everything that is broken; whoever stands still goes on."""
        self._everybody.clear()
        self.mending.everything()
        self._fleet.resume_all()

    def _keep_company(self) -> None:
        """A fleet is never left short of workers for long; one that stands still is none."""
        able = sum(not worker.is_paused for worker in self._fleet.workers.values())
        if able < self.life.workers and self._dice.random() < 0.4:
            self.recruit()

    async def _suffer(self) -> None:
        """Each incident at its time, though an earlier one may take longer."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as group:
            for incident in self.life.incidents:
                await asyncio.sleep(max(0.0, began + incident.at_seconds - loop.time()))
                strike = STRIKES[incident.kind](Scene(self._fleet, self.life, self, self.mending, incident.seed))
                self._fleet.note_incident(incident.kind)
                if strike is not None:
                    group.create_task(strike, name=incident.kind)
