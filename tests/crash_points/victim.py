"""A worker that can be ended at any step, in every way in which a worker can end against its will."""

import asyncio
import enum
from typing import Any, cast

import msgspec

from kcl_py.errors import ServiceUnavailable
from kcl_py.runtime.mailbox import Leaving, Quit
from tests.simulation import facts
from tests.simulation.actors import Actor
from tests.simulation.fleet_worker import FleetWorker, World
from tests.simulation.wire import Call, Network


class Way(enum.Enum):
    """How it ends.

    The first two run nothing more, no `finally` either. The others are what `kcl_py.Worker` does when the task that
    runs it is cancelled: it drains; cancelled once more on its way out, it waits for nothing, and the keeper gives the
    leases up by itself. A keeper that does not manage that in time, or whose loop is closed, is cancelled itself.
    """

    SENT = "power lost, what was sent arrives"
    UNSENT = "power lost, what the last step sent is lost"
    CANCELLED = "cancelled"
    TWICE = "cancelled twice"
    CUT_OFF = "every task cancelled"

    @property
    def is_power_loss(self) -> bool:
        """Nothing of the victim runs any more."""
        return self in (Way.SENT, Way.UNSENT)


class Victim(FleetWorker):
    """A simulated worker with these ways to end."""

    def __init__(self, world: World, name: str, **settings: Any) -> None:
        self._sender = Sender(world.network)
        super().__init__(msgspec.structs.replace(world, network=cast("Network", self._sender)), name, **settings)

    @property
    def actors(self) -> tuple[Actor, ...]:
        """Its two loops."""
        return self._actors

    @property
    def session_key(self) -> str | None:
        """Its owner string; None before it has one."""
        session = getattr(self.keeper._heartbeat, "session", None)
        return None if session is None else session.key

    def step_is_over(self) -> None:
        """What it sent is on its way for good."""
        self._sender.fresh.clear()

    def end_by(self, way: Way) -> None:
        """End now: the step that just ran was the last one in peace."""
        match way:
            case Way.SENT:
                self.crash()
            case Way.UNSENT:
                self._sender.lose_fresh()
                self.crash()
            case Way.CANCELLED if self._leave_task is not None:
                self._leave_task.cancel()
            case Way.CANCELLED:
                self.leave()
            case Way.TWICE:
                leaving = self.leave()
                asyncio.get_running_loop().call_soon(leaving.cancel, context=self._data_context)
            case Way.CUT_OFF:
                self._cut_off()

    def _cut_off(self) -> None:
        self._data_plane.cut()
        self._keeping.cancel()
        if self._leave_task is not None:
            self._leave_task.cancel()
        else:
            self.note(facts.Leaving())
            self._leave_task = asyncio.get_running_loop().create_task(self._vanish(), context=self._data_context)

    async def _leave(self) -> None:
        try:
            await super()._leave()
        except asyncio.CancelledError:
            self._mailbox.to_keeper.put(Leaving())
            self._mailbox.to_keeper.put(Quit())
            self._data_plane.cut()
            await self._vanish()

    async def _vanish(self) -> None:
        await asyncio.wait([self._keeping])
        await self._data_plane.close()
        self.note(facts.Left())
        self._end()


class Sender:
    """A worker's way into the network; what its last step sent can be lost."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.fresh: list[Letter] = []

    def carry(self, call: Call, timeout_seconds: float) -> "asyncio.Future[Any]":
        """Send a call; the future is its answer."""
        return self._network.carry(self._letter(call).arrive, timeout_seconds)

    def hold(self, call: Call, timeout_seconds: float) -> "asyncio.Future[Any]":
        """The same for one that waits for long."""
        return self._network.hold(self._letter(call).arrive, timeout_seconds)

    def lose_fresh(self) -> None:
        """What the last step sent never arrives."""
        for letter in self.fresh:
            letter.is_lost = True

    def _letter(self, call: Call) -> "Letter":
        letter = Letter(call)
        self.fresh.append(letter)
        return letter


class Letter:
    """One call under way."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.is_lost = False

    async def arrive(self) -> Any:
        """Be answered, unless lost."""
        if self.is_lost:
            raise ServiceUnavailable("it was never sent")
        return await self._call()
