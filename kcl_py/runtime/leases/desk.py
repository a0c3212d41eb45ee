"""What all leases of one worker share in the control plane."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from kcl_py.config import Config
from kcl_py.core.lease import Lease
from kcl_py.interfaces import LeaseTable
from kcl_py.retrying import Sleep
from kcl_py.runtime.discovery import Discovery
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.leases.succession import Succession
from kcl_py.runtime.mailbox import Box, FromKeeper


class Desk(msgspec.Struct, kw_only=True):
    """Handed to everything that deals with held leases.

    Attributes:
        session: our session's key; None while there is none.
        is_session_live: whether our own deadline is still ahead.
        without_us: who would inherit if this worker were not there.
        spawn: runs something beside, until it ends or the worker quits.
        clock: shared with the data plane, seconds.
        succession: who gets what we let go; None unless this worker is leaving.
    """

    table: LeaseTable
    discovery: Discovery
    to_data_plane: Box[FromKeeper]
    config: Config
    session: Callable[[], str | None]
    is_session_live: Callable[[], bool]
    without_us: Callable[[], Succession]
    spawn: Callable[[Coroutine[Any, Any, object]], asyncio.Task[object] | None]
    clock: Callable[[], float]
    emit: Emitter
    sleep: Sleep = asyncio.sleep
    succession: Succession | None = None

    async def heir_of_stalled(self, lease: Lease, may_restart: bool) -> str | None:
        """We ourselves, in a new epoch; or whom the plan picks without us; or nobody, because nobody else is there."""
        if may_restart:
            return self.session()
        succession = self.without_us()
        await succession.read()
        succession.open()
        return await succession.heir_of(lease)
