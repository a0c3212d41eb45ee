"""Deliveries pause at the deadline and go on once it moves, and both are said once."""

import asyncio

from kcl_py.events import DeliveryPaused, DeliveryResumed, Event
from kcl_py.runtime.data.deadline import Deadline
from kcl_py.runtime.emitter import Emitter
from tests.virtual_time import run


def test_a_pause_and_its_end_are_said_once_however_many_shards_wait():
    async def story():
        said: list[Event] = []
        clock = asyncio.get_running_loop().time
        deadline = Deadline(clock, Emitter((said.append,)))
        deadline.extend(clock() + 1)
        await deadline.wait_until_ahead()
        deadline.extend(clock() + 2)
        await asyncio.sleep(2)
        assert not deadline.is_ahead, "at the deadline nothing begins any more"
        waiting = [asyncio.create_task(deadline.wait_until_ahead()) for _ in range(3)]
        await asyncio.sleep(1)
        deadline.extend(clock() - 0.5)  # a beat that took too long
        await asyncio.sleep(1)
        assert [type(one) for one in said] == [DeliveryPaused]
        assert not any(task.done() for task in waiting)
        deadline.extend(clock() + 2)
        await asyncio.gather(*waiting)
        deadline.extend(clock() + 3)
        assert [type(one) for one in said] == [DeliveryPaused, DeliveryResumed]

    run(story())
