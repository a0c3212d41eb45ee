"""This worker's part in the fleet, a turn a second: watch if it is our turn to watch, lead if we hold the lock.

Leader and standby observe, and so does a worker that has not seen a leader live yet: the last one left, restarted
alone, must not begin to watch only after the lock has become free (fleet.md, section 4).
"""

import asyncio
import random
import zlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from kcl_py.config import Config
from kcl_py.core.balance import by_lease_count, by_weight
from kcl_py.core.lease import Lease
from kcl_py.core.lineage import Lineage
from kcl_py.core.session import Process, Session
from kcl_py.core.table import TableSnapshot
from kcl_py.errors import TROUBLE
from kcl_py.interfaces import LeaseTable
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.fleet.leadership import Leadership
from kcl_py.runtime.fleet.observer import Observer
from kcl_py.runtime.fleet.planner import IDLE_SECONDS, Planner
from kcl_py.runtime.trouble import through_trouble

OBSERVE_SECONDS = 1.0  # between two looks at the entries; in large fleets a hundredth of it for every worker
PLAN_SECONDS = 5.0  # between two looks at the whole table
TURNS_PER_FAILOVER = 4  # a gap of half a failover time between two looks would restart every observation
STRATEGIES = {"weight": by_weight, "lease_count": by_lease_count}
STUCK_SECONDS_MIN, STUCK_FAILOVERS = 60.0, 3  # a leader that makes no round for so long lets others try
BLIND_TURNS_MAX = 2
_CHECKPOINTS_TO_IDLE = 3


class Coordinator:
    """Leadership, observation and planning of one worker."""

    def __init__(
        self,
        table: LeaseTable,
        config: Config,
        *,
        lineage: Callable[[TableSnapshot], Lineage],
        pick_up: Callable[[Lease, str], Awaitable[bool]],
        is_gone: Callable[[Process | None], bool],
        begin: Callable[[Coroutine[Any, Any, object]], asyncio.Task[object] | None],
        clock: Callable[[], float],
        emit: Emitter,
        rng: random.Random,
    ) -> None:
        """Take what is needed.

        Args:
            table: the lease table.
            config: the worker's.
            lineage: joins the table's rows with the stream's listings.
            pick_up: takes a lease for this worker itself.
            is_gone: whether a process is certainly gone.
            begin: begins something beside, until it ends or the worker quits.
            clock: shared with the data plane, seconds.
            emit: where events go.
            rng: jitter, and the lock's versions.
        """
        self._config = config
        self._begin = begin
        self._clock = clock
        self._emit = emit
        self._rng = rng
        self.strategy = STRATEGIES[config.balance]
        self.observer = Observer(
            table, failover_seconds=config.failover_seconds, is_gone=is_gone, clock=clock, emit=emit
        )
        self.leadership = Leadership(table, failover_seconds=config.failover_seconds, clock=clock, emit=emit, rng=rng)
        self._planner = Planner(
            table,
            self.observer,
            self.strategy,
            lineage=lineage,
            pick_up=pick_up,
            may_write=self._may_write,
            idle_seconds=max(IDLE_SECONDS, _CHECKPOINTS_TO_IDLE * config.checkpoint_interval_seconds),
            clock=clock,
            emit=emit,
        )
        self.is_observing = False  # in this turn
        self._has_led = False  # in the turn before
        self._planned_at = float("-inf")  # when a round was last made, or leadership began
        self._plan_began_at = float("-inf")
        self._read_at = float("-inf")  # when the table was read for it last, with or without an answer
        self._is_plan_due = True
        self._planning: asyncio.Task[object] | None = None
        self._blind_turns = 0  # since the entries could be read last
        self._turn = asyncio.Lock()

    @property
    def turn_seconds(self) -> float:
        """From one turn to the next."""
        workers = len(self.observer.living) if self.is_observing else 0
        observe_seconds = max(OBSERVE_SECONDS, OBSERVE_SECONDS * workers / 100)
        return min(observe_seconds, self._config.failover_seconds / TURNS_PER_FAILOVER) * self._rng.uniform(0.9, 1.0)

    @property
    def led_snapshot(self) -> TableSnapshot | None:
        """The table as the leader last saw it; None if this worker does not lead."""
        return self.observer.snapshot if self.leadership.is_leader else None

    def seems_dead(self, session: str) -> bool:
        """True if this worker watches, and has not seen a session beat for two thirds of the failover time."""
        return self.is_observing and self.observer.seems_quiet(session, self._config.failover_seconds * 2 / 3)

    def own_beat_landed(self) -> None:
        """The table takes writes, ours at least: only while it does, the silence of others says something."""
        self.observer.own_beat_landed()
        self.leadership.own_beat_landed()

    def hasten(self) -> None:
        """Something happened that a plan may follow from."""
        self._is_plan_due = True

    async def turn(self, me: Session) -> None:
        """Take one turn.

        Raises:
            KclError: the table does not answer.
        """
        async with self._turn:
            lead = self.leadership
            self.is_observing = lead.is_leader or lead.is_standby(me.key) or not lead.is_led
            if self.is_observing:
                # the lock is looked at whatever becomes of this
                await through_trouble("look at the fleet", self._observe(me), self._emit)
            if not self.is_observing and lead.is_overdue:
                # leader and standby died together: when the lock is ours at last, their silence shall be known
                await self.observer.look_at_few((lead.leader, lead.standby))
                self.is_observing = True
            lead.name_standby(self._standby(me) if self.is_observing else None)
            await lead.poll(me.key, self.observer.is_dead if self.is_observing else lambda _session: False)
            if lead.is_leader:
                await self._lead(me)
            else:
                self._has_led = False
            if self.is_observing:
                self._plan_if_due(me)

    async def leave(self, me: str) -> None:
        """Lead no more, for good; when this returns, no write of a plan is under way any more."""
        self.leadership.close()
        async with self._turn:
            if self._planning is not None:
                await asyncio.wait([self._planning])
            await self.leadership.release(me)

    async def _observe(self, me: Session) -> None:
        """Look; if somebody left, is leaving, or was revoked, there is something to plan."""
        observer = self.observer
        if observer.snapshot is None:
            await observer.look_at_table()
        else:
            try:
                self._is_plan_due |= await observer.look_at_entries()
                self._blind_turns = 0
            except TROUBLE:
                self._blind_turns += 1
                if self._blind_turns < BLIND_TURNS_MAX:
                    raise  # more reading would not help a table that is throttled for a moment
                await observer.look_at_table()  # an observer that cannot read the entries sees them all the same
        observer.note_namesakes(me)
        self._is_plan_due |= await observer.revoke_gone(me.key)

    async def _lead(self, me: Session) -> None:
        """Judge the others."""
        if not self._has_led:
            self._has_led = True
            self._planner.forget()
            self._planned_at = self._clock()
            self._is_plan_due = True
        if self._clock() - self._planned_at > max(STUCK_SECONDS_MIN, STUCK_FAILOVERS * self._config.failover_seconds):
            await self.leadership.step_down(me.key)
            return
        await self.observer.forget_revoked()
        if self.is_observing:  # a new leader that has not watched knows of no silence
            self._is_plan_due |= await self.observer.revoke_silent(me.key)

    def _plan_if_due(self, me: Session) -> None:
        """Read the table and plan, beside the turns: beats are watched without a gap, however long that takes."""
        if self._planning is not None and not self._planning.done():
            return
        now, settles_at = self._clock(), self._planner.settles_at
        is_settled = self._plan_began_at < settles_at <= now
        if self._is_plan_due or is_settled or now - self._read_at >= PLAN_SECONDS:
            self._is_plan_due, self._plan_began_at = False, now
            self._planning = self._begin(self._plan_through_trouble(me))

    async def _plan_through_trouble(self, me: Session) -> None:
        await through_trouble("plan", self._plan(me), self._emit)

    async def _plan(self, me: Session) -> None:
        try:
            snapshot = await self.observer.look_at_table()
        finally:
            self._read_at = self._clock()
        if self.leadership.is_leader:
            try:
                await self._planner.round(snapshot, me.key)
            finally:
                self._planned_at = self._clock()  # one move that fails is planned again; the round was made

    def _may_write(self) -> bool:
        """A plan is acted on while it is fresh, and while nobody else can lead."""
        return self.leadership.is_leader and self._clock() - self.observer.snapshot_at < PLAN_SECONDS

    def _standby(self, me: Session) -> str | None:
        """Who takes over: whoever does already, else somebody on another host, by a stable hash."""
        able = {
            key: session
            for key, session in self.observer.living.items()
            if key != me.key and not session.is_leaving and not self.seems_dead(key)
        }
        if self.leadership.standby in able:
            return self.leadership.standby

        def is_worse(key: str) -> tuple[bool, int, str]:
            return _host_of(able[key]) == _host_of(me), zlib.crc32(key.encode()), key

        return min(able, key=is_worse, default=None)


def _host_of(session: Session) -> str | None:
    return None if session.process is None else session.process.boot_id
