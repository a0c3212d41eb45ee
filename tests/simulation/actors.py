"""Who runs what: every callback belongs to one actor, and a seed decides whose turn it is.

An actor is what has a loop of its own in production: a worker's keeper, its data plane, the network, the world. Within
one actor callbacks run in the order in which they became ready, as asyncio promises; between actors any order may
happen, and does. An actor can be held: then nothing of it runs, while its timers go on expiring, as when a process is
stopped.
"""

import asyncio
import random
from collections import deque
from contextvars import Context, ContextVar, copy_context


class Actor:
    """One loop of production."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready: deque[asyncio.Handle] = deque()
        self.is_held = False

    def context(self) -> Context:
        """A context whose callbacks and tasks, and theirs, are this actor's."""
        context = copy_context()
        context.run(_ACTOR.set, self)
        return context


WORLD = "world"
TURNS_MAX = 300_000
INSTANT_SECONDS = 0.001
_ACTOR: ContextVar[Actor] = ContextVar("actor")


class SeededOrder:
    """What is ready, by actor; see `virtual_time.ReadyOrder`."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed).random
        self._world = Actor(WORLD)
        self._able: list[Actor] = []  # not held, and with something ready
        self._moment = 0.0
        self._turns = 0  # since that moment, or so

    def append(self, handle: asyncio.Handle) -> None:
        actor = self.actor_of(handle)
        if not actor.ready and not actor.is_held:
            self._able.append(actor)
        actor.ready.append(handle)

    def popleft(self) -> asyncio.Handle | None:
        able = self._able
        if not able:
            return None
        turn = int(self._dice() * len(able))
        ready = able[turn].ready
        handle = ready.popleft()
        if not ready:
            able[turn] = able[-1]
            able.pop()
        self._turns += 1
        if self._turns > TURNS_MAX:
            self._look_at_the_clock()
        return handle

    def _look_at_the_clock(self) -> None:
        """A fleet in which time stands still is waiting for itself."""
        now = asyncio.get_running_loop().time()
        if now < self._moment + INSTANT_SECONDS:
            raise RuntimeError(f"{TURNS_MAX} callbacks, and no time passes: {[actor.name for actor in self._able]}")
        self._moment, self._turns = now, 0

    def actor_of(self, handle: asyncio.Handle) -> Actor:
        """Whose callback it is."""
        actor: Actor = handle._context.get(_ACTOR, self._world)  # type: ignore[attr-defined]
        return actor

    def clear(self) -> None:
        self._able.clear()

    def hold(self, actor: Actor) -> None:
        """Run nothing of this actor from now on."""
        if not actor.is_held:
            actor.is_held = True
            if actor.ready:
                self._able.remove(actor)

    def let_go(self, actor: Actor) -> None:
        """Run it again, beginning with what became ready meanwhile."""
        if actor.is_held:
            actor.is_held = False
            if actor.ready:
                self._able.append(actor)
