"""A worker's runtime on one loop, between a stream in memory and a table in memory, with faults at both doors."""

import asyncio
import itertools
from collections.abc import Iterable
from contextvars import Context, copy_context
from typing import TypeVar

from kcl_py.config import Config
from kcl_py.core.batch import RecordBatch
from kcl_py.core.lease import Lease
from kcl_py.core.position import StartPosition
from kcl_py.core.session import Process, Session
from kcl_py.errors import AccessDenied
from kcl_py.events import Event
from kcl_py.interfaces import LeaseTable, Stream
from kcl_py.local import requests
from kcl_py.local.doors import LocalStream, loop_clock_ms
from kcl_py.local.fan_out_door import LocalFanOut
from kcl_py.local.faults import FaultyStream
from kcl_py.local.faulty_fan_out import FaultyFanOut
from kcl_py.local.faulty_lease_table import Fault, FaultyLeaseTable
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.memory_lease_table import MemoryLeaseTable
from kcl_py.local.operations import perform
from kcl_py.processor import Checkpointer, ProcessorFactory, RecordProcessor
from kcl_py.runtime.data.buffer import ByteBudget
from kcl_py.runtime.data.data_plane import DataPlane
from kcl_py.runtime.data.deadline import Deadline
from kcl_py.runtime.data.registration import Registration
from kcl_py.runtime.data.workplace import Workplace
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.keeper import Keeper
from kcl_py.runtime.keeper_thread import root_of
from kcl_py.runtime.mailbox import KeeperFailed, KeeperLine, Leaving, Mailbox, Quit
from tests.simulation.plane_box import PlaneMailbox

STREAM = "orders"
SHARD_0 = "shardId-000000000000"
SHARD_1 = "shardId-000000000001"
KindOfEvent = TypeVar("KindOfEvent", bound=Event)


class Site:
    """A stream, a table, and what processors saw; workers come and go."""

    def __init__(self, shards: int = 1) -> None:
        self.model = KinesisModel()
        self.memory = MemoryLeaseTable()
        self.delivered: list[tuple[str, str, int, str]] = []  # worker, shard, fencing token, payload
        self._numbers = itertools.count()
        self.ask(requests.CreateStream(stream_name=STREAM, shard_count=shards))

    def ask(self, request: requests.Request) -> object:
        return perform(self.model, request, loop_clock_ms())

    def put(self, count: int, key: str | None = None) -> list[str]:
        """Put numbered records, under one key or as many as there are records."""
        payloads = [str(next(self._numbers)) for _ in range(count)]
        for payload in payloads:
            self.put_data(payload.encode(), key if key is not None else payload)
        return payloads

    def put_data(self, data: bytes, key: str = "k") -> None:
        self.ask(requests.PutRecord(stream_name=STREAM, data=data, partition_key=key))

    def split(self, shard_id: str = SHARD_0, at: int = 2**127) -> None:
        self.ask(requests.SplitShard(stream_name=STREAM, shard_to_split=shard_id, new_starting_hash_key=str(at)))

    def merge(self, shard_id: str, adjacent: str) -> None:
        self.ask(requests.MergeShards(stream_name=STREAM, shard_to_merge=shard_id, adjacent_shard_to_merge=adjacent))

    def payloads(self, worker_id: str | None = None) -> list[str]:
        return [payload for worker, _, _, payload in self.delivered if worker_id in (None, worker)]

    async def row(self, shard_id: str = SHARD_0) -> Lease:
        row = await self.memory.lease(shard_id)
        assert row is not None
        return row

    async def revoke(self, worker_id: str = "w1") -> str:
        """Declare a worker's session dead, as a rival that could not see it would; its owner string."""
        live = await self._session(worker_id)
        await self.memory.write_session(live, live.revoked())
        return live.key

    async def offer(self, worker_id: str) -> None:
        """Open a hand-off of shard 0 to a worker, as a leader would."""
        await self.memory.write((await self.row()).offered((await self._session(worker_id)).key))

    async def _session(self, worker_id: str) -> Session:
        sessions = (await self.memory.snapshot()).sessions
        (live,) = (one for one in sessions if one.worker_id == worker_id and not one.is_revoked)
        return live


class DenyingTable(FaultyLeaseTable):
    """Denies beats, or the deletion of entries, while told to."""

    denies_beats = False
    denies_deletions = False

    async def write_session(self, before: Session | None, after: Session | None) -> None:
        is_denied = self.denies_deletions if after is None else self.denies_beats and before is not None
        if is_denied:
            raise AccessDenied("the IAM action")
        await super().write_session(before, after)


class Recording(RecordProcessor):
    """Notes what it is given."""

    site: Site
    calls: list[str]

    async def initialize(self, context: object) -> None:
        self.calls.append(f"initialize {self.context.shard_id}")

    async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        self.calls.append(f"process {len(records)}")
        for record in records:
            here = self.context
            self.site.delivered.append((here.worker_id, here.shard_id, here.fencing_token, record.data.decode()))

    async def lease_lost(self) -> None:
        self.calls.append("lease_lost")

    async def shard_ended(self, checkpointer: Checkpointer) -> None:
        self.calls.append(f"shard_ended {self.context.shard_id}")

    async def shutdown_requested(self, checkpointer: Checkpointer) -> None:
        self.calls.append("shutdown_requested")


class BenchWorker:
    """Keeper and data plane of one worker in the running loop."""

    def __init__(
        self,
        site: Site,
        processor: type[RecordProcessor] = Recording,
        *,
        worker_id: str = "w1",
        start: StartPosition = StartPosition.TRIM_HORIZON,
        process: Process | None = None,
        gone: Iterable[Process] = (),
        factory: ProcessorFactory | None = None,
        planes: tuple[Context, Context] | None = None,
        **settings: object,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.calls: list[str] = []
        self.events: list[Event] = []
        self.config = Config(stream=STREAM, application="app", worker_id=worker_id, start=start, **settings)  # type: ignore[arg-type]
        self.stream = FaultyStream(LocalStream(site.model, STREAM))
        self.fan_out = FaultyFanOut(LocalFanOut(site.model, STREAM))
        self.table = DenyingTable(site.memory)
        self.failure: BaseException | None = None
        named = type(processor.__name__, (processor,), {"site": site, "calls": self.calls})
        emit = Emitter([self.events.append])
        keeper_context, data_context = planes or (copy_context(), copy_context())
        self._mailbox = Mailbox() if planes is None else PlaneMailbox()
        stream: Stream = self.stream
        table: LeaseTable = self.table
        gone = set(gone)
        self.keeper = Keeper(
            table, stream, self._mailbox, self.config,
            process=process, is_gone=lambda one: one in gone, emit=emit, clock=loop.time,
        )  # fmt: skip
        self.deadline = Deadline(loop.time)
        self.budget = ByteBudget(self.config.buffer_bytes_max)
        self._line = KeeperLine(self._mailbox)
        place = Workplace(
            self.config,
            stream,
            factory or named,
            self._line,
            self.budget,
            self.deadline,
            emit,
            loop.time,
            asyncio.Event(),
            registration=Registration(self.fan_out, self.config.fan_out_consumer, emit=emit)
            if self.config.fan_out
            else None,
        )
        self.data_plane = data_context.run(DataPlane, place, self._mailbox)
        self._keeping = asyncio.create_task(self._keep(), name="keeper", context=keeper_context)

    async def _keep(self) -> None:
        try:
            await self.keeper.run()
        except Exception as error:  # noqa: BLE001 - the worker of this bench raises it
            self.failure = root_of(error)
            self._mailbox.to_data_plane.put(KeeperFailed(self.failure))

    async def drain(self, *, fails: bool = False) -> None:
        """What SIGTERM does; a data plane that has failed before, or does so now, must be expected to."""
        self._mailbox.to_keeper.put(Leaving())
        try:
            async with asyncio.timeout(self.config.shutdown_grace_seconds):
                await self.data_plane.drain()
        except TimeoutError:
            await self.data_plane.close()
        self._mailbox.to_keeper.put(Quit())
        await self._keeping
        self._line.hang_up()
        await self.data_plane.close()
        assert self.budget.used == 0, "bytes of the budget were not given back"
        assert (self.data_plane.failure is not None) == fails, repr(self.data_plane.failure)

    async def crash(self) -> None:
        """What SIGKILL does: nothing that it had begun gets through any more."""
        self.table.faults.insert(0, Fault(kind="fail"))
        self._mailbox.to_data_plane.close()
        self._mailbox.to_keeper.close()
        self._keeping.cancel()
        await asyncio.wait([self._keeping])
        await self.data_plane.close()

    def seen(self, kind: type[KindOfEvent]) -> list[KindOfEvent]:
        return [event for event in self.events if isinstance(event, kind)]
