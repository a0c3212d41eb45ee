"""A worker's session: one beating entry that all its leases live and die with (fleet.md, section 2)."""

import re
from typing import Self

import msgspec

PROTOCOL = 1
_OWNER = re.compile(r"[^@]+@[0-9a-f]{8}")


def is_native_owner(owner: str) -> bool:
    """True for an owner string that a kcl_py session made: `<worker_id>@<8 hex>`."""
    return _OWNER.fullmatch(owner) is not None


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """Which process keeps a session, so that its successor on the same host can prove that it is gone.

    Attributes:
        boot_id: the kernel's id of this boot.
        pid_namespace: the inode of the PID namespace, which tells containers apart.
        pid: within that namespace.
        started_ticks: the process's start time in clock ticks since boot; a reused pid has another.
    """

    boot_id: str
    pid_namespace: str
    pid: int
    started_ticks: int


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A worker entry of the lease table. Guarded by (`beat`, `is_revoked`): whoever writes names both as last seen."""

    key: str  # <worker_id>@<8 hex>, drawn anew for every session
    beat: int = 0  # only ever grows
    is_revoked: bool = False  # set by others, never taken back
    is_leaving: bool = False
    protocol: int = PROTOCOL
    process: Process | None = None
    updated_at_seconds: int = 0  # `lut`, wall clock, for Java readers and humans; never compared
    leases_max: int | None = None  # it is given no more than these; None = no limit
    cpu_percents: tuple[float, ...] = ()  # averages of the last intervals, oldest first, for Java leaders; -1 = unknown

    @property
    def worker_id(self) -> str:
        """The worker id that people chose, without the session's suffix."""
        return self.key.rpartition("@")[0]

    def beaten(self, updated_at_seconds: int, cpu_percents: tuple[float, ...] = ()) -> Self:
        """The next beat."""
        return msgspec.structs.replace(
            self, beat=self.beat + 1, updated_at_seconds=updated_at_seconds, cpu_percents=cpu_percents
        )

    def revoked(self) -> Self:
        """Dead to the fleet: its next beat fails."""
        return msgspec.structs.replace(self, is_revoked=True)

    def leaving(self) -> Self:
        """Still beating, to be given nothing more."""
        return msgspec.structs.replace(self, is_leaving=True)
