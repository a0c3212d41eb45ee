"""One worker of a simulated fleet: the shipped keeper and data plane, and the ways in which it can end."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import msgspec

from kcl_py.config import Config
from kcl_py.core.batch import RecordBatch
from kcl_py.core.record import Record
from kcl_py.events import Event
from kcl_py.interfaces import LeaseTable, Stream
from kcl_py.local.doors import LocalStream
from kcl_py.local.faults import FaultyStream
from kcl_py.local.faulty_lease_table import FaultyLeaseTable
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.memory_lease_table import MemoryLeaseTable
from kcl_py.processor import Checkpointer, RecordProcessor
from kcl_py.runtime.data.buffer import ByteBudget
from kcl_py.runtime.data.data_plane import DataPlane
from kcl_py.runtime.data.deadline import Deadline
from kcl_py.runtime.data.workplace import Workplace
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.keeper import Keeper
from kcl_py.runtime.keeper_thread import root_of
from kcl_py.runtime.mailbox import KeeperFailed, KeeperLine, Leaving, Quit
from kcl_py.worker import QUIT_SECONDS
from tests.simulation import facts
from tests.simulation.actors import Actor, SeededOrder
from tests.simulation.facts import Delivered, Done, Log, Put
from tests.simulation.plane_box import PlaneMailbox
from tests.simulation.watched_table import WatchedTable
from tests.simulation.wire import Network, wired

TABLE_TIMEOUT_SECONDS = 8.0  # what the doors on AWS wait for an answer
STREAM_TIMEOUT_SECONDS = 30.0


class World(msgspec.Struct, frozen=True):
    """What all workers of a simulation share."""

    stream_name: str
    model: KinesisModel
    table: MemoryLeaseTable
    log: Log
    network: Network
    order: SeededOrder
    dice: random.Random  # of everything that processors do


class Journal(RecordProcessor):
    """Notes what it is given. It may be slow, and may fail, if the worker says so."""

    worker: "FleetWorker"

    async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        worker, here = self.worker, self.context
        noted = tuple(_put(here.shard_id, record) for record in records)
        worker.note(Delivered(shard_id=here.shard_id, token=here.fencing_token, records=noted))
        await asyncio.sleep(worker.processing_seconds())
        if worker.is_failing():
            raise ValueError("now and then")
        worker.note(Done(shard_id=here.shard_id, token=here.fencing_token, records=noted))


class FleetWorker:
    """A process of its own in production: two actors here, which stand still and die together.

    Attributes:
        table: faults between this worker and the lease table, and all its calls.
        stream: faults between this worker and the stream.
        processing_seconds: how long the next batch takes.
        is_failing: whether its processor raises.
    """

    def __init__(self, world: World, name: str, *, rate: float = 1.0, **settings: object) -> None:
        loop = asyncio.get_running_loop()
        self.name = name
        self.world = world
        self.rate = rate
        self.config = Config(stream=world.stream_name, application="app", worker_id=name, **settings)  # type: ignore[arg-type]
        self.processing_seconds: Callable[[], float] = lambda: 0.0
        self.is_failing: Callable[[], bool] = lambda: False
        self.is_alive = True
        self.is_paused = False
        self._actors = (Actor(f"{name} keeper"), Actor(f"{name} data plane"))
        self._keeper_context, self._data_context = (actor.context() for actor in self._actors)
        self.stream = FaultyStream(LocalStream(world.model, world.stream_name), seed=world.dice.getrandbits(32))
        watched: Any = WatchedTable(world.table, name, world.log)
        self.table = FaultyLeaseTable(watched)
        stream, self._stream_wire = wired(world.network, self.stream, STREAM_TIMEOUT_SECONDS)
        table, self._table_wire = wired(world.network, self.table, TABLE_TIMEOUT_SECONDS, self._note_beat)
        self._clock = lambda: loop.time() * rate
        self._mailbox = PlaneMailbox()
        self._line = KeeperLine(self._mailbox)
        self.note(facts.Joined(rate=rate))
        self._emit = Emitter([self._hear])
        self.keeper = self._make_keeper(table, stream)
        self._data_plane = self._data_context.run(self._make_data_plane, stream)
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

    @property
    def is_running(self) -> bool:
        """True until it crashes or is told to leave."""
        return self.is_alive and self._leave_task is None

    def crash(self) -> None:
        """Its power goes out: nothing of it runs any more, and nothing that it has not sent already gets through."""
        self.note(facts.Crashed())
        self.is_alive = False
        self._stop_time()

    def pause(self) -> None:
        """What SIGSTOP does; what it has sent arrives all the same."""
        if not self.is_paused:
            self.is_paused = True
            self.note(facts.Paused())
            self._stop_time()

    def resume(self) -> None:
        """What SIGCONT does."""
        if self.is_alive and self.is_paused:
            self.is_paused = False
            self.note(facts.Resumed())
            self._let_time_go_on()

    def bury(self) -> None:
        """Tidy away what is left of a worker that crashed, out of everybody's sight; its tasks end when cancelled."""
        self._stream_wire.is_cut = self._table_wire.is_cut = True
        self._mailbox.to_keeper.close()
        self._data_plane.cut()
        self._let_time_go_on()

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
        self.is_alive = False

    async def _keep(self) -> None:
        try:
            await self.keeper.run()
        except Exception as error:  # noqa: BLE001 - told, and the worker stops
            root = root_of(error)
            self.note(facts.Failed(error=f"{type(root).__name__}: {root}"))
            self._mailbox.to_data_plane.put(KeeperFailed(root))
            self.leave()  # as a process does that cannot go on

    def _make_keeper(self, table: LeaseTable, stream: Stream) -> Keeper:
        return Keeper(
            table,
            stream,
            self._mailbox,
            self.config,
            process=None,
            is_gone=lambda _process: False,
            emit=self._emit,
            clock=self._clock,
            sleep=self._sleep,
            rng=random.Random(self.world.dice.getrandbits(32)),
        )

    def _make_data_plane(self, stream: Stream) -> DataPlane:
        place = Workplace(
            config=self.config,
            stream=stream,
            factory=type("Journal", (Journal,), {"worker": self}),
            line=self._line,
            budget=ByteBudget(self.config.buffer_bytes_max),
            deadline=Deadline(self._clock),
            emit=self._emit,
            clock=self._clock,
            has_read=asyncio.Event(),
            sleep=self._sleep,
        )
        return DataPlane(place, self._mailbox)

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.rate)

    def _hear(self, event: Event) -> None:
        self.note(event)

    def _note_beat(self, operation: str, arguments: tuple[Any, ...]) -> None:
        if operation == "write_session" and arguments[1] is not None and arguments[1].key.startswith(f"{self.name}@"):
            self.note(facts.BeatSent(key=arguments[1].key, beat=arguments[1].beat))

    def _stop_time(self) -> None:
        for actor in self._actors:
            self.world.order.hold(actor)

    def _let_time_go_on(self) -> None:
        for actor in self._actors:
            self.world.order.let_go(actor)


def _put(shard_id: str, record: Record) -> Put:
    key, _, number = record.data.decode().partition(" ")
    position = (int(record.sequence_number), record.sub_sequence_number)
    return Put(shard_id=shard_id, position=position, key=key, number=int(number))
