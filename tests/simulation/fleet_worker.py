"""One worker of a simulated fleet: the shipped keeper and data plane, and the ways in which it can end."""

import asyncio
import itertools
import random
from collections.abc import Callable
from typing import Any, cast

import msgspec

from kcl_py.config import Config
from kcl_py.core.session import Process
from kcl_py.events import Event
from kcl_py.interfaces import FanOut, LeaseTable, Stream
from kcl_py.local.doors import LocalStream
from kcl_py.local.fan_out_door import LocalFanOut
from kcl_py.local.faults import FaultyStream
from kcl_py.local.faulty_fan_out import FaultyFanOut
from kcl_py.local.faulty_lease_table import FaultyLeaseTable
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.memory_lease_table import MemoryLeaseTable
from kcl_py.runtime.data.data_plane import DataPlane
from kcl_py.runtime.data.deadline import Deadline
from kcl_py.runtime.data.registration import Registration
from kcl_py.runtime.data.workplace import Workplace
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.keeper import Keeper
from kcl_py.runtime.keeper_thread import root_of
from kcl_py.runtime.mailbox import KeeperFailed, KeeperLine, Leaving, Quit
from kcl_py.worker import QUIT_SECONDS
from tests.simulation import facts
from tests.simulation.actors import Actor, SeededOrder
from tests.simulation.facts import Log
from tests.simulation.journals import Journal
from tests.simulation.plane_box import PlaneMailbox
from tests.simulation.watched_budget import WatchedBudget
from tests.simulation.watched_table import WatchedTable
from tests.simulation.wire import FanOutWire, Network, wired

_PIDS = itertools.count(1)
TABLE_TIMEOUT_SECONDS = 8.0  # what the doors on AWS wait for an answer
STREAM_TIMEOUT_SECONDS = 30.0
SILENCE_SECONDS = 15.0  # of a subscription, which brings a page every five


class World(msgspec.Struct, frozen=True):
    """What all workers of a simulation share."""

    stream_name: str
    model: KinesisModel
    table: MemoryLeaseTable
    log: Log
    network: Network
    order: SeededOrder
    dice: random.Random  # of everything that processors do
    gone: set[Process]  # those that run no more


class FleetWorker:
    """A process of its own in production: two actors here, which stand still and die together.

    Attributes:
        table: faults between this worker and the lease table, and all its calls.
        stream: faults between this worker and the stream.
        fan_out: the same where it reads by enhanced fan-out; else None.
        processing_seconds: how long the next batch takes.
        is_failing: whether its processor raises.
    """

    def __init__(
        self,
        world: World,
        name: str,
        *,
        rate: float = 1.0,
        host: str = "",
        journal: type[Journal] = Journal,
        **settings: object,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.name = name
        self.world = world
        self.rate = rate
        self.process = (
            Process(boot_id=host, pid_namespace="pid:[1]", pid=next(_PIDS), started_ticks=1) if host else None
        )
        self.journal = journal
        chosen: dict[str, Any] = {"stream": world.stream_name, "application": "app", "worker_id": name} | settings
        self.config = Config(**chosen)
        self.processing_seconds: Callable[[], float] = lambda: 0.0
        self.is_failing: Callable[[], bool] = lambda: False
        self.is_alive = True
        self.is_paused = False
        self.is_blocked = False
        self._actors = (Actor(f"{name} keeper"), Actor(f"{name} data plane"))
        self._keeper_context, self._data_context = (actor.context() for actor in self._actors)
        self.stream = FaultyStream(LocalStream(world.model, world.stream_name), seed=world.dice.getrandbits(32))
        watched: Any = WatchedTable(world.table, name, world.log)
        self.table = FaultyLeaseTable(watched)
        self.fan_out: FaultyFanOut | None = None
        self._registration: Registration | None = None
        stream, self._stream_wire = wired(world.network, self.stream, STREAM_TIMEOUT_SECONDS)
        table, self._table_wire = wired(world.network, self.table, TABLE_TIMEOUT_SECONDS, self._note_beat)
        self._clock = lambda: loop.time() * rate
        self._mailbox = PlaneMailbox()
        self._line = KeeperLine(self._mailbox)
        is_manual = journal.checkpointing == "manual"
        self.note(facts.Joined(rate=rate, worker_id=self.config.worker_id, host=host, is_manual=is_manual))
        self._emit = Emitter([self._hear])
        if self.config.fan_out:
            self._registration = self._make_registration()
        self.keeper = self._make_keeper(table, stream)
        self._data_plane = self._data_context.run(self._make_data_plane, stream)
        self._data_plane._failure.add_done_callback(self._stop_because_of)
        self._keeping = loop.create_task(self._keep(), name=f"{name} keeper", context=self._keeper_context)
        self._leave_task: asyncio.Task[None] | None = None

    # -- its life -----------------------------------------------------------------------------------------------------

    def leave(self) -> "asyncio.Task[None]":
        """What SIGTERM does."""
        if self._leave_task is None:
            self.note(facts.Leaving())
            self._leave_task = asyncio.get_running_loop().create_task(
                self._leave(), name=f"{self.name} leaves", context=self._data_context
            )
        return self._leave_task

    def leave_if_running(self) -> None:
        """Stop it unless it is gone, dead, or leaving."""
        if self.is_running:
            self.leave()

    @property
    def dice(self) -> random.Random:
        """What its processors throw."""
        return self.world.dice

    @property
    def is_running(self) -> bool:
        """True until it crashes or is told to leave."""
        return self.is_alive and self._leave_task is None

    def crash(self) -> None:
        """Its power goes out: nothing of it runs any more, and nothing that it has not sent already gets through."""
        self.note(facts.Crashed())
        self._end()
        self._stop_time(*self._actors)

    def block(self) -> None:
        """What user code does that blocks the loop it was called on."""
        if not self.is_paused and not self.is_blocked:
            self.is_blocked = True
            self.note(facts.Blocked())
            self._stop_time(self._actors[1])

    def unblock(self) -> None:
        """The user's code lets the loop go."""
        if self.is_alive and self.is_blocked:
            self.is_blocked = False
            self.note(facts.Unblocked())
            if not self.is_paused:
                self._let_time_go_on(self._actors[1])

    def pause(self) -> None:
        """What SIGSTOP does; what it has sent arrives all the same."""
        if not self.is_paused:
            self.is_paused = True
            self.note(facts.Paused())
            self._stop_time(*self._actors)

    def resume(self) -> None:
        """What SIGCONT does."""
        if self.is_alive and self.is_paused:
            self.is_paused = False
            self.note(facts.Resumed())
            self._let_time_go_on(*self._actors[: 1 if self.is_blocked else 2])

    def bury(self) -> None:
        """Tidy away what is left of a worker that crashed, out of everybody's sight; its tasks end when cancelled."""
        self._stream_wire.is_cut = self._table_wire.is_cut = True
        if self._registration is not None:
            self._fan_out_wire.is_cut = True
        self._mailbox.to_keeper.close()
        self._data_plane.cut()
        self._let_time_go_on(*self._actors)

    def note(self, what: facts.What) -> None:
        """Write into the log, unless it is dead."""
        if self.is_alive:
            self.world.log.note(self.name, what)

    # -- inside -------------------------------------------------------------------------------------------------------

    async def _leave(self) -> None:
        self._mailbox.to_keeper.put(Leaving())
        try:
            async with asyncio.timeout(self.config.shutdown_grace_seconds):
                await self._data_plane.drain()
        except TimeoutError:
            await self._data_plane.close()
        self._mailbox.to_keeper.put(Quit())
        await asyncio.wait([self._keeping], timeout=QUIT_SECONDS)
        if not self._keeping.done():
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        self._line.hang_up()
        await self._data_plane.close()
        self.note(facts.Left())
        self._end()

    def _end(self) -> None:
        self.is_alive = False
        if self.process is not None:
            self.world.gone.add(self.process)

    async def _keep(self) -> None:
        try:
            await self.keeper.run()
        except Exception as error:  # noqa: BLE001 - told, and the worker stops
            root = root_of(error)
            self.note(facts.Failed(error=f"{type(root).__name__}: {root}"))
            self._mailbox.to_data_plane.put(KeeperFailed(root))
            self.leave()  # as a process does that cannot go on

    def _stop_because_of(self, failure: "asyncio.Future[BaseException]") -> None:
        """The data plane cannot go on; what the keeper met was told already."""
        if self.is_running and not failure.cancelled():
            error = failure.result()
            self.note(facts.Failed(error=f"{type(error).__name__}: {error}"))
            self.leave()

    def _make_keeper(self, table: LeaseTable, stream: Stream) -> Keeper:
        return Keeper(
            table,
            stream,
            self._mailbox,
            self.config,
            process=self.process,
            is_gone=self._is_gone,
            emit=self._emit,
            clock=self._clock,
            sleep=self._sleep,
            rng=random.Random(self.world.dice.getrandbits(32)),
        )

    def _make_data_plane(self, stream: Stream) -> DataPlane:
        place = Workplace(
            config=self.config,
            stream=stream,
            factory=type("Journal", (self.journal,), {"worker": self}),
            line=self._line,
            budget=WatchedBudget(self.config.buffer_bytes_max, self.note),
            deadline=Deadline(self._clock),
            emit=self._emit,
            clock=self._clock,
            has_read=asyncio.Event(),
            sleep=self._sleep,
            registration=self._registration,
        )
        return DataPlane(place, self._mailbox)

    def _make_registration(self) -> Registration:
        world = self.world
        door = LocalFanOut(world.model, world.stream_name)
        self.fan_out = FaultyFanOut(door, seed=world.dice.getrandbits(32))
        self._fan_out_wire = FanOutWire(world.network, self.fan_out, SILENCE_SECONDS, lambda *_: None)
        fan_out = cast("FanOut", self._fan_out_wire)
        return Registration(fan_out, self.config.fan_out_consumer, emit=self._emit, sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.rate)

    def _hear(self, event: Event) -> None:
        self.note(event)

    def _note_beat(self, operation: str, arguments: tuple[Any, ...]) -> None:
        after = arguments[1] if operation == "write_session" else None
        if after is not None and not after.is_revoked:  # else it speaks of another's session
            self.note(facts.BeatSent(key=after.key, beat=after.beat))

    def _is_gone(self, process: Process | None) -> bool:
        """Certain only on one's own host."""
        is_here = process is not None and self.process is not None and process.boot_id == self.process.boot_id
        return is_here and process in self.world.gone

    def _stop_time(self, *actors: Actor) -> None:
        for actor in actors:
            self.world.order.hold(actor)

    def _let_time_go_on(self, *actors: Actor) -> None:
        for actor in actors:
            self.world.order.let_go(actor)
