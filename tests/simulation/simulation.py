"""A fleet, its stream and its table in virtual time; everything follows from one seed."""

import asyncio
import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Coroutine

from kcl_py.core.checkpoint import Checkpoint
from kcl_py.core.lease import Lease
from kcl_py.core.shard import Shard
from kcl_py.local import requests
from kcl_py.local.answers import PutRecordAnswer
from kcl_py.local.doors import LocalStream, loop_clock_ms
from kcl_py.local.kinesis_error import KinesisError
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.memory_lease_table import MemoryLeaseTable
from kcl_py.local.operations import perform
from tests import virtual_time
from tests.core.kpl_aggregator import UserRecord, packed
from tests.simulation.actors import Actor, SeededOrder
from tests.simulation.chance import seed_jitter
from tests.simulation.facts import (
    Drained,
    Failed,
    Incident,
    Log,
    Put,
    Resharded,
    RowErased,
    RowWritten,
    StreamReplaced,
    TableDropped,
    TableRestored,
    Trimmed,
    Trouble,
)
from tests.simulation.fleet_worker import FleetWorker, World
from tests.simulation.numbered_tasks import number_tasks
from tests.simulation.wall_clock import WallClock
from tests.simulation.wire import Network

STREAM = "orders"
RETENTION_SECONDS = 24 * 3600
LEAVE_SECONDS_MAX = 120.0
MakeWorker = Callable[..., FleetWorker]


class Simulation:
    """The world that workers live in, and what can be done to it. Made inside its own loop by `simulated`.

    Attributes:
        dice: for whoever writes a scenario.
        everybody: every worker that ever joined.
    """

    def __init__(self, seed: int, order: SeededOrder, shards: int, make_worker: MakeWorker, table: MemoryLeaseTable):
        self.dice = random.Random(seed)
        self.log = Log()
        self.everybody: list[FleetWorker] = []
        self.wall_clock = WallClock()
        self._backup: tuple[Lease, ...] = ()
        self._make_worker = make_worker
        self._numbers: Counter[str] = Counter()
        self._puts: deque[tuple[float, Put]] = deque()  # and when; what is trimmed is not among them
        self._model = KinesisModel()
        self.world = World(
            stream_name=STREAM,
            model=self._model,
            table=table,
            log=self.log,
            network=Network(Actor("network").context(), seed),
            order=order,
            dice=random.Random(seed + 1),
            gone=set(),
        )
        self._ask(requests.CreateStream(stream_name=STREAM, shard_count=shards))

    # -- the stream ---------------------------------------------------------------------------------------------------

    def put(self, count: int, keys: int = 12, *, padding: int = 0, aggregate_max: int = 1) -> None:
        """Put records under random keys; the records of a key are numbered.

        Args:
            count: of user records.
            keys: that there are.
            padding: bytes that each record has beside its key and number.
            aggregate_max: so many user records of one key go into one KPL aggregate at most.
        """
        while count > 0:
            key = f"key-{self.dice.randrange(keys)}"
            size = min(count, self.dice.randint(1, aggregate_max))
            count -= size
            numbers = range(self._numbers[key], self._numbers[key] + size)
            self._numbers[key] += size
            payloads = [f"{key} {number} ".encode() + bytes(padding) for number in numbers]
            data = packed([UserRecord(key, payload) for payload in payloads]) if size > 1 else payloads[0]
            answer = self._ask(requests.PutRecord(stream_name=STREAM, data=data, partition_key=key))
            assert isinstance(answer, PutRecordAnswer)
            for nth, number in enumerate(numbers):
                position = (int(answer.sequence_number), nth)
                put = Put(shard_id=answer.shard_id, position=position, key=key, number=number)
                self._puts.append((asyncio.get_running_loop().time(), put))
                self.log.note("", put)

    async def open_shards(self) -> list[Shard]:
        """The shards that can be put to, in the order of their hash ranges."""
        listed = await LocalStream(self._model, STREAM).list_shards()
        return sorted((shard for shard in listed if not shard.is_closed), key=lambda shard: shard.hash_range)

    def is_open(self, shard_id: str) -> bool:
        """True if the shard can be put to."""
        shard = self._model.stream(STREAM, None, loop_clock_ms()).shards.get(shard_id)
        return shard is not None and shard.is_open

    async def split(self, shard: Shard) -> bool:
        """Split in the middle; False if the service refuses."""
        middle = str((shard.hash_range.start + shard.hash_range.end) // 2)
        return await self._reshard(
            requests.SplitShard(stream_name=STREAM, shard_to_split=shard.shard_id, new_starting_hash_key=middle)
        )

    async def merge(self, shard: Shard, adjacent: Shard) -> bool:
        """Merge two neighbours, the lower one first; False if the service refuses."""
        return await self._reshard(
            requests.MergeShards(
                stream_name=STREAM, shard_to_merge=shard.shard_id, adjacent_shard_to_merge=adjacent.shard_id
            )
        )

    async def _reshard(self, request: requests.Request) -> bool:
        before = {shard.shard_id for shard in await self.open_shards()}
        try:
            self._ask(request)
        except KinesisError:
            return False
        after = {shard.shard_id for shard in await self.open_shards()}
        self.log.note("", Resharded(parents=tuple(sorted(before - after)), children=tuple(sorted(after - before))))
        return True

    # -- the fleet ----------------------------------------------------------------------------------------------------

    @property
    def workers(self) -> dict[str, FleetWorker]:
        """Those that run, by name; the dead, the gone and the leaving are not among them."""
        return {worker.name: worker for worker in self.everybody if worker.is_running}

    def join(self, name: str, **settings: object) -> FleetWorker:
        """Start a worker."""
        worker = self._make_worker(self.world, name, **settings)
        self.everybody.append(worker)
        return worker

    def leave(self, name: str) -> "asyncio.Task[None]":
        """Stop a worker in order; it is gone when the task ends."""
        return self.workers[name].leave()

    def crash(self, name: str) -> None:
        """Cut a worker's power."""
        self.workers[name].crash()

    def pause(self, name: str, seconds: float) -> None:
        """Have a worker stand still for a while."""
        worker = self.workers[name]
        worker.pause()
        asyncio.get_running_loop().call_later(seconds, worker.resume)

    def resume_all(self) -> None:
        """Whoever stands still goes on at once."""
        for worker in self.workers.values():
            worker.resume()

    def trouble(self, what: str, seconds: float, worker: str = "") -> None:
        """Note that something is wrong with the doors for a while."""
        self.log.note(worker, Trouble(what=what, until=asyncio.get_running_loop().time() + seconds))

    # -- what operators and time do -----------------------------------------------------------------------------------

    async def back_up_table(self) -> None:
        """Keep the rows as they are, for `restore_table`."""
        self._backup = (await self.world.table.snapshot()).leases

    def erase_row(self, shard_id: str) -> None:
        """Delete a lease row by hand."""
        stood = self.world.table._leases.get(shard_id)
        self.world.table.erase(shard_id)
        self.log.note("", RowErased(key=shard_id))
        if stood is not None:
            self.log.note("", RowWritten(key=shard_id, claimed=None, stood=stood, stands=None))

    def drop_table(self) -> None:
        """Delete the lease table."""
        self.world.table.drop()
        self.log.note("", TableDropped())

    async def restore_table(self) -> None:
        """Put another table in the place of the lease table, with the rows as they were a while ago."""
        self.world.table.drop()
        await self.world.table.prepare()
        for row in self._backup:
            self.world.table.put(row)
        self.log.note("", TableRestored())

    def replace_stream(self, shards: int) -> None:
        """Delete the stream and create another one of its name."""
        self._ask(requests.DeleteStream(stream_name=STREAM, enforce_consumer_deletion=True))
        self._model.streams(loop_clock_ms())
        self._ask(requests.CreateStream(stream_name=STREAM, shard_count=shards))
        self.log.note("", StreamReplaced())

    async def pass_hours(self, hours: float) -> None:
        """Let time pass, and note what retention took. Cheap only while nobody runs."""
        await asyncio.sleep(hours * 3600)
        horizon = asyncio.get_running_loop().time() - RETENTION_SECONDS
        gone: defaultdict[str, list[Put]] = defaultdict(list)
        while self._puts and self._puts[0][0] < horizon:
            put = self._puts.popleft()[1]
            gone[put.shard_id].append(put)
        for shard_id, puts in gone.items():
            self.log.note("", Trimmed(shard_id=shard_id, records=tuple(puts)))

    def note_incident(self, kind: str) -> None:
        """Something happens to the fleet."""
        self.log.note("", Incident(kind=kind))

    async def is_all_done(self) -> bool:
        """True once every record that was put is done and checkpointed, and no shard that ended is unfinished."""
        rows = await self.rows()
        last = {put.shard_id: put.position[0] for _, put in self._puts}
        return all(
            key in rows and (rows[key].is_finished or rows[key].checkpoint >= Checkpoint(str(number)))
            for key, number in last.items()
        )

    async def rows(self) -> dict[str, Lease]:
        """The lease rows as they are."""
        return {lease.key: lease for lease in (await self.world.table.snapshot()).leases}

    async def end(self) -> None:
        """Stop whoever still runs, and tidy up."""
        self.log.note("", Drained())
        for name in tuple(self.workers):
            self.leave(name)
        leaving = [worker.leave() for worker in self.everybody if worker.is_alive]
        if leaving:
            _, hanging = await asyncio.wait(leaving, timeout=LEAVE_SECONDS_MAX)
            for task in hanging:
                self.log.note("", Failed(error=f"{task.get_name()}, and never ends"))
                task.cancel()
        for worker in self.everybody:
            worker.bury()
        await _sweep()

    def _ask(self, request: requests.Request) -> object:
        return perform(self._model, request, loop_clock_ms())


async def _sweep() -> None:
    """End every task that is left. A task group that meets a cancellation with an error loses it, hence the loop."""
    while left := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in sorted(left, key=lambda task: task.get_name()):
            task.cancel()
        await asyncio.wait(left, timeout=1)


Scenario = Callable[[Simulation], Coroutine[object, object, None]]


def simulated(
    seed: int,
    scenario: Scenario,
    *,
    shards: int = 2,
    make_worker: MakeWorker = FleetWorker,
    table: Callable[[], MemoryLeaseTable] = MemoryLeaseTable,
    make_order: Callable[[int], SeededOrder] = SeededOrder,
) -> Log:
    """Run a scenario to its end and return what happened.

    Args:
        seed: of everything that is left to chance.
        scenario: what is done to the fleet.
        shards: of the stream at first.
        make_worker: how a worker is made; a fleet that misbehaves has another one.
        table: makes the table that all share.
        make_order: makes the order of callbacks; one that watches somebody is another one.
    """
    order = make_order(seed)
    logs: list[Log] = []

    async def main() -> None:
        number_tasks(asyncio.get_running_loop())
        simulation = Simulation(seed, order, shards, make_worker, table())
        logs.append(simulation.log)
        with simulation.wall_clock.shown():
            try:
                await scenario(simulation)
            finally:
                await simulation.end()

    seed_jitter(seed)
    virtual_time.run(main(), order)
    return logs[0]
