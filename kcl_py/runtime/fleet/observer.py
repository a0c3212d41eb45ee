"""The other workers as this one sees them: who beats, who is silent, who is proven to be dead (fleet.md, section 2).

Only the leader, its standby, and a worker that has not seen a leader live yet observe. Entries are read all at once,
the whole table now and then; a verdict needs a consistent read of the entry and a conditional write.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from kcl_py.core.liveness import Liveness
from kcl_py.core.session import Process, Session
from kcl_py.core.table import TableSnapshot
from kcl_py.errors import TROUBLE, ConditionFailed, RowUnreadable, Throttled
from kcl_py.events import SameWorkerId, ServiceTrouble, SessionRevoked
from kcl_py.interfaces import LeaseTable
from kcl_py.retrying import Sleep, jittered, retrying
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.in_parallel import in_parallel

QUICK_ATTEMPTS = 4  # at entries that are throttled
READS_AT_ONCE = 8
DELETIONS_MAX = 4  # in one turn: whatever it brings, the next look must not be late
FORGET_REVOKED_SECONDS = 600.0  # an entry stays this long after its revocation, so that its owner can find it


class Observer:
    """What this worker knows of the other sessions."""

    def __init__(
        self,
        table: LeaseTable,
        *,
        failover_seconds: float,
        is_gone: Callable[[Process | None], bool],
        clock: Callable[[], float],
        emit: Emitter,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._table = table
        self._liveness = Liveness(failover_seconds)
        self._is_gone = is_gone
        self._clock = clock
        self._emit = emit
        self._revoked_since: dict[str, float] = {}
        self._quickly = retrying(Throttled, pause=jittered(0.1, 0.4), attempts_max=QUICK_ATTEMPTS, sleep=sleep)
        self._forget_again_at = float("-inf")
        self._namesakes: set[str] = set()
        self._absent: set[str] = set()  # owners that certainly have no entry: a key is never drawn twice
        self.sessions: dict[str, Session] = {}  # as last read, the revoked ones too
        self.snapshot: TableSnapshot | None = None
        self.snapshot_at = float("-inf")  # when it was read, on our clock

    def own_beat_landed(self) -> None:
        """The table takes writes, ours at least."""
        self._liveness.wrote(self._clock())

    @property
    def living(self) -> dict[str, Session]:
        """The sessions that are not revoked; a silent one lives until it is."""
        return {key: session for key, session in self.sessions.items() if not session.is_revoked}

    def is_dead(self, key: str) -> bool:
        """True if a session is revoked, or its process is proven to be gone, or it has been silent for too long."""
        session = self.sessions.get(key)
        if session is None:
            return key in self._absent
        return session.is_revoked or self._is_gone(session.process) or self._liveness.is_silent(key, self._clock())

    def seems_quiet(self, key: str, seconds: float) -> bool:
        """True if we watched a session for so long without seeing it beat: nobody to hand a lease to."""
        return self._liveness.quiet_seconds(key, self._clock()) > seconds

    async def look_at_few(self, keys: Iterable[str | None]) -> None:
        """Read these entries alone; every other session is forgotten."""
        self._saw(await self._table.sessions(key for key in keys if key is not None))

    async def look_at_entries(self) -> bool:
        """Read the entries that the last look at the table found; True if anybody left, is leaving, or was revoked.

        The reading is eventually consistent: what it shows may be old, and never older than what is known. An entry
        that it lacks is read consistently.
        """
        before = self._membership
        asked = self.living  # nothing changes any more about those that are revoked
        read: tuple[Session, ...] = await self._quickly(self._table.sessions, asked)
        found = {session.key: session for session in read}
        missing = [key for key in asked if key not in found]
        for session in await asyncio.gather(*(self._entry(key) for key in missing[:READS_AT_ONCE])):
            if session is not None:
                found[session.key] = session
        later = {key: known for key, known in self.sessions.items() if key in found and known.beat > found[key].beat}
        others = {
            key: known for key, known in self.sessions.items() if key not in asked or key in missing[READS_AT_ONCE:]
        }
        self._saw((others | found | later).values())
        return self._membership != before

    async def look_at_table(self) -> TableSnapshot:
        """Read everything."""
        snapshot = await self._table.snapshot()
        # reading takes its time, and entries are looked at meanwhile: of two states of a session the later one counts
        scanned = {session.key: session for session in snapshot.sessions}
        self._saw((scanned | self._later(scanned)).values())
        owners = {owner for lease in snapshot.leases for owner in (lease.owner, lease.checkpoint_owner) if owner}
        owners |= {snapshot.lock.owner} if snapshot.lock is not None else set()
        odd = {row.key for row in snapshot.odd_rows}
        await self._look_for_absent(owners - self.sessions.keys() - odd)
        self.snapshot, self.snapshot_at = snapshot, self._clock()
        return snapshot

    def is_absent(self, key: str) -> bool:
        """True if a consistent read found no entry."""
        return key in self._absent

    def note_namesakes(self, me: Session) -> None:
        """Say it once if another process carries our worker id."""
        for key, session in self.sessions.items():
            is_other_process = session.process is None or session.process != me.process
            if session.worker_id == me.worker_id and key != me.key and is_other_process and not session.is_revoked:
                if key not in self._namesakes and not self._is_gone(session.process):
                    self._emit(SameWorkerId(session=key))
                self._namesakes.add(key)

    async def revoke_gone(self, me: str) -> bool:
        """Revoke the sessions whose process is proven to be gone, which anybody may do; True if there were any."""
        gone = [key for key, session in self.living.items() if key != me and self._is_gone(session.process)]
        return any([await self._revoke(key, "its process is gone") for key in gone])

    async def revoke_silent(self, me: str) -> bool:
        """Revoke the sessions that were silent for the failover time; True if there were any. The leader's alone."""
        silent = [key for key in self._liveness.silent(self._clock()) if key != me and key in self.living]
        return any([await self._revoke(key, "it was silent for the failover time") for key in silent])

    async def forget_revoked(self) -> None:
        """Delete the entries that were revoked long ago."""
        now = self._clock()
        if now < self._forget_again_at:
            return
        revoked = self.sessions.keys() - self.living.keys()
        self._revoked_since = {key: self._revoked_since.get(key, now) for key in sorted(revoked)}
        old = [key for key, since in self._revoked_since.items() if now - since > FORGET_REVOKED_SECONDS]
        for key in old[:DELETIONS_MAX]:
            session = self.sessions.pop(key, None)  # whatever comes of it: the next scan shows those that still stand
            if session is None:
                continue
            try:
                await self._table.write_session(session, None)
            except ConditionFailed:
                continue
            except TROUBLE as trouble:  # a leftover harms nobody; the looks must go on
                self._emit(ServiceTrouble(operation="delete a revoked entry", reason=str(trouble)))
                self._forget_again_at = now + FORGET_REVOKED_SECONDS
                return

    @property
    def _membership(self) -> frozenset[tuple[str, bool]]:
        return frozenset((key, session.is_leaving) for key, session in self.living.items())

    def _later(self, scanned: Mapping[str, Session]) -> dict[str, Session]:
        """What is known already, where a scan found something older or nothing."""
        return {
            key: known
            for key, known in self.sessions.items()
            if (known.is_revoked or known.beat > scanned[key].beat if key in scanned else not known.is_revoked)
        }

    def _saw(self, sessions: Iterable[Session]) -> None:
        self.sessions = {session.key: session for session in sessions}
        self._liveness.saw({key: session.beat for key, session in self.living.items()}, self._clock())

    async def _look_for_absent(self, owners: set[str]) -> None:
        """Read the entries that the scan did not see: a table is not read in one instant."""
        await in_parallel((self._look_for(owner) for owner in sorted(owners - self._absent)), at_once=READS_AT_ONCE)

    async def _look_for(self, owner: str) -> None:
        session = await self._entry(owner)
        if session is not None:
            self.sessions[owner] = session

    async def _entry(self, key: str) -> Session | None:
        """Read one entry consistently; None also if there is one that does not parse."""
        try:
            session = await self._table.session(key)
        except RowUnreadable:
            return None  # there is an entry, whatever it says: somebody may live
        if session is None:
            self._absent.add(key)
        return session

    async def _revoke(self, key: str, reason: str) -> bool:
        """Revoke a session if a consistent read still shows the beat that was judged."""
        judged = self.sessions.get(key)
        if judged is None:
            return False  # a scan that ran beside has shown more
        try:
            fresh = await self._table.session(key)
        except RowUnreadable:
            return False
        if fresh is None:
            self._absent.add(key)
            self.sessions.pop(key, None)
            return True
        if not fresh.is_revoked:
            if fresh.beat != judged.beat:
                return False
            try:
                await self._table.write_session(fresh, fresh.revoked())
            except ConditionFailed:
                return False  # it beat just now, or somebody else revoked it: the next look tells
            self._emit(SessionRevoked(session=key, reason=reason))
        self.sessions[key] = fresh.revoked()
        return True
