"""The leader's rounds: from what was observed to a fleet that can be planned, and from moves to guarded writes.

What must be remembered between rounds stands here: when membership last changed, what was moved for it, which leases
wait to be picked up, and which still make progress. A new leader knows none of it and only waits a little longer.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Set

import msgspec

from kcl_py.core.balance import Fleet, LeaseView, Move, Strategy, WorkerView
from kcl_py.core.lease import Change, Lease
from kcl_py.core.lineage import Lineage
from kcl_py.core.session import Session
from kcl_py.core.table import TableSnapshot
from kcl_py.errors import ConditionFailed
from kcl_py.events import HandOffOpened, LeaseAssigned, MembershipChanged, NobodyHasRoom
from kcl_py.interfaces import LeaseTable
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.fleet.observer import Observer
from kcl_py.runtime.in_parallel import in_parallel

SETTLE_SECONDS = 5.0  # membership must be quiet for so long before held leases move
SETTLE_SECONDS_MAX = 30.0  # under constant change they move after so long all the same
COOL_DOWN_SECONDS = 300.0  # a lease that was moved stays, unless membership changes
PICK_UP_SECONDS = 4.0  # two looks and two seconds: a lease assigned so long ago should have been picked up
PICK_UP_SECONDS_EACH = 0.05  # on top, for every lease that its owner has still to pick up
MISSES_MAX = 2  # so often a lease may be assigned to somebody who does not pick it up
DEAF_SECONDS, DEAF_SECONDS_MAX = 300.0, 3600.0  # such a worker is given nothing for so long, doubling, if others can
IDLE_SECONDS = 60.0  # a lease without progress for so long weighs as an idle one
TELL_AGAIN_SECONDS = 60.0  # that nobody has room for some leases
WRITES_AT_ONCE = 4  # of the threads for rows: checkpoints go beside them
HAND_OFFS_MIN = 16  # that a round may open, or a tenth of the leases


class _Assigned(msgspec.Struct):
    """A lease that its owner has still to pick up."""

    owner: str
    since: float
    misses: int = 0


class Planner:
    """Plans for the whole fleet, while this worker leads."""

    def __init__(
        self,
        table: LeaseTable,
        observer: Observer,
        strategy: Strategy,
        *,
        lineage: Callable[[TableSnapshot], Lineage],
        pick_up: Callable[[Lease, str], Awaitable[bool]],
        may_write: Callable[[], bool],
        idle_seconds: float,
        clock: Callable[[], float],
        emit: Emitter,
    ) -> None:
        """Take what is needed.

        Args:
            table: where moves are written.
            observer: what is known of the sessions, and the table as last read.
            strategy: decides the moves.
            lineage: joins the table's rows with the stream's listings.
            pick_up: takes a lease for this worker itself, which needs no assignment first; False if it cannot now.
            may_write: whether this worker still leads, and what it saw is fresh enough to act on.
            idle_seconds: a lease without progress for so long weighs as an idle one.
            clock: seconds.
            emit: where events go.
        """
        self._table = table
        self._observer = observer
        self._strategy = strategy
        self._lineage = lineage
        self._pick_up = pick_up
        self._may_write = may_write
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._emit = emit
        self.forget()

    def forget(self) -> None:
        """Begin anew, as a new leader does."""
        self._members: frozenset[str] = frozenset()
        self._tell_left_over_at = float("-inf")
        self._changed_at = self._burst_began_at = float("-inf")
        self._burst = 0
        self._moved: dict[str, tuple[int, float]] = {}  # which burst, and when
        self._assigned: dict[str, _Assigned] = {}
        self._free_since: dict[str, float] = {}
        self._deaf: dict[str, tuple[int, float]] = {}  # who was given leases and picked none up: how often, until when
        self._progress: dict[str, tuple[int, float]] = {}  # the row's counter, and since when it is that

    @property
    def settles_at(self) -> float:
        """From when on held leases may move, if membership does not change before."""
        return min(self._changed_at + SETTLE_SECONDS, self._burst_began_at + SETTLE_SECONDS_MAX)

    async def round(self, snapshot: TableSnapshot, me: str) -> None:
        """Plan once, and write what comes of it; what fails is planned again in the next round."""
        now = self._clock()
        self._note_membership(now)
        leases = {lease.key: lease for lease in snapshot.leases if not lease.is_finished and lease.is_owner_native}
        fleet = self._fleet(leases, self._lineage(snapshot), now)
        moves = self._strategy(fleet)
        self._note_left_over(fleet, moves, now)
        await in_parallel((self._make(move, leases[move.key], me) for move in moves), at_once=WRITES_AT_ONCE)
        if self.settles_at <= now and not self._is_quiet(now):
            self._begin_burst(now)  # it was the one round that constant change is granted

    def _note_left_over(self, fleet: Fleet, moves: tuple[Move, ...], now: float) -> None:
        placed = {move.key for move in moves}
        left = sum(view.owner is None and not view.is_waiting and view.key not in placed for view in fleet.leases)
        if left and now >= self._tell_left_over_at:
            self._tell_left_over_at = now + TELL_AGAIN_SECONDS
            self._emit(NobodyHasRoom(leases=left))

    # -- what is planned ------------------------------------------------------------------------------------------

    def _note_membership(self, now: float) -> None:
        members = frozenset(key for key, session in self._observer.living.items() if not session.is_leaving)
        if members == self._members:
            return
        joined, left = members - self._members, self._members - members
        self._emit(MembershipChanged(workers=len(members), joined=tuple(sorted(joined)), left=tuple(sorted(left))))
        if self._is_quiet(now):
            self._begin_burst(now)
        self._changed_at = now
        self._members = members

    def _is_quiet(self, now: float) -> bool:
        return now >= self._changed_at + SETTLE_SECONDS

    def _begin_burst(self, now: float) -> None:
        self._burst += 1
        self._burst_began_at = now

    def _fleet(self, leases: dict[str, Lease], lineage: Lineage, now: float) -> Fleet:
        living = self._observer.living
        waiting = {key for key, lease in leases.items() if not lineage.may_start(lease).is_open}
        self._note_progress(leases, now)
        self._note_assigned(leases, living, waiting, now)
        views = tuple(
            self._view(lease, living, is_waiting=key in waiting, now=now)
            for key, lease in leases.items()
            if self._is_known(lease)
        )
        free = {view.key for view in views if view.owner is None}
        self._free_since = {key: since for key, since in self._free_since.items() if key in free}
        return Fleet(
            workers=self._workers(living, now),
            leases=views,
            is_settled=now >= self.settles_at,
            hand_offs_max=max(HAND_OFFS_MIN, len(views) // 10),
        )

    def _note_deaf(self, worker: str, now: float) -> None:
        times, until = self._deaf.get(worker, (0, now))
        if until <= now:
            self._deaf[worker] = times + 1, now + min(DEAF_SECONDS * 2**times, DEAF_SECONDS_MAX)

    def _workers(self, living: Mapping[str, Session], now: float) -> tuple[WorkerView, ...]:
        self._deaf = {key: deaf for key, deaf in self._deaf.items() if key in living}
        able = {key for key, session in living.items() if not session.is_leaving}
        hearing = {
            key for key in able if self._deaf.get(key, (0, now))[1] <= now
        } or able  # if nobody picks anything up, nobody is better than another
        return tuple(
            WorkerView(key=key, is_receiving=key in hearing, leases_max=session.leases_max)
            for key, session in sorted(living.items())
        )

    def _is_known(self, lease: Lease) -> bool:
        """False if an owner's entry does not parse, or was not looked for yet: somebody may live behind it."""
        return all(
            owner in self._observer.sessions or self._observer.is_absent(owner)
            for owner in (lease.owner, lease.checkpoint_owner)
            if owner is not None
        )

    def _view(self, lease: Lease, living: Mapping[str, Session], *, is_waiting: bool, now: float) -> LeaseView:
        giver = lease.checkpoint_owner if lease.checkpoint_owner in living else None
        owner = lease.owner if lease.owner in living else None
        if lease.checkpoint_owner is not None and giver is None:
            owner = None  # the giver died: nobody completes the hand-off any more
        elif giver is not None and owner is not None and living[owner].is_leaving:
            owner = None  # the receiver leaves before it has received
        assigned = self._assigned.get(lease.key)
        avoid = None
        if assigned is not None and assigned.misses >= MISSES_MAX and owner == assigned.owner:
            owner, avoid = None, owner
        if owner is None and not is_waiting:
            self._free_since.setdefault(lease.key, now)
        return LeaseView(
            key=lease.key,
            owner=owner,
            giver=giver if owner is None else None,
            throughput_kbps=self._throughput_kbps(lease, now),
            is_waiting=is_waiting,
            is_movable=lease.held_by == lease.owner and giver is None and self._may_move_again(lease.key, now),
            free_since=self._free_since.get(lease.key, now),
            avoid=avoid,
        )

    def _may_move_again(self, key: str, now: float) -> bool:
        burst, at = self._moved.get(key, (-1, float("-inf")))
        return burst != self._burst or now - at > COOL_DOWN_SECONDS

    def _throughput_kbps(self, lease: Lease, now: float) -> float:
        _, since = self._progress[lease.key]
        return (lease.throughput_kbps or 0.0) if now - since <= self._idle_seconds else 0.0

    def _note_progress(self, leases: dict[str, Lease], now: float) -> None:
        seen = {}
        for key, lease in leases.items():
            counter, since = self._progress.get(key, (lease.counter, now))
            seen[key] = (lease.counter, now if counter != lease.counter else since)
        self._progress = seen

    def _note_assigned(
        self, leases: dict[str, Lease], living: Mapping[str, Session], waiting: Set[str], now: float
    ) -> None:
        """Count how long each lease that may be picked up has not been."""
        assigned = {}
        for key, lease in leases.items():
            is_assigned = lease.owner in living and lease.held_by is None and lease.checkpoint_owner is None
            if lease.owner is None or not is_assigned or key in waiting:
                continue
            known = self._assigned.get(key)
            is_same = known is not None and known.owner == lease.owner
            assigned[key] = known if known is not None and is_same else _Assigned(lease.owner, now)
        self._assigned = assigned
        owned = Counter(one.owner for one in assigned.values())
        for one in assigned.values():
            if now - one.since > PICK_UP_SECONDS + PICK_UP_SECONDS_EACH * owned[one.owner]:
                one.misses += 1
                one.since = now
                if one.misses == MISSES_MAX:
                    self._note_deaf(one.owner, now)

    # -- what is written ------------------------------------------------------------------------------------------

    async def _make(self, move: Move, lease: Lease, me: str) -> None:
        """Write a move; if the row was written in between, the next round sees it."""
        if not self._may_write():
            return
        if move.kind == "assign" and move.to == me and await self._pick_up(lease, me):
            return
        if move.kind == "assign" and lease.owner == move.to and lease.checkpoint_owner is None:
            return  # it names the worker already, who cannot pick it up: that is counted
        try:
            await self._table.write(_change(move, lease))
        except ConditionFailed:
            return
        self._assigned.pop(lease.key, None)
        if move.kind == "assign":
            self._emit(LeaseAssigned(shard_id=lease.key, to=move.to, was=lease.effective_owner))
        else:
            self._moved[lease.key] = (self._burst, self._clock())
            assert move.giver is not None
            self._emit(HandOffOpened(shard_id=lease.key, giver=move.giver, to=move.to))


def _change(move: Move, lease: Lease) -> Change:
    match move.kind:
        case "assign":
            return lease.assigned(move.to)
        case "hand_off":
            return lease.offered(move.to)
        case "readdress":
            return lease.readdressed(move.to)
