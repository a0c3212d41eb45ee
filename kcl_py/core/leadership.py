"""The leader lock: one item, whoever keeps renewing its version leads (fleet.md, section 4; protocol reference, 3.5).

Leadership is only for planning. Losing it harms nothing, and two leaders for a moment cannot either, because every
assignment is conditional. The item is that of the Java lock client; it carries its own duration.
"""

import msgspec

from kcl_py.core.session import is_native_owner

LOCK_KEY = "Leader"
"""The lock item's key; no worker or shard may be called so."""


class LeaderLock(msgspec.Struct, frozen=True, kw_only=True):
    """The lock item as last seen. Guarded by its version and owner: whoever writes names both."""

    owner: str  # a session's key
    version: str  # drawn anew with every write
    duration_ms: int  # how long a version may stay the same before the lock is free
    is_released: bool = False  # a client that leaves may say so instead of deleting the item
    standby: str | None = None  # the session that takes the lock first; ours alone, Java clients leave it out


class LockWatch:
    """What one observer knows of the lock. `now` is the observer's own clock in seconds, and only grows.

    Attributes:
        lock: as last seen.
        is_led: the version was seen to move at some time: a leader lived then.
    """

    def __init__(self) -> None:
        self.lock: LeaderLock | None = None
        self._since = 0.0  # when this version was first seen, or watching began anew
        self.is_led = False

    def saw(self, lock: LeaderLock | None, now: float) -> None:
        """Note what a consistent read found, whose answer arrived at `now`: it may have stood so only since then."""
        if lock is None or self.lock is None or lock.version != self.lock.version:
            self.is_led = self.is_led or (lock is not None and self.lock is not None)
            self._since = now
        self.lock = lock

    def restart(self, now: float) -> None:
        """Our own writes failed, or we were not looking: a silence that began before says nothing."""
        self._since = now

    def is_free(self, now: float, patience_seconds: float = 0.0) -> bool:
        """True if the lock may be taken.

        Args:
            now: our clock.
            patience_seconds: how much longer than the lock's own duration to wait; a standby need not.
        """
        lock = self.lock
        if lock is None or lock.is_released:
            return True
        # an item of a Java worker's is what a fleet left behind that was taken over: its workers are stopped
        return not is_native_owner(lock.owner) or now - self._since > lock.duration_ms / 1000 + patience_seconds
