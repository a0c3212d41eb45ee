"""Which lease should be where: a pure function from what is seen of the fleet to the moves that are worth making.

Leases that nobody may deliver from are assigned at once, oldest first. Leases that are held move only to even the
load, and only where that is worth a hand-off (fleet.md, section 5).
"""

from collections.abc import Callable
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


def by_weight(fleet: Fleet) -> tuple[Move, ...]:
    """Even out what the shards weigh: each one something, and the bytes that flow."""
    raise NotImplementedError


def by_lease_count(fleet: Fleet) -> tuple[Move, ...]:
    """Even out how many shards each worker has."""
    raise NotImplementedError
