"""Whether the data plane's loop still runs, as the keeper hears it from its own thread (law L4).

    heard ─ no word for `stall_timeout`; while the worker leaves, for its grace as well ─→ blocked

Who is blocked cannot be helped by anybody: the worker leaves the fleet, so that others may have all its leases, and
ends with an error. Silence is counted in looks of our own: a process that was suspended as a whole was not blocked.
"""

import asyncio
import math
from collections.abc import Callable

from kcl_py.config import Config
from kcl_py.retrying import Sleep
from kcl_py.runtime.mailbox import LOOKS_PER_STALL


class PlaneWatch:
    """Of one keeper."""

    def __init__(self, config: Config, *, is_leaving: Callable[[], bool], sleep: Sleep = asyncio.sleep) -> None:
        self._look_seconds = config.stall_timeout_seconds / LOOKS_PER_STALL
        self._looks_of_grace = math.ceil(config.shutdown_grace_seconds / self._look_seconds)
        self._is_leaving = is_leaving
        self._sleep = sleep
        self._silent_looks = 0

    def heard(self) -> None:
        """The data plane said that it lives."""
        self._silent_looks = 0

    async def wait_until_blocked(self) -> None:
        """Return when its loop has not run for too long, which may be never."""
        while self._silent_looks <= LOOKS_PER_STALL + self._is_leaving() * self._looks_of_grace:
            await self._sleep(self._look_seconds)
            self._silent_looks += 1
