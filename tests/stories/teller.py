"""Tells a fleet's story: commands in, what happened out, as coarsely as what is promised.

A story is a text file: a paragraph that says what is shown, then commands, each on a line that begins with `> `, each
followed by what came of it. Sessions are called a1, a2 and so on; shards are counted, since who gets which is chance.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from itertools import groupby
from typing import NamedTuple

from kcl_py import events
from kcl_py.local.faulty_lease_table import Fault
from tests.simulation import facts
from tests.simulation.facts import Delivered, Done, Entry, Put
from tests.simulation.laws.history import History, worker_of
from tests.simulation.simulation import Simulation, simulated
from tests.simulation.verdict import LAWS, judged
from tests.stories.news import counted, news_of, number, rank

SETTINGS = {"balance": "lease_count", "checkpoint_interval_seconds": 2.0}
PROMPT = "> "
AGES = {"at once": 1.5, "in 5 s": 5.0, "in 13 s": 13.0, "in 23 s": 23.0, "later": math.inf}
"""How long after the command something happened: the failover time is 10 s, and 3 s are granted on top."""
_UNTIL_SECONDS = 60


class Line(NamedTuple):
    """Something that is worth telling."""

    age: int  # in which of the ages after the command
    rank: int  # among news of the same age
    text: str  # with {} where the shards are counted
    shards: int


class Teller:
    """Carries commands out in a fleet, and says what happened."""

    def __init__(self, fleet: Simulation) -> None:
        self._fleet = fleet
        self._names: dict[str, str] = {}  # of sessions
        self._told = 0  # so many entries of the log
        self._began_at = asyncio.get_running_loop().time()
        self._processing_seconds = 0.1

    async def carry_out(self, command: str) -> list[str]:
        """Do what a command says, and tell what came of it."""
        self._began_at = asyncio.get_running_loop().time()
        verb, *arguments = command.split()
        do: Callable[..., Coroutine[object, object, None]] = getattr(self, f"_do_{verb}")
        await do(*arguments)
        news = list(self._news())
        told = [] if verb == "settle" else news
        return [*told, *([await self._state()] if verb in ("run", "settle") else [])]

    # -- commands -----------------------------------------------------------------------------------------------------

    async def _do_join(self, *names: str) -> None:
        for name in names:
            worker = self._fleet.join(name, **SETTINGS)
            worker.processing_seconds = lambda: self._processing_seconds

    async def _do_put(self, count: str) -> None:
        self._fleet.put(int(count))

    async def _do_run(self, duration: str) -> None:
        for _ in range(_seconds(duration)):
            self._fleet.put(2)
            await asyncio.sleep(1)

    async def _do_settle(self, duration: str) -> None:
        """Run, and tell nothing but where it led."""
        await self._do_run(duration)

    async def _do_slow(self, duration: str) -> None:
        self._processing_seconds = float(_seconds(duration))

    async def _do_until(self, what: str) -> None:
        """Run until a hand-off has begun."""
        assert what == "hand-off"
        since = len(self._fleet.log.entries)
        for _ in range(_UNTIL_SECONDS * 10):
            if any(isinstance(entry.what, events.HandOffBegun) for entry in self._fleet.log.entries[since:]):
                return
            self._fleet.put(1)
            await asyncio.sleep(0.1)
        raise AssertionError("no hand-off began")

    async def _do_kill(self, who: str) -> None:
        self._fleet.crash(self._named(who))

    async def _do_pause(self, who: str, duration: str) -> None:
        self._fleet.pause(self._named(who), _seconds(duration))

    async def _do_stop(self, *who: str) -> None:
        names = tuple(self._fleet.workers) if who == ("all",) else [self._named(one) for one in who]
        await asyncio.wait([self._fleet.leave(name) for name in names])

    async def _do_split(self, which: str) -> None:
        (shard,) = [one for one in await self._fleet.open_shards() if number(one.shard_id) == which]
        assert await self._fleet.split(shard)

    async def _do_merge(self, *numbers: str) -> None:
        wanted = set(numbers)
        lower, upper = (one for one in await self._fleet.open_shards() if number(one.shard_id) in wanted)
        assert await self._fleet.merge(lower, upper)

    async def _do_throttle(self, who: str, duration: str) -> None:
        workers = self._fleet.workers
        for worker in workers.values() if who == "all" else [workers[self._named(who)]]:
            worker.table.faults.append(Fault(kind="throttle"))
            self._fleet.trouble("throttle all", _seconds(duration), worker.name)
            asyncio.get_running_loop().call_later(_seconds(duration), worker.table.faults.clear)

    def _named(self, who: str) -> str:
        lock = History(self._fleet.log).leader_at(math.inf)
        parts = {"leader": lock.owner, "standby": lock.standby} if lock is not None else {}
        return worker_of(parts[who] or "") if who in parts else who

    # -- telling ------------------------------------------------------------------------------------------------------

    def _news(self) -> Iterator[str]:
        entries = self._fleet.log.entries[self._told :]
        self._told = len(self._fleet.log.entries)
        lines = sorted(line for entry in entries if (line := self._line(entry)) is not None)
        for (age, _, text), same in groupby(lines, key=lambda line: line[:3]):
            yield f"  {list(AGES)[age]:9s} {text.format(counted(sum(line.shards for line in same)))}"

    def _line(self, entry: Entry) -> Line | None:
        told = news_of(entry.what, self._session_of(entry.worker), self._name)
        if told is None:
            return None
        text, shard_ids = told
        seconds = entry.at - self._began_at
        age = next(index for index, limit in enumerate(AGES.values()) if seconds <= limit)
        return Line(age, rank(entry.what), text, len(shard_ids))

    async def _state(self) -> str:
        """How many shards each holds, and whether anything was repeated."""
        held = Counter(
            self._name(row.held_by) if row.held_by else "nobody"
            for row in (await self._fleet.rows()).values()
            if not row.is_finished
        )
        shares = ", ".join(f"{who} has {count}" for who, count in sorted(held.items()))
        return f"  = {shares}; {self._repeats()}"

    def _repeats(self) -> str:
        return "some records repeated" if self._repeated() else "nothing repeated"

    def _repeated(self) -> int:
        places = [put.position for _, batch in self._fleet.log.of(Delivered) for put in batch.records]
        return len(places) - len(set(places))

    def _name(self, session: str) -> str:
        if session not in self._names:
            worker = worker_of(session)
            count = sum(worker_of(other) == worker for other in self._names)
            self._names[session] = f"{worker}{count + 1}"
        return self._names[session]

    def _session_of(self, worker: str) -> str:
        sessions = [name for session, name in self._names.items() if worker_of(session) == worker]
        return sessions[-1] if sessions else worker

    # -- the end ------------------------------------------------------------------------------------------------------

    async def rest(self) -> None:
        """Let the fleet finish what was put."""
        for _ in range(_UNTIL_SECONDS):
            if await self._fleet.is_all_done():
                return
            await asyncio.sleep(1)

    def summary(self) -> list[str]:
        """How the story ends, and whether a law was broken."""
        put = {one.position for _, one in self._fleet.log.of(Put)}
        done = {one.position for _, batch in self._fleet.log.of(Done) for one in batch.records}
        lost = f"{len(put - done)} records lost" if put - done else "every record done"
        broken = judged(History(self._fleet.log), LAWS)
        laws = f"broken: {', '.join(broken)}" if broken else "every law holds"
        return [f"{lost}, {self._repeats()}; {laws}"]


def told(script: list[str], seed: int = 1) -> dict[int, list[str]]:
    """Carry a story's commands out; what came of each, by its place in the script."""
    shards = int(next(line.split()[1] for line in script if line.startswith("stream ")))
    output: dict[int, list[str]] = {}

    async def scenario(fleet: Simulation) -> None:
        teller = Teller(fleet)
        for place, command in enumerate(script):
            if command == "end":
                await teller.rest()
                fleet.log.note("", facts.Healed())
                output[place] = teller.summary()
            elif not command.startswith("stream "):
                output[place] = await teller.carry_out(command)

    simulated(seed, scenario, shards=shards)
    return output


def _seconds(duration: str) -> int:
    return int(duration.removesuffix("s"))
