"""A whole worker in virtual time on the doors of production, and on the SDKs that these are built on."""

import asyncio
import random

from kcl_py.config import Config
from kcl_py.core.lease import Lease
from kcl_py.core.position import StartPosition
from kcl_py.events import Event
from kcl_py.runtime.data.buffer import ByteBudget
from kcl_py.runtime.data.data_plane import DataPlane
from kcl_py.runtime.data.deadline import Deadline
from kcl_py.runtime.data.workplace import Workplace
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.keeper import Keeper
from kcl_py.runtime.mailbox import KeeperLine, Mailbox
from tests.runtime.bench import STREAM, BenchWorker, Recording, Site
from tests.sdk.dynamodb_in_process import DynamoDBInProcess
from tests.sdk.kinesis_in_process import KinesisInProcess


class ServiceSite(Site):
    """A stream and a table behind their wire protocols."""

    def __init__(self, dynamodb: DynamoDBInProcess, shards: int = 1) -> None:
        super().__init__(shards)
        self.kinesis = KinesisInProcess(self.model)
        self.dynamodb = dynamodb
        self.onlooker = dynamodb.door("orders-app")

    async def rows(self) -> dict[str, Lease]:
        """Every lease row, by its shard."""
        return {lease.key: lease for lease in (await self.onlooker.snapshot()).leases}


class SdkWorker(BenchWorker):
    """Its keeper and its data plane have connections of their own to the stream, as `Worker` gives them."""

    def __init__(self, site: ServiceSite, *, worker_id: str = "w1", seed: int = 1) -> None:
        clock = asyncio.get_running_loop().time
        self.calls: list[str] = []
        self.events: list[Event] = []
        self.failure: BaseException | None = None
        self.config = Config(stream=STREAM, application="app", worker_id=worker_id, start=StartPosition.TRIM_HORIZON)
        emit = Emitter([self.events.append])
        self._mailbox = Mailbox()
        self._streams = [site.kinesis.door(STREAM), site.kinesis.door(STREAM)]
        self._lease_table = site.dynamodb.door("orders-app")
        self.keeper = Keeper(
            self._lease_table, self._streams[0], self._mailbox, self.config,
            process=None, is_gone=lambda _: False, emit=emit, clock=clock, rng=random.Random(seed),
        )  # fmt: skip
        self.deadline = Deadline(clock)
        self.budget = ByteBudget(self.config.buffer_bytes_max)
        self._line = KeeperLine(self._mailbox)
        factory = type("Recording", (Recording,), {"site": site, "calls": self.calls})
        place = Workplace(
            self.config, self._streams[1], factory, self._line, self.budget, self.deadline, emit, clock, asyncio.Event()
        )
        self.data_plane = DataPlane(place, self._mailbox)
        self._keeping = asyncio.create_task(self._keep(), name="keeper")

    async def drain(self, *, fails: bool = False) -> None:
        """What SIGTERM does."""
        await super().drain(fails=fails)
        for stream in self._streams:
            await stream.close()
        await self._lease_table.close()
        assert self.failure is None
