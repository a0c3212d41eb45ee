"""What every event is."""

from collections.abc import Callable
from typing import Literal

import msgspec

Level = Literal["debug", "info", "warning", "error"]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """The root of every event."""

    level: Level = "info"


class ShardEvent(Event, frozen=True, kw_only=True):
    """Something about one shard that this worker holds, or wants."""

    shard_id: str


Listener = Callable[[Event], None]
"""Called on the worker's loop, or the keeper's; must return at once. An exception in it is swallowed and counted."""
