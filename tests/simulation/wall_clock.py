"""The wall clock of all workers, which somebody sets now and then."""

import asyncio
from contextlib import AbstractContextManager
from unittest.mock import patch

from kcl_py.runtime import heartbeat

_BEGIN_SECONDS = 1_790_000_000.0


class WallClock:
    """Stands in for the module `time`, of which a heartbeat wants to know what it writes for people to read."""

    def __init__(self) -> None:
        self._offset = _BEGIN_SECONDS

    def time(self) -> float:
        """Seconds since the epoch, or so it says."""
        return asyncio.get_running_loop().time() + self._offset

    def jump(self, seconds: float) -> None:
        """Somebody sets it."""
        self._offset += seconds

    def shown(self) -> AbstractContextManager[object]:
        """Workers look at this clock."""
        return patch.object(heartbeat, "time", self)
