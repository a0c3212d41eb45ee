"""The leader lock, as this worker takes, renews and loses it (fleet.md, section 4).

The lock is polled about once a second by everybody, so the version's silence is known without asking twice. A standby
takes a silent lock as soon as its own duration is over; the others leave it a third of the failover time, or five
seconds, unless the standby is known to be dead too. Whoever of them takes it has yet to watch all workers, for a
failover time.
"""

import asyncio
import random
import uuid
from collections.abc import Callable

from kcl_py.core.leadership import LOCK_KEY, LeaderLock, LockWatch
from kcl_py.core.liveness import LOOK_GAP, OWN_WRITE_GAP
from kcl_py.errors import ConditionFailed, RowUnreadable, Throttled
from kcl_py.events import LeadershipLost, LeadershipTaken, OddRowFound
from kcl_py.interfaces import LeaseTable
from kcl_py.retrying import Sleep, jittered, retrying
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.heartbeat import CLOCK_DRIFT

RENEWALS_PER_FAILOVER = 3
_UNSETTLED_MAX = 16  # renewals whose answer was lost, and that may land late
QUICK_ATTEMPTS = 4  # at a lock that is throttled, as a beat has them: what leads comes before what is planned
_STANDBY_SECONDS = 0.5  # in which most standbys have taken a lock that became free
_PATIENCE_SECONDS_MIN = 5.0  # for a standby whose call takes as long as one may, or has to be made again


class Leadership:
    """This worker's part in the leader election."""

    def __init__(
        self,
        table: LeaseTable,
        *,
        failover_seconds: float,
        clock: Callable[[], float],
        emit: Emitter,
        rng: random.Random,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._table = table
        self._failover_seconds = failover_seconds
        self._clock = clock
        self._emit = emit
        self._rng = rng
        self._watch = LockWatch()
        self._polled_at: float | None = None
        self._landed_at: float | None = None  # our last beat
        self._sent: dict[str, float] = {}  # versions of ours that may stand in the table, and when they were first sent
        self._mine: LeaderLock | None = None  # our lock, as it is known to stand
        self._deadline = 0.0
        self._standby: str | None = None  # whom we name
        self._is_closed = False
        self._abstains_until = float("-inf")
        self._is_odd_told = False
        self._quickly = retrying(Throttled, pause=jittered(0.1, 0.4), attempts_max=QUICK_ATTEMPTS, sleep=sleep)
        self._term = 0  # counts the sessions under which we may have led
        patience = max(min(_PATIENCE_SECONDS_MIN, failover_seconds), failover_seconds / 3)
        self._patience_seconds = patience * rng.uniform(0.9, 1.0)

    @property
    def is_leader(self) -> bool:
        """True while nobody else can have taken the lock."""
        return self._mine is not None and not self._is_closed and self._clock() < self._deadline

    def is_standby(self, session: str) -> bool:
        """True if the leader has named this session."""
        return self._watch.lock is not None and self._watch.lock.standby == session

    @property
    def is_led(self) -> bool:
        """True if a leader was seen to live: nobody but it and its standby needs to watch."""
        return self._watch.is_led

    @property
    def is_overdue(self) -> bool:
        """True if the lock is free for a while, and not even the standby has taken it."""
        return self._watch.lock is not None and self._watch.is_free(self._clock(), _STANDBY_SECONDS)

    @property
    def leader(self) -> str | None:
        """The session that holds the lock, alive or not."""
        return None if self._watch.lock is None else self._watch.lock.owner

    @property
    def standby(self) -> str | None:
        """The session that the lock names as standby."""
        return None if self._watch.lock is None else self._watch.lock.standby

    def name_standby(self, session: str | None) -> None:
        """Choose who takes over from us; written when the lock is taken, and at the next poll if it changes."""
        self._standby = session

    def own_beat_landed(self) -> None:
        """The table takes writes. If it took none of ours for a while, it took none of the leader's either."""
        self._note_own_gap(self._clock())
        self._landed_at = self._clock()

    async def poll(self, me: str, is_dead: Callable[[str], bool]) -> None:
        """Look at the lock; renew it if it is ours, take it if it is free.

        Args:
            me: our session's key.
            is_dead: whether a session is revoked, gone, or proven to be dead.

        Raises:
            KclError: the table does not answer; what was sent may have landed.
        """
        if self._is_closed:
            return
        asked_at = self._clock()
        if self._polled_at is not None and asked_at - self._polled_at > self._failover_seconds * LOOK_GAP:
            self._watch.restart(asked_at)
        self._polled_at = asked_at
        term = self._term
        try:
            lock: LeaderLock | None = await self._quickly(self._table.leader_lock)
        except RowUnreadable as odd:
            self._note_odd(odd)
            return
        if term != self._term:
            return  # the session that asked has ended
        self._watch.saw(lock, self._clock())
        if lock is not None and lock.owner == me and lock.version in self._sent:
            self._stands(lock)
            if self._is_renewal_due(lock):
                await self._write(lock, me)
            return
        self._lose("another worker has the lock" if lock is not None else "the lock is gone")
        if self._may_take(lock, me, is_dead, asked_at):
            await self._write(lock, me)

    def abdicate(self, reason: str) -> None:
        """Lead no more: the session is over, and the lock with it."""
        self._lose(reason)
        self._sent.clear()
        self._term += 1

    async def step_down(self, me: str) -> None:
        """Let others lead: we hold the lock, and get nothing done. For a failover time we do not take it again."""
        self._abstains_until = self._clock() + self._failover_seconds
        await self.release(me, "it got no plan done")

    def close(self) -> None:
        """Never lead again."""
        self._is_closed = True

    async def release(self, me: str, reason: str = "this worker leaves") -> None:
        """Take our lock away, so that the next worker that looks leads; no `poll` may be under way."""
        try:
            lock = await self._table.leader_lock()
        except RowUnreadable:
            lock = None
        self.abdicate(reason)
        if lock is not None and lock.owner == me:
            try:
                await self._table.write_leader_lock(lock, None)
            except ConditionFailed:
                return  # somebody else has it already

    def _note_own_gap(self, now: float) -> None:
        if self._landed_at is not None and now - self._landed_at > self._failover_seconds * OWN_WRITE_GAP:
            self._watch.restart(now)

    def _note_odd(self, odd: RowUnreadable) -> None:
        """What stands in the lock's place is left alone; until somebody deletes it nobody leads."""
        self._lose("the lock does not parse")
        if not self._is_odd_told:
            self._is_odd_told = True
            self._emit(OddRowFound(key=LOCK_KEY, reason=f"{odd}; nobody can lead until it is deleted"))

    def _is_renewal_due(self, lock: LeaderLock) -> bool:
        age_seconds = self._clock() - self._sent[lock.version]
        return age_seconds >= self._failover_seconds / RENEWALS_PER_FAILOVER or lock.standby != self._standby

    def _may_take(self, lock: LeaderLock | None, me: str, is_dead: Callable[[str], bool], now: float) -> bool:
        """Judge by the instant at which the question was asked: what came between is no silence of others."""
        if now < self._abstains_until:
            return False
        self._note_own_gap(now)
        if lock is None or is_dead(lock.owner):
            return True
        if self._watch.is_free(now) and (lock.standby in (None, me) or is_dead(lock.standby)):
            return True
        return self._watch.is_free(now, self._patience_seconds)

    async def _write(self, before: LeaderLock | None, me: str) -> None:
        after = LeaderLock(
            owner=me,
            version=str(uuid.UUID(int=self._rng.getrandbits(128))),
            duration_ms=int(self._failover_seconds * 1000),
            standby=self._standby,
        )
        term = self._term
        self._sent[after.version] = self._clock()  # before it is sent: the deadline may only err on the safe side
        try:
            await self._quickly(self._table.write_leader_lock, before, after)
        except ConditionFailed:
            self._sent.pop(after.version, None)  # it stands nowhere
            self._lose("another worker has the lock")
            return
        except Throttled:
            self._sent.pop(after.version, None)
            raise
        if term != self._term:
            return  # the session ended meanwhile: its lock is nobody's, and free in time
        self._watch.saw(after, self._clock())
        self._stands(after)

    def _stands(self, lock: LeaderLock) -> None:
        is_new = self._mine is None
        self._mine = lock
        self._deadline = self._sent[lock.version] + self._failover_seconds * (1 - CLOCK_DRIFT)
        later = list(self._sent)[list(self._sent).index(lock.version) :][-_UNSETTLED_MAX:]
        self._sent = {version: self._sent[version] for version in (lock.version, *later)}
        if is_new:
            self._emit(LeadershipTaken(session=lock.owner))

    def _lose(self, reason: str) -> None:
        if self._mine is not None:
            self._emit(LeadershipLost(session=self._mine.owner, reason=reason))
        self._mine = None
