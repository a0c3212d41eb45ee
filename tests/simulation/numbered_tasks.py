"""Tasks whose order in a set follows from the order in which they were made, and not from where they lie in memory.

asyncio keeps the tasks of a group in a set, and cancels them in the order of that set.
"""

import asyncio
import itertools
from collections.abc import Coroutine
from typing import Any


class NumberedTask(asyncio.Task[Any]):
    """Its hash is its number."""

    def __init__(self, *arguments: Any, number: int, **options: Any) -> None:
        self._number = number  # first: the loop keeps its tasks in a set as well
        super().__init__(*arguments, **options)

    def __hash__(self) -> int:
        return self._number


def number_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Number all tasks of a loop from here on."""
    numbers = itertools.count(1)

    def make(
        loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
    ) -> "asyncio.Task[Any]":
        return NumberedTask(coroutine, loop=loop, number=next(numbers), **options)

    loop.set_task_factory(make)  # type: ignore[arg-type]
