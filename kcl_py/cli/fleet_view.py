"""What a lease table says of a fleet, as values to print: who owns what, who has joined, who leads."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal, Self

import msgspec

from kcl_py.core.lease import Lease
from kcl_py.core.lineage import Lineage
from kcl_py.core.listing import Listings
from kcl_py.core.session import Session, is_native_owner
from kcl_py.core.table import OddRow, TableSnapshot

LeaseState = Literal["held", "assigned", "handing_over", "free", "waiting", "finished"]
SessionState = Literal["member", "leaving", "revoked"]


class LeaseView(msgspec.Struct, frozen=True, kw_only=True):
    """One lease, as JSON has it.

    Attributes:
        shard_id: the row's key.
        state: `held`; `assigned`, given and not picked up yet; `handing_over`, from `owner` to `receiver`; `free`;
            `waiting`, until the parents are finished; `finished`. A Java worker's lease counts as held: its rows do not
            say whether it was picked up.
        owner: who may deliver, a session's key; whatever a Java worker calls itself.
        receiver: who follows once the hand-off is complete.
        waits_for: parents whose rows are not finished.
        checkpoint: `sequence number/sub-sequence number`, or a sentinel.
        behind_ms: how far the checkpoint is from the stream's tip; None if nobody asked, or there was no answer.
        owner_switches: since the last checkpoint.
        throughput_kib_per_second: as last written with progress.
    """

    shard_id: str
    state: LeaseState
    owner: str | None
    receiver: str | None
    waits_for: tuple[str, ...]
    checkpoint: str
    behind_ms: int | None
    owner_switches: int
    throughput_kib_per_second: float | None


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """One worker's session, as JSON has it.

    Attributes:
        session: its key, `<worker id>@<8 hex>`.
        worker_id: what people call it.
        state: `revoked` is dead to the fleet, and stays listed for ten minutes.
        beat: how often it has beaten.
        beat_unchanged_seconds: for how long we have seen this very beat; None after a single look.
        updated_at_seconds: its last beat by its own wall clock, which may be wrong.
        held: leases that it has picked up.
        assigned: leases that it is to pick up, now or when a hand-off is complete.
        leases_max: it wants no more; None = no limit.
        cpu_percent: its last figure, of the worker's container or else its machine; None for a revoked one.
    """

    session: str
    worker_id: str
    state: SessionState
    beat: int
    beat_unchanged_seconds: float | None
    updated_at_seconds: int
    held: int
    assigned: int
    leases_max: int | None
    cpu_percent: float | None

    @property
    def is_full(self) -> bool:
        """True if it is given no more leases."""
        return self.leases_max is not None and self.held + self.assigned >= self.leases_max


class FleetView(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a lease table, as JSON has it.

    Attributes:
        at: the instant of the look by our own wall clock, ISO 8601, UTC.
        table: its name.
        kind: whose table it is, in words.
        leader: the session that plans; None if nobody does.
        standby: the session that follows it.
        leases: the unfinished ones, and the finished ones where they were asked for.
        sessions: all worker entries of kcl_py.
        finished_leases: how many there are, shown or not.
        odd_rows: items that do not parse.
        foreign_entries: keys of what a Java fleet keeps beside the leases.
        applications: those that the rows name, in order: one, or none in a table that kcl_py did not write.
        streams: the ARNs that the rows name, likewise.
        lag_trouble: why `behind_ms` is missing somewhere, the first reason; None if it is not, or nobody asked.
    """

    at: str
    table: str
    kind: str
    leader: str | None
    standby: str | None
    leases: tuple[LeaseView, ...]
    sessions: tuple[SessionView, ...]
    finished_leases: int
    odd_rows: tuple[OddRow, ...]
    foreign_entries: tuple[str, ...]
    applications: tuple[str, ...]
    streams: tuple[str, ...]
    lag_trouble: str | None = None

    @classmethod
    def of(
        cls,
        table: str,
        snapshot: TableSnapshot,
        *,
        at: datetime,
        is_all: bool = False,
        behind_ms: Mapping[str, int] | None = None,
        lag_trouble: str | None = None,
        beats_unchanged: Mapping[str, float] | None = None,
    ) -> Self:
        """Put a snapshot in order.

        Args:
            table: the table's name.
            snapshot: all that stands in it.
            at: when it was read, UTC.
            is_all: with the finished leases.
            behind_ms: by shard, where the service answered.
            lag_trouble: why it did not, somewhere.
            beats_unchanged: by session, seconds.
        """
        lineage = Lineage(snapshot.leases, Listings())
        held, assigned = _held_and_assigned(snapshot.leases)
        bindings = {lease.binding for lease in snapshot.leases if lease.binding is not None}
        lock = snapshot.lock if snapshot.lock is not None and not snapshot.lock.is_released else None
        return cls(
            at=at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            table=table,
            kind=snapshot.kind.value,
            leader=lock.owner if lock is not None else None,
            standby=lock.standby if lock is not None else None,
            leases=tuple(
                _lease_view(lease, lineage, (behind_ms or {}).get(lease.key))
                for lease in snapshot.leases
                if is_all or not lease.is_finished
            ),
            sessions=tuple(
                _session_view(
                    session, held[session.key], assigned[session.key], (beats_unchanged or {}).get(session.key)
                )
                for session in snapshot.sessions
            ),
            finished_leases=sum(lease.is_finished for lease in snapshot.leases),
            odd_rows=snapshot.odd_rows,
            foreign_entries=snapshot.foreign_entries,
            applications=tuple(sorted({binding.application for binding in bindings})),
            streams=tuple(sorted({binding.stream.rpartition("@")[0] for binding in bindings})),
            lag_trouble=lag_trouble,
        )

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to show but the table itself."""
        return not (self.leases or self.finished_leases or self.sessions or self.odd_rows or self.foreign_entries)

    @property
    def is_full(self) -> bool:
        """True if there are workers to read shards, and none of them wants another one."""
        members = [session for session in self.sessions if session.state == "member"]
        return bool(members) and all(session.is_full for session in members)


class BeatWatch:
    """Sees for how long each session's beat has stayed the same. `now` is our own clock in seconds, and only grows."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, float]] = {}

    def saw(self, sessions: Iterable[Session], now: float) -> dict[str, float]:
        """Note a look; by session, the seconds since its beat was first seen as it is."""
        before, self._seen = self._seen, {}
        for session in sessions:
            beat, since = before.get(session.key, (session.beat, now))
            self._seen[session.key] = (session.beat, since if beat == session.beat else now)
        return {key: now - since for key, (_, since) in self._seen.items()}


def _lease_view(lease: Lease, lineage: Lineage, behind_ms: int | None) -> LeaseView:
    # a parent without a row is not counted: whether it is still in the stream, the table does not tell
    waits_for = () if lease.is_finished else lineage.may_start(lease).unfinished
    return LeaseView(
        shard_id=lease.key,
        state=_state(lease, is_waiting=bool(waits_for)),
        owner=lease.effective_owner,
        receiver=lease.owner if lease.checkpoint_owner is not None else None,
        waits_for=waits_for,
        checkpoint=str(lease.checkpoint),
        behind_ms=behind_ms,
        owner_switches=lease.owner_switches,
        throughput_kib_per_second=_known(lease.throughput_kbps),
    )


def _state(lease: Lease, *, is_waiting: bool) -> LeaseState:
    if lease.is_finished:
        return "finished"
    if lease.checkpoint_owner is not None:
        return "handing_over"
    if lease.owner is not None and (lease.held_by == lease.owner or not is_native_owner(lease.owner)):
        return "held"
    if is_waiting:
        return "waiting"
    return "free" if lease.owner is None else "assigned"


def _held_and_assigned(leases: Iterable[Lease]) -> tuple[Counter[str], Counter[str]]:
    """How many unfinished leases each session has picked up, and is to pick up."""
    held: Counter[str] = Counter()
    assigned: Counter[str] = Counter()
    for lease in leases:
        if lease.is_finished:
            continue
        holder = lease.effective_owner if lease.effective_owner == lease.held_by else None
        if holder is not None:
            held[holder] += 1
        if lease.owner is not None and lease.owner != holder:
            assigned[lease.owner] += 1
    return held, assigned


def _session_view(session: Session, held: int, assigned: int, beat_unchanged_seconds: float | None) -> SessionView:
    cpu_percent = session.cpu_percents[-1] if session.cpu_percents and not session.is_revoked else None
    return SessionView(
        session=session.key,
        worker_id=session.worker_id,
        state="revoked" if session.is_revoked else "leaving" if session.is_leaving else "member",
        beat=session.beat,
        beat_unchanged_seconds=beat_unchanged_seconds,
        updated_at_seconds=session.updated_at_seconds,
        held=held,
        assigned=assigned,
        leases_max=session.leases_max,
        cpu_percent=_known(cpu_percent),
    )


def _known(figure: float | None) -> float | None:
    """A figure that somebody measured; JSON has no other than finite numbers."""
    return figure if figure is not None and math.isfinite(figure) and figure >= 0 else None
