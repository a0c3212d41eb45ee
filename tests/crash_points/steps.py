"""What one worker does, step by step: a step is a callback of one of its loops, from its beginning to its next wait."""

import asyncio
from collections.abc import Callable

from tests.simulation.actors import Actor, SeededOrder

OnStep = Callable[[asyncio.Handle], None]


class StepOrder(SeededOrder):
    """Tells of every step of some actors when it is over, before anything else runs."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._watched: tuple[Actor, ...] = ()
        self._on_step: OnStep | None = None
        self._ran: asyncio.Handle | None = None

    def watch(self, actors: tuple[Actor, ...], on_step: OnStep) -> None:
        """Begin to tell."""
        self._watched, self._on_step = actors, on_step

    def look_away(self) -> None:
        """Tell no more."""
        self._watched, self._on_step, self._ran = (), None, None

    def popleft(self) -> asyncio.Handle | None:
        ran, self._ran = self._ran, None
        if ran is not None and self._on_step is not None:
            self._on_step(ran)
        handle = super().popleft()
        if handle is not None and self._watched and self.actor_of(handle) in self._watched:
            self._ran = handle
        return handle
