"""The fleet as the keeper sees it: who is alive, and which leases are free.

Alone or not, a worker takes what nobody holds: rows without an owner, and rows whose owner's session is revoked or has
no entry. A session is revoked before anything of it is taken, and only when it was silent for the failover time while
we could see and write ourselves, or when its process is proven to be gone (fleet.md, section 2).
"""

from collections.abc import Callable

from kcl_py.core.lease import Lease
from kcl_py.core.liveness import Liveness
from kcl_py.core.session import Process, Session
from kcl_py.core.table import TableSnapshot
from kcl_py.errors import TROUBLE, ConditionFailed, RowUnreadable
from kcl_py.events import SameWorkerId, ServiceTrouble, SessionRevoked
from kcl_py.interfaces import LeaseTable
from kcl_py.runtime.user_code import Emitter

FORGET_REVOKED_SECONDS = 600.0  # an entry stays this long after its revocation, so that its owner can find it


class Coordinator:
    """Watches the other sessions of the table."""

    def __init__(
        self,
        table: LeaseTable,
        *,
        failover_seconds: float,
        is_gone: Callable[[Process | None], bool],
        clock: Callable[[], float],
        emit: Emitter,
    ) -> None:
        self._table = table
        self._liveness = Liveness(failover_seconds)
        self._is_gone = is_gone
        self._clock = clock
        self._emit = emit
        self._revoked_since: dict[str, float] = {}
        self._namesakes: set[str] = set()

    def own_write_failed(self) -> None:
        """What we could not write, others could not either: their silence says nothing."""
        self._liveness.restart(self._clock())

    async def free_leases(self, snapshot: TableSnapshot, asked_at: float, me: Session) -> tuple[Lease, ...]:
        """Judge the sessions, revoke the dead, and name the unfinished leases that anybody may take, oldest key first.

        Args:
            snapshot: the table.
            asked_at: when its reading began, on our clock.
            me: our own session.
        """
        others = {session.key: session for session in snapshot.sessions if session.key != me.key}
        self._note_namesakes(others, me)
        living = {key: session for key, session in others.items() if not session.is_revoked}
        self._liveness.saw({key: session.beat for key, session in living.items()}, asked_at)
        for key, reason in self._dead(living).items():
            if await self._revoke(living[key], reason):
                del living[key]
        await self._forget_revoked(others, living)
        free = [
            lease
            for lease in sorted(snapshot.leases, key=lambda lease: lease.key)
            if not lease.is_finished and lease.is_owner_native and lease.effective_owner not in living
        ]
        late = await self._joined_meanwhile({lease.effective_owner for lease in free} - others.keys() - {me.key, None})
        return tuple(lease for lease in free if lease.effective_owner not in late)

    async def _joined_meanwhile(self, owners: set[str | None]) -> set[str]:
        """Of owners without an entry in the snapshot, those that have one: a table is not read in one instant."""
        late = set()
        for owner in sorted(owner for owner in owners if owner is not None):
            try:
                session = await self._table.session(owner)
            except RowUnreadable:
                late.add(owner)  # there is an entry, whatever it says: somebody may live
                continue
            if session is not None and not session.is_revoked:
                late.add(owner)
        return late

    def _dead(self, living: dict[str, Session]) -> dict[str, str]:
        dead = dict.fromkeys(self._liveness.silent(self._clock()), "it was silent for the failover time")
        dead |= {key: "its process is gone" for key, session in living.items() if self._is_gone(session.process)}
        return dead

    async def _revoke(self, session: Session, reason: str) -> bool:
        """Revoke a session if a consistent read still shows the beat that was judged."""
        try:
            fresh = await self._table.session(session.key)
        except RowUnreadable:
            return False
        if fresh is None or fresh.is_revoked:
            return True
        if fresh.beat != session.beat:
            return False
        try:
            await self._table.write_session(fresh, fresh.revoked())
        except ConditionFailed:
            return False  # it beat just now, or somebody else revoked it: the next look tells
        self._emit(SessionRevoked(session=session.key, reason=reason))
        return True

    async def _forget_revoked(self, others: dict[str, Session], living: dict[str, Session]) -> None:
        now = self._clock()
        revoked = others.keys() - living.keys()
        self._revoked_since = {key: self._revoked_since.get(key, now) for key in sorted(revoked)}
        for key, since in tuple(self._revoked_since.items()):
            if now - since > FORGET_REVOKED_SECONDS and others[key].is_revoked:
                try:
                    await self._table.write_session(others[key], None)
                except ConditionFailed:
                    continue
                except TROUBLE as trouble:  # a leftover harms nobody; the looks must go on
                    self._emit(ServiceTrouble(operation="delete a revoked entry", reason=str(trouble)))

    def _note_namesakes(self, others: dict[str, Session], me: Session) -> None:
        for key, session in others.items():
            is_other_process = session.process is None or session.process != me.process
            if session.worker_id == me.worker_id and is_other_process and not session.is_revoked:
                if key not in self._namesakes and not self._is_gone(session.process):
                    self._emit(SameWorkerId(session=key))
                self._namesakes.add(key)
