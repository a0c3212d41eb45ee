"""Where an incident happens: the fleet, what it may choose from, and how what it breaks is mended again."""

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from tests.simulation.fleet_worker import FleetWorker
from tests.simulation.simulation import Simulation

if TYPE_CHECKING:  # a life names the kinds of incidents, and those happen in scenes
    from tests.simulation.life import Life


class Company(Protocol):
    """Whoever sees to it that a fleet has workers."""

    def recruit(self, worker_id: str | None = None) -> FleetWorker:
        """Have another worker join, under a new name."""

    def for_everybody(self, seconds: float, spoil: Callable[[FleetWorker], None]) -> None:
        """Do something to all that run and to all that join within so many seconds."""


class Scene:
    """One incident's view of the world.

    Attributes:
        dice: of this incident alone.
    """

    def __init__(self, fleet: Simulation, life: "Life", company: Company, mending: "Mending", seed: int) -> None:
        self.fleet = fleet
        self.life = life
        self.dice = random.Random(seed)
        self._company = company
        self._mending = mending

    def victim(self) -> FleetWorker | None:
        """One of those that run; None if nobody does."""
        workers = self.fleet.workers
        return workers[self.dice.choice(sorted(workers))] if workers else None

    def victims(self) -> list[FleetWorker]:
        """One of those that run, or all of them."""
        if self.dice.random() < 0.4:
            return list(self.fleet.workers.values())
        victim = self.victim()
        return [victim] if victim is not None else []

    def some_seconds(self) -> float:
        """From an instant to three failover times."""
        failover = self.life.failover_seconds
        return self.dice.choice([0.5, 1.0, 5.0, failover, 3 * failover])

    def recruit(self, worker_id: str | None = None) -> FleetWorker:
        """Have another worker join."""
        return self._company.recruit(worker_id)

    def for_everybody(self, seconds: float, spoil: Callable[[FleetWorker], None]) -> None:
        """Do something to all that run and to all that join within so many seconds."""
        self._company.for_everybody(seconds, spoil)

    def trouble(self, what: str, seconds: float, mend: Callable[[], object], worker: str = "") -> None:
        """Note what is broken, and see to it that it is mended in time.

        Args:
            what: in the words of the log; a law may look at it.
            seconds: how long it lasts, at most: when everything is healed it ends too.
            mend: ends it; called once.
            worker: whose doors or code it is; empty for everybody's.
        """
        self.fleet.trouble(what, seconds, worker)
        self._mending.after(seconds, mend)

    def mended_after(self, seconds: float, mend: Callable[[], object]) -> None:
        """The same for what the log knows already."""
        self._mending.after(seconds, mend)


class Mending:
    """What will be mended, and when."""

    def __init__(self) -> None:
        self._timers: dict[int, tuple[asyncio.TimerHandle, Callable[[], object]]] = {}
        self._count = 0

    def after(self, seconds: float, mend: Callable[[], object]) -> None:
        """Mend something in a while, or with everything else."""
        self._count += 1
        number = self._count
        self._timers[number] = asyncio.get_running_loop().call_later(seconds, self._mend, number), mend

    def everything(self) -> None:
        """Mend all that is left, in the order in which it broke."""
        for number in tuple(self._timers):
            self._mend(number)

    def _mend(self, number: int) -> None:
        timer, mend = self._timers.pop(number)
        timer.cancel()
        mend()
