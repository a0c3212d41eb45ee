"""Reading ahead within a byte budget."""

import asyncio

import pytest

from kcl_py.core.record import Record
from kcl_py.interfaces import Page
from kcl_py.runtime.data.buffer import ByteBudget, PageBuffer
from tests.virtual_time import run

RECORD = Record(data=b"", partition_key="k", sequence_number="1", arrival_timestamp_seconds=0.0)


def page(size_bytes: int) -> Page:
    return Page(records=[RECORD], next_iterator="next", size_bytes=size_bytes)


async def is_waiting(task: asyncio.Task[object]) -> bool:
    await asyncio.sleep(1)
    return not task.done()


def test_a_third_page_waits_until_the_first_was_let_go():
    async def story():
        buffer = PageBuffer(ByteBudget(10_000_000))
        for _ in range(2):
            buffer.put(page(10), await buffer.reserve())
        third = asyncio.create_task(buffer.reserve())
        assert await is_waiting(third)
        await buffer.get()
        assert await is_waiting(third), "the first page is still in the consumer's hands"
        await buffer.get()
        buffer.put(page(10), await third)
        buffer.release_all()

    run(story())


def test_the_budget_is_given_back_to_the_byte():
    async def story():
        budget = ByteBudget(10_000_000)
        buffer = PageBuffer(budget)
        for size in (10, 700):
            buffer.put(page(size), await buffer.reserve())
        assert budget.used == 710
        await buffer.get()
        reserved = await asyncio.wait_for(PageBuffer(budget).reserve(), 1)
        budget.release(reserved)
        buffer.release_all()
        assert budget.used == 0

    run(story())


def test_a_shard_with_empty_hands_passes_those_that_fill_the_budget():
    async def story():
        budget = ByteBudget(1_000)
        full = PageBuffer(budget)
        full.put(page(1_000), await full.reserve())
        more = asyncio.create_task(full.reserve())
        assert await is_waiting(more)
        starved = PageBuffer(budget)
        starved.put(page(400), await asyncio.wait_for(starved.reserve(), 1))
        other = asyncio.create_task(PageBuffer(budget).reserve())
        assert await is_waiting(other), "only one page goes beyond the budget"
        starved.release_all()
        assert await asyncio.wait_for(other, 1) > 0
        more.cancel()
        await asyncio.gather(more, return_exceptions=True)
        full.release_all()

    run(story())


def test_a_shard_whose_processor_has_a_page_in_its_hands_does_not_pass():
    async def story():
        budget = ByteBudget(1_000)
        full = PageBuffer(budget)
        full.put(page(1_000), await full.reserve())
        assert await full.get() is not None
        second = asyncio.create_task(full.reserve())
        assert await is_waiting(second)
        closing = asyncio.create_task(full.get())
        assert not await is_waiting(second), "its hands are empty"
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        full.give_back(await second)
        full.release_all()
        assert budget.used == 0

    run(story())


def test_a_cancelled_wait_takes_nothing():
    async def story():
        budget = ByteBudget(1_000)
        await budget.reserve(1_000, holds_nothing=lambda: False)
        waiting = asyncio.create_task(budget.reserve(500, holds_nothing=lambda: False))
        await asyncio.sleep(0)
        budget.release(1_000)  # grants the turn ...
        waiting.cancel()  # ... which is never used
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert budget.used == 0

    run(story())


def test_room_that_is_given_back_while_others_are_cancelled_goes_to_none_of_them():
    """All shards of a worker stop at once: one gives its room back before the others took back what they asked."""

    async def story():
        budget = ByteBudget(1_000)
        await budget.reserve(1_000, holds_nothing=lambda: False)
        waiting = [asyncio.create_task(budget.reserve(500, holds_nothing=lambda: False)) for _ in range(3)]
        await asyncio.sleep(0)
        for task in waiting[:2]:
            task.cancel()
        budget.release(1_000)
        await asyncio.wait(waiting)
        assert [task.cancelled() for task in waiting] == [True, True, False]
        assert budget.used == 500

    run(story())


def test_a_large_wish_that_is_taken_back_lets_the_smaller_ones_behind_it_pass():
    async def story():
        budget = ByteBudget(1_000)
        await budget.reserve(600, holds_nothing=lambda: False)
        large = asyncio.create_task(budget.reserve(900, holds_nothing=lambda: False))
        small = asyncio.create_task(budget.reserve(100, holds_nothing=lambda: False))
        assert await is_waiting(small)
        large.cancel()
        assert not await is_waiting(small)
        assert budget.used == 700

    run(story())


def test_after_an_empty_page_no_more_is_reserved_than_a_second_of_writes():
    async def story():
        budget = ByteBudget(50_000_000)
        buffer = PageBuffer(budget)
        buffer.put(page(9_000_000), await buffer.reserve())
        await buffer.get()
        assert await buffer.reserve() == 9_000_000
        buffer.put(Page(records=[], next_iterator="next"), 9_000_000)
        assert await buffer.reserve() == 2**20
        buffer.release_all()

    run(story())


def test_closing_wakes_the_consumer_and_drops_what_was_read_ahead():
    async def story():
        budget = ByteBudget(1_000)
        buffer = PageBuffer(budget)
        waiting = asyncio.create_task(buffer.get())
        assert await is_waiting(waiting)
        buffer.close()
        assert await waiting is None
        buffer.put(page(9), await buffer.reserve())
        assert budget.used == 0

    run(story())


def test_a_shard_whose_hands_became_empty_while_it_waited_is_not_starved_by_what_idle_ones_reserve():
    async def story():
        budget = ByteBudget(2_100_000)
        busy, *idle = (PageBuffer(budget) for _ in range(3))
        busy.put(page(600_000), await busy.reserve())
        await busy.get()
        for one in idle:
            await one.reserve()
        more = asyncio.create_task(busy.reserve())
        assert await is_waiting(more), "its page is still in the consumer's hands"
        following = asyncio.create_task(busy.get())
        assert not await is_waiting(more)
        busy.close()
        await following

    run(story())


def test_a_page_that_tells_nothing_gives_its_room_back():
    async def story():
        budget = ByteBudget(10_000_000)
        buffer = PageBuffer(budget)
        buffer.put(Page(records=[], next_iterator="next"), await buffer.reserve())
        assert budget.used == 0
        buffer.close()
        assert await buffer.get() is None

    run(story())
