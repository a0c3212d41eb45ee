"""A random life of a fleet: which kinds of trouble it meets, and when, follows from the seed alone."""

import asyncio
import random
from collections.abc import Callable, Mapping

import msgspec

from kcl_py.errors import ServiceUnavailable
from kcl_py.local.faults import ChildShardsDropped, Delayed, Effect, ListingStale, Refused, throttled
from kcl_py.local.faults import Fault as StreamFault
from kcl_py.local.faults import Operation as StreamOperation
from kcl_py.local.faulty_lease_table import Fault, Operation
from tests.simulation.facts import Healed
from tests.simulation.fleet_worker import FleetWorker
from tests.simulation.laws.liveness import SETTLE_SECONDS
from tests.simulation.simulation import Simulation

LIFE_SECONDS = 100
HEAL_SECONDS_MAX = 200
WORKERS_MAX = 6
KINDS = (
    "join", "leave", "crash", "pause", "reshard", "throttle one", "throttle all", "answers lost", "requests lost",
    "requests late", "answers late", "index stale", "stream", "slow", "failing", "far",
)  # fmt: skip
MEMBERSHIP = ("join", "leave", "crash", "pause", "reshard", "slow")
OPERATIONS = ("write", "write", "write_session", "create", "snapshot", "lease", "session", "sessions",
              "write_leader_lock", "leader_lock", "lease_keys_of", "delete")  # fmt: skip

WRITES: tuple[Operation | None, ...] = ("write", "create", "delete", "write_session", "write_leader_lock")
EVERYTHING: tuple[Operation | None, ...] = (None,)


class Mood(msgspec.Struct, frozen=True):
    """What a seed has in store."""

    seed: int
    shards: int
    workers: int
    kinds: frozenset[str]
    pace: float  # how likely something goes wrong, about once a second
    settings: Mapping[str, object]

    @classmethod
    def of(cls, seed: int) -> "Mood":
        dice = random.Random(f"mood {seed}")
        likely = dice.choice([0.2, 0.5, 0.8])
        kinds = MEMBERSHIP if seed % 4 == 3 else KINDS  # every fourth fleet has doors that work
        return cls(
            seed=seed,
            shards=dice.randint(1, 8),
            workers=dice.randint(2, 6) if kinds is MEMBERSHIP else dice.randint(1, 5),
            kinds=frozenset(kind for kind in kinds if dice.random() < likely),
            pace=dice.choice([0.02, 0.2]) if kinds is MEMBERSHIP else 0.2,
            settings={
                "balance": dice.choice(["weight", "lease_count"]),
                "failover_seconds": dice.choice([6.0, 10.0]),
                "checkpoint_interval_seconds": dice.choice([1.0, 5.0]),
                "uncheckpointed_records_max": dice.choice([5, 50, 100_000]),
                "read_limit": dice.choice([3, 20, 10_000]),
                "shutdown_grace_seconds": dice.choice([3.0, 25.0]),
                "shard_listing_interval_seconds": dice.choice([10.0, 60.0]),
                "retry_backoff_max_seconds": 2.0,
                "retry_stopped_seconds": 5.0,
            },
        )

    @property
    def failover_seconds(self) -> float:
        failover = self.settings["failover_seconds"]
        assert isinstance(failover, float)
        return failover

    @property
    def quiet_seconds(self) -> float:
        """How long the fleet is watched when all is done: long enough to see it settle, where no door misbehaves."""
        return self.failover_seconds + SETTLE_SECONDS + 20 if self.kinds <= set(MEMBERSHIP) else 5.0

    @property
    def repeats_max(self) -> int:
        """Law S8: so many records, plus one page."""
        cap, page = self.settings["uncheckpointed_records_max"], self.settings["read_limit"]
        assert isinstance(cap, int)
        assert isinstance(page, int)
        return cap + page


class Swarm:
    """Lives one life."""

    def __init__(self, mood: Mood) -> None:
        self.mood = mood
        self._joined = 0
        self._throttled = (0.0, EVERYTHING)  # until when everybody is, and in what
        self._is_healed = False
        self._heals: set[asyncio.TimerHandle] = set()
        self._leaving: list[asyncio.Task[None]] = []

    async def live(self, fleet: Simulation) -> None:
        """Trouble for a while, then none, until everything is done."""
        self._fleet, self._dice = fleet, fleet.dice
        if "far" in self.mood.kinds:
            fleet.world.network.latency_seconds = (0.01, 0.4)
            fleet.trouble("far", LIFE_SECONDS + HEAL_SECONDS_MAX)  # nobody is as quick as the promises suppose
        until = asyncio.get_running_loop().time() + LIFE_SECONDS
        while asyncio.get_running_loop().time() < until:
            fleet.put(self._dice.randint(0, 8))
            self._keep_company()
            await self._suffer()
            await asyncio.sleep(self._dice.uniform(0.2, 2))
        await self._heal()

    def _keep_company(self) -> None:
        """A fleet is never left alone for long."""
        count, dice = len(self._fleet.workers), self._dice
        is_growing = self._joined < self.mood.workers and dice.random() < 0.5
        is_alone = not count and dice.random() < 0.2
        is_joined = "join" in self.mood.kinds and count < WORKERS_MAX and dice.random() < 0.05
        if is_growing or is_alone or is_joined:
            self._join()

    def _join(self) -> None:
        self._joined += 1
        dice = self._dice
        worker = self._fleet.join(f"w{self._joined}", rate=dice.uniform(0.976, 1.024), **self.mood.settings)
        pauses = [0.0, 0.0, 0.1, 1.0, 9.0] if "slow" in self.mood.kinds else [0.0, 0.0, 0.1]
        worker.processing_seconds = lambda: 0.0 if self._is_healed else dice.choice(pauses)
        self._throttle(worker)
        if "failing" in self.mood.kinds:
            worker.is_failing = lambda: not self._is_healed and dice.random() < 0.1

    async def _suffer(self) -> None:
        fleet, dice, failover = self._fleet, self._dice, self.mood.failover_seconds
        if not self.mood.kinds or dice.random() >= self.mood.pace:
            return
        kind = dice.choice(sorted(self.mood.kinds))
        name = dice.choice(sorted(fleet.workers)) if fleet.workers else None
        if kind == "reshard":
            await self._reshard()
        elif name is None:
            return
        elif kind == "leave":
            self._leaving.append(fleet.leave(name))
        elif kind == "crash":
            fleet.crash(name)
        elif kind == "pause":
            fleet.pause(name, dice.choice([0.3, 0.6, 1.0, 3.0]) * failover * dice.uniform(0.8, 1.2))
        elif kind == "throttle all":
            self._throttled = (asyncio.get_running_loop().time() + 2 * failover, dice.choice([EVERYTHING, WRITES]))
            for worker in fleet.workers.values():
                self._throttle(worker)
        else:
            self._spoil_door(fleet.workers[name], kind)

    def _throttle(self, worker: FleetWorker) -> None:
        """The table throttles everybody for a while, whoever joins as well; it does not end for all in one instant."""
        until, operations = self._throttled
        seconds = until - asyncio.get_running_loop().time() - self._dice.uniform(0, 3)
        if seconds > 0:
            faults = [Fault(kind="throttle", operation=operation) for operation in operations]
            self._spoil(worker, faults, "throttle all", seconds)

    def _spoil_door(self, worker: FleetWorker, kind: str) -> None:
        dice, failover = self._dice, self.mood.failover_seconds
        late = dice.choice([0.5, 3.0, failover, failover + 4])
        table_faults: dict[str, Callable[[], Fault]] = {
            "throttle one": lambda: Fault(kind="throttle"),
            "answers lost": lambda: self._now_and_then(kind="lose_answer"),
            "requests lost": lambda: self._now_and_then(kind="fail"),
            "requests late": lambda: self._now_and_then(kind="delay", seconds=late),
            "answers late": lambda: self._now_and_then(kind="delay_answer", seconds=late),
            "index stale": lambda: Fault(kind="stale_index"),
        }
        if kind in table_faults:
            count = 1 if kind in ("throttle one", "index stale") else 6
            self._spoil(
                worker, [table_faults[kind]() for _ in range(count)], kind, dice.choice([1.0, 5.0, 2 * failover])
            )
        elif kind == "stream":
            self._spoil_stream(worker, dice.choice([3.0, 20.0]))

    def _now_and_then(self, **values: object) -> Fault:
        dice = self._dice
        return Fault(operation=dice.choice(OPERATIONS), nth=dice.randint(1, 12), **values)  # type: ignore[arg-type]

    def _spoil(self, worker: FleetWorker, faults: list[Fault], kind: str, seconds: float) -> None:
        worker.table.faults += faults
        self._fleet.trouble(kind, seconds, worker.name)
        spoiled = {id(fault) for fault in faults}

        def heal() -> None:
            worker.table.faults[:] = [fault for fault in worker.table.faults if id(fault) not in spoiled]

        self._heals.add(asyncio.get_running_loop().call_later(seconds, heal))

    def _spoil_stream(self, worker: FleetWorker, seconds: float) -> None:
        dice = self._dice
        effects: list[tuple[StreamOperation, Effect]] = [
            ("read", throttled()),
            ("open", Refused(ServiceUnavailable("500"))),
            ("read", Refused(ServiceUnavailable("500"))),
            ("read", Delayed(dice.uniform(0, 4))),
            ("read", ChildShardsDropped()),
            ("list_shards", Delayed(dice.uniform(0, 4))),  # a door tries a refused listing again by itself
            ("list_shards", ListingStale(dice.uniform(1, 50))),
        ]
        operation, effect = dice.choice(effects)
        worker.stream.faults.append(StreamFault(operation=operation, effect=effect, chance=dice.uniform(0.1, 0.6)))
        self._fleet.trouble("stream", seconds, worker.name)
        self._heals.add(asyncio.get_running_loop().call_later(seconds, worker.stream.faults.clear))

    async def _reshard(self) -> None:
        shards, dice = await self._fleet.open_shards(), self._dice
        if len(shards) > 1 and dice.random() < 0.5:
            at = dice.randrange(len(shards) - 1)
            await self._fleet.merge(shards[at], shards[at + 1])
        elif len(shards) < 12:
            await self._fleet.split(dice.choice(shards))

    async def _heal(self) -> None:
        fleet = self._fleet
        self._is_healed = True
        for heal in self._heals:
            heal.cancel()
        fleet.resume_all()
        for worker in fleet.everybody:
            worker.table.faults.clear()
            worker.stream.faults.clear()
        if not fleet.workers:
            self._join()
        fleet.log.note("", Healed())
        until = asyncio.get_running_loop().time() + HEAL_SECONDS_MAX
        while asyncio.get_running_loop().time() < until and not await fleet.is_all_done():
            await asyncio.sleep(2)
        await asyncio.sleep(self.mood.quiet_seconds)
