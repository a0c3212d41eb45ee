"""Which lease should be where: a pure function from what is seen of the fleet to the moves that are worth making.

Leases that nobody may deliver from are assigned at once, oldest first. Leases that are held move only to even the
load, and only where that is worth a hand-off (fleet.md, section 5).

All weights are whole bytes per second, so that sums are exact: the same fleet in another order gets the same plan, and
a plan that was carried out is followed by an empty one.
"""

import bisect
import heapq
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import msgspec


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """A worker as the planner sees it. Dead and revoked ones are not shown at all."""

    key: str  # its session
    is_receiving: bool = True  # false while it leaves: it is given nothing, and nothing is taken from it
    leases_max: int | None = None


class LeaseView(msgspec.Struct, frozen=True, kw_only=True):
    """An unfinished lease as the planner sees it.

    Attributes:
        key: the shard id.
        owner: who has it, or is to receive it in an open hand-off; None if nobody who lives does: then it is free.
        giver: who hands it over, in an open hand-off whose receiver does not live; it is then free for another one.
        throughput_kbps: KiB/s that flow; 0 while it is idle or not known.
        is_waiting: its parents are not done. It weighs nothing, and is not assigned yet.
        is_movable: a hand-off may be opened: its owner holds it, and it was not moved a short while ago.
        free_since: when it was seen to be free, on the planner's clock, seconds; the oldest is assigned first.
        avoid: the worker that was given it last and did not pick it up; it gets it only if there is no other.
    """

    key: str
    owner: str | None = None
    giver: str | None = None
    throughput_kbps: float = 0.0
    is_waiting: bool = False
    is_movable: bool = True
    free_since: float = 0.0
    avoid: str | None = None


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """One observation of the fleet.

    Attributes:
        workers: all that live.
        leases: all that are unfinished.
        is_settled: membership was quiet for long enough, so that held leases may move.
        hand_offs_max: how many may be opened in this round.
    """

    workers: tuple[WorkerView, ...]
    leases: tuple[LeaseView, ...]
    is_settled: bool = True
    hand_offs_max: int = 1_000_000


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """What should happen to one lease: `assign` a free one, `hand_off` a held one, `readdress` an open hand-off."""

    kind: Literal["assign", "hand_off", "readdress"]
    key: str
    to: str
    giver: str | None = None  # who has it, unless it is assigned


Strategy = Callable[[Fleet], tuple[Move, ...]]

IDLE_LEASE = 128 * 1024
"""What a lease weighs by itself, in bytes per second: each one is read and checkpointed, however little flows."""

BAND = 0.20
"""How far loads may drift apart before held leases move: one idle lease and this part of the mean throughput."""

BAND_AFTER = 0.10
"""How close they are then brought: the space up to `BAND` is what keeps a throughput that varies from moving leases."""

WORTH_MAX = 2 / 3
"""The heaviest lease that is worth moving, as a part of the gap: a heavier one would only turn the gap round."""


def by_weight(fleet: Fleet) -> tuple[Move, ...]:
    """Even out what the shards weigh: each one something, and the bytes that flow."""
    return _planned(fleet, lambda lease: IDLE_LEASE + round(lease.throughput_kbps * 1024))


def by_lease_count(fleet: Fleet) -> tuple[Move, ...]:
    """Even out how many shards each worker has."""
    return _planned(fleet, lambda _: IDLE_LEASE)


_Weigh = Callable[[LeaseView], int]
_Weighed = tuple[int, int, str]  # a lease: its weight, a stable hash, its key


class _Share(msgspec.Struct, eq=False):
    """What one receiving worker has, as the plan goes on."""

    worker: WorkerView
    tie: int  # a stable hash
    load: int = 0
    throughput: int = 0  # the part of the load that is bytes
    count: int = 0
    movable: list[_Weighed] = []  # sorted
    is_exhausted: bool = False  # none of its leases is worth moving

    @property
    def is_full(self) -> bool:
        return self.worker.leases_max is not None and self.count >= self.worker.leases_max

    def gain(self, weight: int) -> None:
        self.load += weight
        self.throughput += max(0, weight - IDLE_LEASE)
        self.count += 1

    def lose(self, weight: int) -> None:
        self.load -= weight
        self.throughput -= max(0, weight - IDLE_LEASE)
        self.count -= 1

    def worth_moving(self, gap: int) -> _Weighed | None:
        """The movable lease that comes closest to half the gap."""
        above = bisect.bisect_left(self.movable, (gap // 2 + 1,))
        nearest = self.movable[max(0, above - 1) : above + 1]
        worth = [lease for lease in nearest if lease[0] <= WORTH_MAX * gap]
        return min(worth, key=lambda lease: (abs(2 * lease[0] - gap), lease), default=None)


_Ranked = tuple[int, int, int, str, _Share]  # by load, then count, then a stable hash


class _Ranking:
    """The least loaded worker first, or with `sign` -1 the most loaded one."""

    def __init__(self, shares: Iterable[_Share], sign: int = 1) -> None:
        self._sign = sign
        self._heap = [self._ranked(share) for share in shares]
        heapq.heapify(self._heap)

    def put(self, share: _Share) -> None:
        heapq.heappush(self._heap, self._ranked(share))

    def first(self, is_out: Callable[[_Share], bool]) -> _Share | None:
        """Who is first, without those that are out and without what was true earlier."""
        while self._heap:
            ranked = self._heap[0]
            if ranked == self._ranked(ranked[-1]) and not is_out(ranked[-1]):
                return ranked[-1]
            heapq.heappop(self._heap)
        return None

    def take(self, is_out: Callable[[_Share], bool]) -> _Share | None:
        """Like `first`, and takes it off."""
        share = self.first(is_out)
        if share is not None:
            heapq.heappop(self._heap)
        return share

    def _ranked(self, share: _Share) -> _Ranked:
        return (self._sign * share.load, self._sign * share.count, share.tie, share.worker.key, share)


def _planned(fleet: Fleet, weigh: _Weigh) -> tuple[Move, ...]:
    shares = {worker.key: _Share(worker, _stable_hash(worker.key)) for worker in fleet.workers if worker.is_receiving}
    weights = {lease.key: 0 if lease.is_waiting else weigh(lease) for lease in fleet.leases}
    for lease in fleet.leases:
        if lease.owner in shares:
            shares[lease.owner].gain(weights[lease.key])
    assigned = tuple(_assignments(fleet, shares, weights))
    return assigned + _hand_offs(fleet, shares, weights) if fleet.is_settled else assigned


def _assignments(fleet: Fleet, shares: dict[str, _Share], weights: dict[str, int]) -> Iterator[Move]:
    """Give every free lease to whoever has least, oldest first."""
    receivers = _Ranking(shares.values())
    free = (lease for lease in fleet.leases if lease.owner is None and not lease.is_waiting)
    for lease in sorted(free, key=lambda lease: (lease.free_since, lease.key)):
        share = _receiver(receivers, lease)
        if share is not None:
            share.gain(weights[lease.key])
            receivers.put(share)
            kind: Literal["assign", "readdress"] = "assign" if lease.giver is None else "readdress"
            yield Move(kind=kind, key=lease.key, to=share.worker.key, giver=lease.giver)


def _receiver(receivers: _Ranking, lease: LeaseView) -> _Share | None:
    """Who may have the lease and has least, taken off the ranking; the one to avoid only if there is no other."""
    passed_over = []
    chosen = None
    while (share := receivers.take(_is_full)) is not None:
        if share.worker.key not in (lease.giver, lease.avoid):
            chosen = share
            break
        passed_over.append(share)
    for share in passed_over:
        if chosen is None and share.worker.key != lease.giver:
            chosen = share
        else:
            receivers.put(share)
    return chosen


def _hand_offs(fleet: Fleet, shares: dict[str, _Share], weights: dict[str, int]) -> tuple[Move, ...]:
    """Move held leases from whoever has most to whoever has least, while that is worth it."""
    for lease in fleet.leases:
        if lease.owner in shares and lease.is_movable and not lease.is_waiting:
            shares[lease.owner].movable.append((weights[lease.key], _stable_hash(lease.key), lease.key))
    for share in shares.values():
        share.movable.sort()
    owners = {lease.key: lease.owner for lease in fleet.leases}
    receiver_of: dict[str, str] = {}
    steps = _steps(shares)
    while len(receiver_of) < fleet.hand_offs_max and (step := next(steps, None)) is not None:
        key, to = step
        if owners[key] == to:
            del receiver_of[key]
        else:
            receiver_of[key] = to
    return tuple(Move(kind="hand_off", key=key, to=to, giver=owners[key]) for key, to in receiver_of.items())


def _steps(shares: dict[str, _Share]) -> Iterator[tuple[str, str]]:
    """Which lease goes where, one by one; a lease may go on from where an earlier step has put it."""
    throughput = sum(share.throughput for share in shares.values()) / max(1, len(shares))
    gap_max = IDLE_LEASE + BAND * throughput
    donors, receivers = _Ranking(shares.values(), -1), _Ranking(shares.values())
    while (donor := donors.first(_is_exhausted)) is not None and (receiver := receivers.first(_is_full)) is not None:
        gap = donor.load - receiver.load
        if gap <= gap_max:
            return
        lease = donor.worth_moving(gap)
        if lease is None:
            donor.is_exhausted = True
            continue
        gap_max = IDLE_LEASE + BAND_AFTER * throughput
        del donor.movable[bisect.bisect_left(donor.movable, lease)]
        donor.lose(lease[0])
        bisect.insort(receiver.movable, lease)
        receiver.gain(lease[0])
        for share in (donor, receiver):
            donors.put(share)
            receivers.put(share)
        yield lease[-1], receiver.worker.key


def _is_full(share: _Share) -> bool:
    return share.is_full


def _is_exhausted(share: _Share) -> bool:
    return share.is_exhausted


def _stable_hash(key: str) -> int:
    return zlib.crc32(key.encode())
