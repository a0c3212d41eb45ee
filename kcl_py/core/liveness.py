"""Which sessions are alive, judged by what was seen to change on our own clock (fleet.md, section 2).

A session is silent when its beat has stayed the same for longer than the failover time while we were able to watch.
Watching counts only while our own conditional writes succeed and our own loop does not stall; whenever either fails,
every window begins anew, so that a throttled table or a suspended machine does not look like everybody's death.
"""

import msgspec

LOOK_GAP = 1 / 2  # of the failover time: a longer gap between two looks hides who beat in between
OWN_WRITE_GAP = 2 / 3  # as long as this no beat of ours landed, where a third is usual: others may be held up as well


class _Window(msgspec.Struct):
    beat: int
    since: float  # when this beat was first seen, or watching began anew


class Liveness:
    """What one observer knows of the others' beats. `now` is the observer's own clock in seconds, and only grows."""

    def __init__(self, failover_seconds: float) -> None:
        self._failover_seconds = failover_seconds
        self._windows: dict[str, _Window] = {}
        self._watched_at: float | None = None
        self._wrote_at: float | None = None

    def wrote(self, now: float) -> None:
        """A conditional write of our own landed."""
        self._note_gaps(now)
        self._wrote_at = now

    def saw(self, beats: dict[str, int], now: float) -> None:
        """Note the beats of all sessions, by a consistent read whose answer arrived at `now`; others are forgotten.

        The arrival counts: a beat that is new to us may be as young as that, however long the read took.
        """
        self._note_gaps(now)
        self._watched_at = now
        for key in self._windows.keys() - beats.keys():
            del self._windows[key]
        for key, beat in beats.items():
            window = self._windows.get(key)
            if window is None or window.beat != beat:
                self._windows[key] = _Window(beat, now)

    def restart(self, now: float) -> None:
        """Begin every window anew: our own write failed, or we were not looking."""
        for window in self._windows.values():
            window.since = now

    def is_silent(self, key: str, now: float) -> bool:
        """True if this session is one of the silent ones."""
        return self.quiet_seconds(key, now) > self._failover_seconds

    def quiet_seconds(self, key: str, now: float) -> float:
        """How long this session's beat has stayed the same while we watched; 0 if it is not watched."""
        self._note_gaps(now)
        window = self._windows.get(key)
        return 0.0 if window is None else now - window.since

    def silent(self, now: float) -> tuple[str, ...]:
        """The sessions whose beat seems to have stayed the same for longer than the failover time, longest first.

        What is certain is what a consistent read says that begins after this question (`Observer`).
        """
        self._note_gaps(now)
        quiet = [key for key, window in self._windows.items() if now - window.since > self._failover_seconds]
        return tuple(sorted(quiet, key=lambda key: (self._windows[key].since, key)))

    def _note_gaps(self, now: float) -> None:
        """Whoever did not look for too long, or could not write, begins anew; also if that happened since the look."""
        gaps = ((self._watched_at, LOOK_GAP), (self._wrote_at, OWN_WRITE_GAP))
        if any(at is not None and now - at > gap * self._failover_seconds for at, gap in gaps):
            self.restart(now)
