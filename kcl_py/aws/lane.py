"""Which of a table's calls never wait for which others."""

from enum import Enum


class Lane(Enum):
    """The calls of one urgency. Each lane has threads of its own, so none ever stands in another's queue."""

    SESSION = ("session", 3)  # beats and the leader lock. A lost beat may hold one thread, and a lost renewal another
    ROW = ("row", 8)  # pick-ups, checkpoints, assignments
    BULK = ("bulk", 3)  # the whole table, many entries, the index: what looks again a little later anyway

    @property
    def threads_max(self) -> int:
        """How many calls are under way at once."""
        return self.value[1]
