"""What can be done to the fleet of a story: a method for each command, with the words that follow it."""

import asyncio
import itertools
import math
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from functools import partial

import msgspec

from kcl_py import events
from kcl_py.config import SETTINGS
from kcl_py.errors import ConfigError, ServiceUnavailable
from kcl_py.local import faults
from kcl_py.local.fan_out_door import LocalFanOut
from kcl_py.local.faulty_lease_table import Fault, Operation
from kcl_py.local.memory_lease_table import LOCK_KEY
from kcl_py.setting import SIZE
from tests.simulation import facts
from tests.simulation.fleet_worker import FleetWorker
from tests.simulation.journals import Journal, ManualJournal
from tests.simulation.laws.history import History, worker_of
from tests.simulation.simulation import Simulation
from tests.stories.bad_gateway import BadGateway
from tests.stories.hanging_journal import ALL, HangingJournal
from tests.stories.news import number

_ALWAYS = {"balance": "lease_count", "checkpoint_interval_seconds": 2.0}
_UNTIL_SECONDS = 60
_SLOW_READ_SECONDS = 3.0
_SHARD_BYTES_PER_SECOND = 900_000


class Commands:
    """Carries out what a story says.

    Attributes:
        said: what is to be told and stands in no log, and when it happened.
        stall_timeout_seconds: what the workers were told, for the laws.
        has_consent: some worker was told to go on with a restored table.
    """

    def __init__(self, fleet: Simulation) -> None:
        self.said: list[tuple[float, str]] = []
        self.stall_timeout_seconds = 1800.0
        self.has_consent = False
        self._fleet = fleet
        self._processing_seconds = 0.1
        self._hanging: set[tuple[str, str]] = set()
        self._journal: type[Journal] = type("Automatic", (HangingJournal,), {"hanging": self._hanging})
        self._loop = asyncio.get_running_loop()

    async def carry_out(self, command: str) -> None:
        """Do it; most of what follows from it takes time, which only some commands let pass."""
        verb, *arguments = command.split()
        do: Callable[..., Coroutine[object, object, None]] = getattr(self, f"_do_{verb.replace('-', '_')}")
        await do(*arguments)

    # -- records and time ---------------------------------------------------------------------------------------------

    async def _do_put(self, count: str, size: str = "0B", keys: str = "12") -> None:
        """At once; or at a speed that a shard takes, if they have a size."""
        for _ in range(int(count)):
            self._fleet.put(1, int(keys), padding=SIZE.read(size))
            await asyncio.sleep(SIZE.read(size) / _SHARD_BYTES_PER_SECOND)

    async def _do_run(self, duration: str) -> None:
        for _ in range(_seconds(duration)):
            self._fleet.put(2)
            await asyncio.sleep(1)

    async def _do_settle(self, duration: str) -> None:
        """Run, and tell nothing but where it led."""
        await self._do_run(duration)

    async def _do_wait(self, duration: str) -> None:
        """Let time pass without records."""
        await asyncio.sleep(_seconds(duration))

    async def _do_night(self, hours: str) -> None:
        """Let hours pass in which nobody runs, and the stream forgets."""
        await self._fleet.pass_hours(int(hours))

    async def _do_until(self, what: str, shard: str = "") -> None:
        """Run until a hand-off has begun; or wait until every record is done, or every one of a shard."""
        if what == "done":
            is_done = await self._is_done_within(_UNTIL_SECONDS, shard)
            self._say(f"{'every record' if is_done else 'not every record'}{shard and ' of shard ' + shard} is done")
            return
        since = len(self._fleet.log.entries)
        for _ in range(_UNTIL_SECONDS * 10):
            if any(isinstance(entry.what, events.HandOffBegun) for entry in self._fleet.log.entries[since:]):
                return
            self._fleet.put(1)
            await asyncio.sleep(0.1)
        raise AssertionError("no hand-off began")

    async def rest(self) -> None:
        """Let the fleet finish what was put."""
        for _ in range(_UNTIL_SECONDS):
            if await self._fleet.is_all_done():
                return
            await asyncio.sleep(1)

    async def _is_done_within(self, seconds: int, shard: str) -> bool:
        until = self._loop.time() + seconds
        while (left := self._left(shard)) and self._loop.time() < until:
            await asyncio.sleep(0.5)
        return not left

    def _left(self, shard: str) -> bool:
        log = self._fleet.log
        done = {one.position for _, batch in log.of(facts.Done) for one in batch.records}
        return any(put.position not in done for _, put in log.of(facts.Put) if shard in ("", number(put.shard_id)))

    # -- workers ------------------------------------------------------------------------------------------------------

    async def _do_join(self, *words: str) -> None:
        names = tuple(itertools.takewhile(lambda word: not word.startswith("--"), words))
        settings = _settings(words[len(names) :])
        for name in names:
            try:
                worker = self._fleet.join(name, journal=self._journal, **_ALWAYS | settings)
            except ConfigError as error:
                self._say(f"{name} is refused: {error}")
                continue
            worker.processing_seconds = lambda: self._processing_seconds
            self.has_consent |= worker.config.accept_restored_table
            self.stall_timeout_seconds = worker.config.stall_timeout_seconds

    async def _do_manual(self) -> None:
        """The processors of those who join from now on checkpoint by themselves."""
        self._journal = type("Manual", (HangingJournal, ManualJournal), {"hanging": self._hanging})

    async def _do_kill(self, who: str) -> None:
        self._fleet.crash(self._named(who))

    async def _do_pause(self, who: str, duration: str) -> None:
        self._fleet.pause(self._named(who), _seconds(duration))

    async def _do_stop(self, *who: str) -> None:
        await asyncio.wait([self._fleet.leave(worker.name) for one in who for worker in self._those(one)])

    # -- user code ----------------------------------------------------------------------------------------------------

    async def _do_slow(self, duration: str) -> None:
        self._processing_seconds = float(_seconds(duration))

    async def _do_hang(self, who: str, duration: str, *shards: str) -> None:
        """Every call that begins within this time never ends, of all the worker's shards or of some."""
        for worker in self._those(who):
            those = {(worker.name, shard) for shard in shards or (ALL,)}
            self._hanging |= those
            self._trouble("hangs", worker, duration, partial(self._hanging.difference_update, those))

    async def _do_block(self, who: str, duration: str) -> None:
        """A call of user code keeps the worker's loop to itself."""
        for worker in self._those(who):
            worker.block()
            self._trouble("hangs", worker, duration, worker.unblock)

    # -- shards, and what the stream says -----------------------------------------------------------------------------

    async def _do_split(self, which: str) -> None:
        (shard,) = [one for one in await self._fleet.open_shards() if number(one.shard_id) == which]
        assert await self._fleet.split(shard)

    async def _do_merge(self, *numbers: str) -> None:
        wanted = set(numbers)
        lower, upper = (one for one in await self._fleet.open_shards() if number(one.shard_id) in wanted)
        assert await self._fleet.merge(lower, upper)

    async def _do_replace(self, shards: str) -> None:
        """The stream is deleted, and another of its name made."""
        self._fleet.replace_stream(int(shards))

    async def _do_slow_reads(self, who: str, duration: str) -> None:
        """Every read takes seconds."""
        for worker in self._those(who):
            worker.stream.faults.append(faults.Fault(operation="read", effect=faults.Delayed(_SLOW_READ_SECONDS)))
            self._trouble("stream", worker, duration, worker.stream.faults.clear)

    async def _do_misread(self, which: str) -> None:
        """Run until one answer has said that the shard is at its end, though it is open, and named no children."""
        effect = faults.AnswerChanged(lambda page: msgspec.structs.replace(page, next_iterator=None, child_shards=()))
        lies = [faults.Fault(operation="read", shard_id=_shard_id(which), effect=effect, times=1)]
        for worker in self._fleet.workers.values():
            worker.stream.faults += lies
        while not lies[0].happened:
            await asyncio.sleep(0.01)

    async def _do_refuse(self, who: str, duration: str) -> None:
        """What a worker is subscribed to breaks off, and no subscription is accepted."""
        down = ServiceUnavailable("503")
        refused = faults.Fault(operation="subscribe", effect=faults.Refused(down))
        broken = faults.Fault(operation="receive", effect=faults.Broken(down))
        for worker in self._those(who):
            assert worker.fan_out is not None
            worker.fan_out.faults += [refused, broken]
            self._trouble("fan-out", worker, duration, worker.fan_out.faults.clear)

    async def _do_deregister(self) -> None:
        """Somebody deletes the consumer of enhanced fan-out."""
        await LocalFanOut(self._fleet.world.model, self._fleet.world.stream_name).deregister("app")

    # -- the lease table ----------------------------------------------------------------------------------------------

    async def _do_throttle(self, who: str, duration: str, *operations: Operation) -> None:
        """All calls, or those of some operations of the door."""
        for worker in self._those(who):
            worker.table.faults += [Fault(kind="throttle", operation=one) for one in operations or (None,)]
            self._trouble("throttle all", worker, duration, worker.table.faults.clear)

    async def _do_bad_gateway(self, who: str, duration: str) -> None:
        """A proxy answers with its own page, whatever is asked of DynamoDB."""
        for worker in self._those(who):
            gateway = BadGateway(worker.table)
            self._trouble("bad gateway", worker, duration, gateway.mend)

    async def _do_erase(self, which: str) -> None:
        self._fleet.erase_row(_shard_id(which))

    async def _do_spoil_lock(self, duration: str) -> None:
        """Somebody writes over the leader's lock what nobody can read; and deletes it after a while."""
        odd_rows = self._fleet.world.table.odd_rows
        odd_rows[LOCK_KEY] = "it was written by hand"
        self._fleet.trouble("odd lock", _seconds(duration))
        self._loop.call_later(_seconds(duration), odd_rows.clear)

    async def _do_drop(self) -> None:
        self._fleet.drop_table()

    async def _do_backup(self) -> None:
        await self._fleet.back_up_table()

    async def _do_restore(self) -> None:
        await self._fleet.restore_table()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _those(self, who: str) -> Iterable[FleetWorker]:
        workers = self._fleet.workers
        return list(workers.values()) if who == "all" else [workers[self._named(who)]]

    def _named(self, who: str) -> str:
        lock = History(self._fleet.log).sessions.leader_at(math.inf)
        parts = {"leader": lock.owner, "standby": lock.standby} if lock is not None else {}
        return worker_of(parts[who] or "") if who in parts else who

    def _trouble(self, what: str, worker: FleetWorker, duration: str, mend: Callable[[], object]) -> None:
        self._fleet.trouble(what, _seconds(duration), worker.name)
        self._loop.call_later(_seconds(duration), mend)

    def _say(self, text: str) -> None:
        self.said.append((self._loop.time(), text))


def _settings(options: Iterable[str]) -> dict[str, object]:
    """Settings as the command line has them; `None` is what only a program can say."""
    by_option = {setting.option: (name, setting) for name, setting in SETTINGS.items()}
    settings: dict[str, object] = {}
    words = deque(options)
    while words:
        option = words.popleft()
        name, setting = by_option[option]
        raw = words.popleft() if setting.form.metavar else "true"
        settings[name] = None if raw == "None" else setting.read(raw, option)
    return settings


def _shard_id(which: str) -> str:
    return f"shardId-{int(which):012d}"


def _seconds(duration: str) -> int:
    return int(duration.removesuffix("s"))
