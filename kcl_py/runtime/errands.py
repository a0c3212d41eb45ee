"""What the keeper has others do beside: requests that are served, hand-offs, its departure."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Errands:
    """Tasks of a group, which one may cut off together; one that fails takes the group down, loudly."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[object]] = set()

    def open(self, group: asyncio.TaskGroup) -> None:
        """Run what is begun from now on in this group."""
        self._group = group

    def begin(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[object] | None:
        """Begin an errand; None if the group has failed already, and is going down."""
        assert self._group is not None
        try:
            task = self._group.create_task(work)
        except RuntimeError:
            work.close()
            return None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def cut_off(self) -> None:
        """Cancel whatever still runs, and wait until it has ended."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def __len__(self) -> int:
        return len(self._tasks)
