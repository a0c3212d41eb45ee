"""A life that breaks a law, with everything left out that the breach can spare."""

from collections.abc import Callable, Iterator

from tests.simulation.life import Life

Breaks = Callable[[Life], bool]
SECONDS_MIN = 5.0


def shrunk(life: Life, breaks: Breaks) -> Life:
    """Leave out incidents in ever smaller parts, and time, for as long as the breach stays (Zeller's ddmin).

    Args:
        life: one that breaks a law.
        breaks: whether another still breaks it.
    """
    life = _sooner_over(life, breaks)
    parts = 2
    while life.incidents:
        for kept in _without_a_part(life, parts):
            if breaks(kept):
                life, parts = kept, max(parts - 1, 2)
                break
        else:
            if parts >= len(life.incidents):
                break
            parts = min(2 * parts, len(life.incidents))
    return _sooner_over(life, breaks)


def _without_a_part(life: Life, parts: int) -> Iterator[Life]:
    """The life without one of so many equal parts of its incidents, each in turn; the last ones first."""
    numbers = [one.number for one in life.incidents]
    size = max(1, -(-len(numbers) // parts))
    for begin in reversed(range(0, len(numbers), size)):
        yield life.but(only=numbers[:begin] + numbers[begin + size :], seconds=life.seconds)


def _sooner_over(life: Life, breaks: Breaks) -> Life:
    """Less and less time, until the breach is gone."""
    while life.seconds > SECONDS_MIN:
        shorter = life.but(only=[one.number for one in life.incidents], seconds=life.seconds * 0.75)
        if not breaks(shorter):
            return life
        life = shorter
    return life
