"""Tells a fleet's story: commands in, what happened out, as coarsely as what is promised.

A story is a text file: a paragraph that says what is shown, then commands, each on a line that begins with `> `, each
followed by what came of it. Sessions are called a1, a2 and so on; shards are counted, since who gets which is chance.
"""

import asyncio
import math
import textwrap
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from kcl_py import events
from tests.simulation import facts
from tests.simulation.facts import Delivered, Done, Entry, Put
from tests.simulation.laws.binding import binding
from tests.simulation.laws.history import History, worker_of
from tests.simulation.simulation import Simulation, simulated
from tests.simulation.verdict import LAWS, judged
from tests.stories.commands import Commands
from tests.stories.news import LAST, counted, news_of, rank

PROMPT = "> "
AGES = {"at once": 1.5, "in 5 s": 5.0, "in 13 s": 13.0, "in 23 s": 23.0, "later": math.inf}
"""How long after the command something happened: the failover time is 10 s, and 3 s are granted on top."""
WIDTH = 120


class Line(NamedTuple):
    """Something that is worth telling."""

    age: int  # in which of the ages after the command
    rank: int  # among news of the same age
    text: str  # with {} where the shards are counted
    shards: int


class Teller:
    """Has commands carried out in a fleet, and says what happened."""

    def __init__(self, fleet: Simulation) -> None:
        self._fleet = fleet
        self._commands = Commands(fleet)
        self._names: dict[str, str] = {}  # of sessions
        self._told = 0  # so many entries of the log
        self._began_at = asyncio.get_running_loop().time()

    async def carry_out(self, command: str) -> list[str]:
        """Do what a command says, and tell what came of it."""
        self._began_at = asyncio.get_running_loop().time()
        await self._commands.carry_out(command)
        news = list(self._news())
        verb = command.split(maxsplit=1)[0]
        told = [] if verb == "settle" else news
        return [*told, *([await self._state()] if verb in ("run", "settle", "wait") else [])]

    async def end(self) -> list[str]:
        """Let the fleet finish; how the story ends, and whether a law was broken."""
        await self._commands.rest()
        self._fleet.log.note("", facts.Healed())
        return [self._summary()]

    # -- telling ------------------------------------------------------------------------------------------------------

    def _news(self) -> Iterator[str]:
        entries = self._fleet.log.entries[self._told :]
        self._told = len(self._fleet.log.entries)
        lines = [line for entry in entries if (line := self._line(entry)) is not None]
        lines += [Line(self._age(at), LAST, text, 0) for at, text in self._commands.said]
        self._commands.said.clear()
        for (age, _, text), same in groupby(sorted(lines), key=lambda line: line[:3]):
            told = f"  {list(AGES)[age]:9s} {text.format(counted(sum(line.shards for line in same)))}"
            yield from textwrap.wrap(told, WIDTH, subsequent_indent=" " * 14, break_long_words=False)

    def _line(self, entry: Entry) -> Line | None:
        told = news_of(entry.what, self._session_of(entry.worker), self._name)
        if told is None:
            return None
        text, shard_ids = told
        return Line(self._age(entry.at), rank(entry.what), text, len(shard_ids))

    def _age(self, at: float) -> int:
        return next(index for index, limit in enumerate(AGES.values()) if at - self._began_at <= limit)

    async def _state(self) -> str:
        """How many shards each holds, and whether anything was repeated."""
        held = Counter(
            self._name(row.held_by) if row.held_by else "nobody"
            for row in (await self._fleet.rows()).values()
            if not row.is_finished
        )
        shares = ", ".join(f"{who} has {count}" for who, count in sorted(held.items())) or "no row stands"
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

    def _summary(self) -> str:
        put = {one.position for _, one in self._fleet.log.of(Put)}
        done = {one.position for _, batch in self._fleet.log.of(Done) for one in batch.records}
        what = f"{len(put - done)} records not done" if put - done else "every record done"
        # who says so goes on with a restored table: the law is about those who do not
        laws = tuple(law for law in LAWS if not (law is binding and self._commands.has_consent))
        history = History(self._fleet.log, stall_timeout_seconds=self._commands.stall_timeout_seconds)
        broken = judged(history, laws)
        verdict = f"broken: {', '.join(broken)}" if broken else "every law holds"
        return f"{what}, {self._repeats()}{self._tokens()}; {verdict}"

    def _tokens(self) -> str:
        """Nothing, if each epoch of a shard had a higher fencing token than those before, whatever became of tables."""
        highest: dict[str, int] = {}
        for _, picked_up in self._fleet.log.of(events.LeasePickedUp):
            if picked_up.fencing_token <= highest.get(picked_up.shard_id, -1):
                return ", some fencing token given again"
            highest[picked_up.shard_id] = picked_up.fencing_token
        return ""


def told(script: list[str], seed: int = 1) -> dict[int, list[str]]:
    """Carry a story's commands out; what came of each, by its place in the script."""
    shards = int(next(line.split()[1] for line in script if line.startswith("stream ")))
    output: dict[int, list[str]] = {}

    async def scenario(fleet: Simulation) -> None:
        teller = Teller(fleet)
        for place, command in enumerate(script):
            if command == "end":
                output[place] = await teller.end()
            elif not command.startswith("stream "):
                output[place] = await teller.carry_out(command)

    simulated(seed, scenario, shards=shards)
    return output
