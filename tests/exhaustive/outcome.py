"""What a search saw."""

from typing import NamedTuple


class Outcome(NamedTuple):
    """The figures of one search, and the shortest path to what it found wrong."""

    states: int
    transitions: int
    violation: str | None
    seconds: float  # of one core
    happened: frozenset[str] = frozenset()  # what the steps were called

    def __str__(self) -> str:
        return (
            f"{self.states:,} states, {self.transitions:,} transitions, "
            f"{'1 violation' if self.violation else '0 violations'}, {self.seconds:.1f} s"
        )
