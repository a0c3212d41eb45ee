"""The leases of one worker, without its rounds and without a data plane: a test does what those would."""

import asyncio

from kcl_py.config import Config
from kcl_py.core.balance import by_weight
from kcl_py.core.checkpoint import TRIM_HORIZON, Checkpoint
from kcl_py.core.lease import Binding, Lease
from kcl_py.events import Event
from kcl_py.local.doors import LocalStream
from kcl_py.local.faulty_lease_table import FaultyLeaseTable
from kcl_py.runtime.discovery import Discovery
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.leases.desk import Desk
from kcl_py.runtime.leases.gatekeeper import Gatekeeper
from kcl_py.runtime.leases.holdings import Holdings
from kcl_py.runtime.leases.intake import Intake
from kcl_py.runtime.leases.succession import Succession
from kcl_py.runtime.mailbox import Box, FromKeeper, Matter, Request
from tests.runtime.bench import SHARD_0, STREAM, Site

ME, RIVAL = "me@00000001", "rival@00000002"
BINDING = Binding("stream@1", "app", None)


class LeaseBench:
    """What a keeper has for its leases."""

    def __init__(self, site: Site | None = None) -> None:
        self.site = site or Site(shards=2)
        self.memory = self.site.memory
        self.table = FaultyLeaseTable(self.memory)
        self.events: list[Event] = []
        self.told: list[FromKeeper] = []
        self.me: str | None = ME

    async def open(self, leases_max: int | None = None) -> "LeaseBench":
        loop = asyncio.get_running_loop()
        config = Config(
            stream=STREAM, application="app", worker_id="me", shutdown_grace_seconds=5.0, leases_max=leases_max
        )
        emit = Emitter([self.events.append])
        self.discovery = Discovery(LocalStream(self.site.model, STREAM), self.table, config, clock=loop.time, emit=emit)
        await self.discovery.open()
        self.discovery.bind(await self.memory.prepare())
        box: Box[FromKeeper] = Box()
        box.open(self.told.append)
        self.desk = Desk(
            table=self.table,
            discovery=self.discovery,
            to_data_plane=box,
            config=config,
            session=lambda: self.me,
            is_session_live=lambda: self.me is not None,
            without_us=self.succession,
            spawn=asyncio.create_task,
            clock=loop.time,
            emit=emit,
        )
        self.holdings = Holdings(self.desk)
        self.gatekeeper = Gatekeeper(self.table, self.discovery, clock=loop.time, emit=emit)
        self.intake = Intake(self.table, self.holdings, self.gatekeeper, emit)
        return self

    def succession(self) -> Succession:
        return Succession(self.table, by_weight, me=ME, seems_dead=lambda _: False, emit=self.desk.emit)

    def put(self, owner: str | None = ME, key: str = SHARD_0) -> Lease:
        lease = Lease(key=key, checkpoint=TRIM_HORIZON, owner=owner)
        self.memory.put(lease)
        return lease

    async def row(self, key: str = SHARD_0) -> Lease:
        return await self.site.row(key)

    async def hold(self, key: str = SHARD_0) -> Lease:
        """Have one picked up."""
        self.holdings.pick_up(self.put(key=key), ME)
        await asyncio.sleep(1)
        return await self.row(key)

    async def look(self) -> None:
        await self.intake.look(ME)
        await asyncio.sleep(1)

    async def ask(self, lease: Lease, matter: Matter) -> object:
        return await self.holdings.serve(Request(0, lease.key, lease.counter, matter))

    def reads(self, key: str = SHARD_0) -> int:
        return sum(call.operation == "lease" and call.key == key for call in self.table.calls)

    def is_awaiting_hand_off(self) -> bool:
        return self.intake.is_awaiting_hand_off

    def needs_listing(self) -> bool:
        return self.gatekeeper.needs_listing

    def heard(self, kind: type[FromKeeper]) -> list[FromKeeper]:
        return [message for message in self.told if isinstance(message, kind)]

    def seen(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


def at(number: int) -> Checkpoint:
    return Checkpoint(str(number))
