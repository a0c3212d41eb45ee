"""What may fail for a while: it is said, and tried again later; and what may not."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from kcl_py.errors import TROUBLE, TableMissing
from kcl_py.events import ServiceTrouble
from kcl_py.runtime.emitter import Emitter


async def through_trouble(operation: str, work: Coroutine[Any, Any, None], emit: Emitter) -> bool:
    """Do something that is tried again later; False if a service was in the way.

    Args:
        operation: what it is called when it fails.
        work: what to do.
        emit: where it is said.
    """
    is_done = True
    try:
        await work
    except* TROUBLE as group:
        emit(ServiceTrouble(operation=operation, reason=str(group.exceptions[0])))
        is_done = False
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError  # a group of tasks that fails while it is cancelled tells only of the failure
    return is_done


def deleted(group: BaseExceptionGroup[TableMissing]) -> TableMissing:
    """Say of a table that was there what is to be done now."""
    gone: BaseException = group
    while isinstance(gone, BaseExceptionGroup):
        gone = gone.exceptions[0]
    return TableMissing(
        f"{gone}: it was deleted while it was used. Restore it from a backup; or start again, which makes a new one "
        "and begins at the start position, so that records repeat or are passed over"
    )
