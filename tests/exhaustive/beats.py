"""Is a deadline past whenever its session is revoked? The one thing about time that the search of the row takes for
granted, searched through by itself: one worker that beats, one observer that judges, a clock in ticks.

The verdict is the shipped `Liveness`, the deadline the shipped `CLOCK_DRIFT`; the rest is what `Heartbeat` and
`Observer` do. The worker's clock is as slow as it may be. That an observer begins its windows anew because it did not
look, or could not write, may happen at any tick here: whenever it does, it only waits longer.
"""

import time
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from typing import NamedTuple

from kcl_py.core.liveness import Liveness
from kcl_py.runtime import heartbeat
from tests.exhaustive.outcome import Outcome

FAILOVER_TICKS = 20
"""A tick is a twentieth of the failover time: as fine as the 5 % by which clocks may differ."""
CLOCK_SLOWNESS = 0.05  # guarantees.md, Words
TICKS_MAX = FAILOVER_TICKS + 3  # older is all alike: past every deadline, silent for too long
KEY = "worker@00000000"
NOT_READING = -1


class Instant(NamedTuple):
    """Ages are ticks. Beats are counted from the one that the observer knows, which is 0; 2 stands for all beyond."""

    deadline_age: int = 0  # since the first sending of the beat that is known to have landed last
    sent_age: int | None = None  # of the beat under way
    has_landed: bool = False  # that one
    beat: int = 0  # in the table
    read_beat: int = NOT_READING  # on its way to the observer
    window_age: int = 0


Step = tuple[str, Instant]


class BeatSearch:
    """Breadth first through every order of beats, losses, looks and verdicts."""

    def __init__(self) -> None:
        slow_ticks = FAILOVER_TICKS * (1 - heartbeat.CLOCK_DRIFT) / (1 - CLOCK_SLOWNESS)
        self._deadline_ticks = slow_ticks
        self._is_silent = cache(_is_silent)

    def run(self) -> Outcome:
        """Search until everything is seen, or a session is revoked that may still begin a batch."""
        began = time.process_time()
        came_from: dict[Instant, tuple[str, Instant] | None] = {Instant(): None}
        queue, transitions, violation = [Instant()], 0, None
        for instant in queue:  # which grows meanwhile
            if violation := self._judged(instant):
                violation = f"{violation}\n{_path(came_from, instant)}"
                break
            for what, following in _steps(instant):
                transitions += 1
                if following not in came_from:
                    came_from[following] = what, instant
                    queue.append(following)
        return Outcome(len(queue), transitions, violation, time.process_time() - began)

    def _judged(self, instant: Instant) -> str | None:
        """What is wrong if the observer revokes now, which it may if the beat that it judged still stands."""
        if instant.beat != 0 or not self._is_silent(instant.window_age):
            return None
        ages = [instant.deadline_age]
        if instant.sent_age is not None and instant.has_landed:
            ages.append(instant.sent_age)  # its answer may still come
        left = self._deadline_ticks - min(ages)
        return f"S7: revoked {left:.1f} ticks before its deadline" if left > 0 else None


def _is_silent(window_age: int) -> bool:
    liveness = Liveness(float(FAILOVER_TICKS))
    liveness.saw({KEY: 0}, 0.0)
    for tick in range(window_age + 1):
        liveness.saw({KEY: 0}, float(tick))
        liveness.wrote(float(tick))
    return KEY in liveness.silent(float(window_age))


def _steps(now: Instant) -> Iterator[Step]:
    yield (
        "a tick passes",
        now._replace(
            deadline_age=min(now.deadline_age + 1, TICKS_MAX),
            sent_age=None if now.sent_age is None else min(now.sent_age + 1, TICKS_MAX),
            window_age=min(now.window_age + 1, TICKS_MAX),
        ),
    )
    if now.sent_age is None:
        yield "the worker sends a beat", now._replace(sent_age=0, has_landed=False)
    elif not now.has_landed:
        is_between = now.beat == 2 and now.read_beat == 2
        read_beat = 1 if is_between else now.read_beat
        yield "the beat lands", now._replace(has_landed=True, beat=min(now.beat + 1, 2), read_beat=read_beat)
    else:
        yield (
            "the worker knows that it landed",
            now._replace(deadline_age=now.sent_age, sent_age=None, has_landed=False),
        )
    if now.read_beat == NOT_READING:
        for seen in range(now.beat + 1):  # the reading is eventually consistent
            yield "the table answers the observer", now._replace(read_beat=seen)
    elif now.read_beat == 0:
        yield "the observer sees the beat that it knows", now._replace(read_beat=NOT_READING)
    else:
        yield (
            "the observer sees a new beat",
            now._replace(beat=now.beat - now.read_beat, read_beat=NOT_READING, window_age=0),
        )
    yield "the observer begins anew", now._replace(window_age=0)


def _path(came_from: dict[Instant, tuple[str, Instant] | None], instant: Instant) -> str:
    steps = []
    while (step := came_from[instant]) is not None:
        what, instant = step
        steps.append(what)
    runs = ((what, len(list(run))) for what, run in groupby(reversed(steps)))
    return "\n".join(f"  {what}" if times == 1 else f"  {what} ({times} times)" for what, times in runs)
