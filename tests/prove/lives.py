"""Random lives by the hundred, on every core, and what they have to show for themselves."""

import gc
import multiprocessing
import os
import time
from collections import Counter, deque
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import msgspec

from kcl_py.events import LeaseHandedOver, LeasePickedUp
from tests.simulation.hours import Hours, hours_of
from tests.simulation.laws.history import History, worker_of
from tests.simulation.laws.liveness import takeovers
from tests.simulation.laws.repeats import repeats_by_epoch
from tests.simulation.life import Life, Scale
from tests.simulation.verdict import history_of, judgements, lived, verdict_of

LIVES_PER_PROCESS = 20  # then it is replaced, whatever it has piled up


class Wanted(NamedTuple):
    """A life to be lived."""

    scale: Scale
    seed: int


class Takeover(NamedTuple):
    """The slowest one, measured by what it was allowed."""

    seconds: float
    allowed_seconds: float

    @property
    def share(self) -> float:
        """1.0 is just in time."""
        return self.seconds / self.allowed_seconds


class Lived(msgspec.Struct, frozen=True):
    """What became of lives, one or many.

    Attributes:
        lives: how many.
        entries: lines of their logs.
        hours: simulated time and what happened in it.
        judged: how much each law looked at.
        repeats: the most that an epoch delivered again, and the bound that it had.
        takeover: the slowest that could be judged; None if there was none.
        hand_over_seconds: from the giver's write to the receiver's pick-up, of each one at calm doors.
        verdicts: what was broken, and how to see it again.
    """

    lives: int = 0
    entries: int = 0
    hours: Hours = msgspec.field(default_factory=Hours)
    judged: Counter[str] = msgspec.field(default_factory=Counter)
    repeats: tuple[int, int] = (0, 1)
    takeover: Takeover | None = None
    hand_over_seconds: tuple[float, ...] = ()
    verdicts: tuple[str, ...] = ()

    def __add__(self, other: "Lived") -> "Lived":
        slowest = [one for one in (self.takeover, other.takeover) if one is not None]
        return Lived(
            lives=self.lives + other.lives,
            entries=self.entries + other.entries,
            hours=self.hours + other.hours,
            judged=self.judged + other.judged,
            repeats=max(self.repeats, other.repeats, key=lambda repeats: repeats[0] / repeats[1]),
            takeover=max(slowest, key=lambda one: one.share, default=None),
            hand_over_seconds=self.hand_over_seconds + other.hand_over_seconds,
            verdicts=self.verdicts + other.verdicts,
        )


def live(wanted: Wanted) -> Lived:
    """Live one life, and judge it by every law."""
    gc.collect()
    gc.disable()  # a log only grows: whoever looks for garbage in it looks in vain, for a fifth of the time
    life = Life.of(wanted.seed, wanted.scale)
    log = lived(life)
    history = history_of(life, log)
    said = judgements(history)
    verdict = verdict_of(life, said)
    slowest = [Takeover(one.took_seconds, one.allowed_seconds) for one in takeovers(history) if one.took_seconds]
    return Lived(
        lives=1,
        entries=len(log.entries),
        hours=hours_of(log, life.shards),
        judged=Counter({law: judgement.judged for law, judgement in said.items()}),
        repeats=(max((again for _, again in repeats_by_epoch(history)), default=0), life.repeats_max),
        takeover=max(slowest, key=lambda one: one.share, default=None),
        hand_over_seconds=tuple(_hand_overs(history)),
        verdicts=(verdict,) if verdict else (),
    )


def live_all(wanted: Iterator[Wanted], until: float | None = None) -> Iterator[tuple[Scale, Lived]]:
    """Live lives on all cores.

    Args:
        wanted: which; may have no end.
        until: begin none after this instant of `time.monotonic`; None for no limit.
    """

    def in_time() -> Iterator[Wanted]:
        for one in wanted:
            if until is not None and time.monotonic() > until:
                return
            yield one

    processes = os.cpu_count() or 1
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=LIVES_PER_PROCESS) as pool:
        waiting = in_time()
        under_way = deque((one.scale, pool.apply_async(live, (one,))) for one in islice(waiting, 3 * processes))
        while under_way:
            scale, result = under_way.popleft()
            yield scale, result.get()
            under_way.extend((one.scale, pool.apply_async(live, (one,))) for one in islice(waiting, 1))


def _hand_overs(history: History) -> Iterator[float]:
    """How long the shards took that were handed over in order while all doors worked and nobody came or went, and that
    were picked up by whom they were meant for: another one takes over from a receiver that is gone.
    """
    given: dict[str, tuple[float, str]] = {}
    for entry, what in history.log.of(LeaseHandedOver, LeasePickedUp):
        if isinstance(what, LeaseHandedOver):
            given[what.shard_id] = entry.at, worker_of(what.to)
            continue
        at, receiver = given.pop(what.shard_id, (entry.at + 1, ""))
        is_calm = history.is_calm(at - 1, entry.at) and not history.circumstances.upsets_between(at - 1, entry.at)
        if at <= entry.at and is_calm and receiver == entry.worker:
            yield entry.at - at
