"""One session and its entry: how often it beats, whose beats it takes for its own, and how it goes."""

import asyncio
import itertools
import random

import msgspec
import pytest

from kcl_py.core.session import Session
from kcl_py.local.faulty_lease_table import Fault, FaultyLeaseTable
from kcl_py.local.memory_lease_table import MemoryLeaseTable
from kcl_py.runtime.heartbeat import Heartbeat, SessionEnded
from tests.virtual_time import run

FAILOVER_SECONDS = 9.0


class Stage:
    """A heartbeat that has joined, and its table."""

    def __init__(self) -> None:
        self.memory = MemoryLeaseTable(exists=True)
        self.table = FaultyLeaseTable(self.memory)
        self.beats_at: list[float] = []
        self.heartbeat = self.another()

    def another(self, seed: int = 1) -> Heartbeat:
        clock = asyncio.get_running_loop().time
        return Heartbeat(
            self.table,
            worker_id="w1",
            process=None,
            failover_seconds=FAILOVER_SECONDS,
            clock=clock,
            on_deadline=lambda _: None,
            on_landed=lambda: self.beats_at.append(clock()),
            on_trouble=lambda _: None,
            rng=random.Random(seed),
        )

    async def entry(self) -> Session | None:
        return await self.memory.session(self.heartbeat.key)

    def writes(self) -> int:
        return sum(call.operation == "write_session" for call in self.table.calls)

    async def abandon_a_beat(self) -> None:
        """It lands, and nobody hears of it: who waited was cancelled."""
        self.table.faults.append(Fault(kind="delay_answer", operation="write_session", seconds=5, times=1))
        beating = asyncio.create_task(self.heartbeat.beat())
        await asyncio.sleep(1)
        beating.cancel()
        await asyncio.wait([beating])


async def joined() -> Stage:
    stage = Stage()
    await stage.heartbeat.join()
    await stage.heartbeat.beat()
    return stage


async def kept(stage: Stage, seconds: float) -> list[float]:
    """How far its beats lie apart."""
    keeping = asyncio.create_task(stage.heartbeat.keep())
    await asyncio.sleep(seconds)
    keeping.cancel()
    await asyncio.wait([keeping])
    at = stage.beats_at[2:]
    return [later - earlier for earlier, later in itertools.pairwise(at)]


def test_it_beats_three_times_per_failover_time_and_never_quite_evenly():
    async def story():
        gaps = await kept(await joined(), 90)
        assert len(gaps) >= 28
        assert all(2.69 < gap < 3.01 for gap in gaps)
        assert len({round(gap, 3) for gap in gaps}) > 5

    run(story())


def test_slow_answers_do_not_make_it_beat_less_often():
    async def story():
        stage = await joined()
        stage.table.faults.append(Fault(kind="delay_answer", operation="write_session", seconds=2.0))
        assert len(await kept(stage, 90)) >= 28

    run(story())


def test_a_session_key_that_is_taken_is_left_to_whoever_has_it():
    async def story():
        stage = await joined()
        theirs = await stage.entry()
        late = stage.another()  # draws the same suffix first
        await late.join()
        assert late.key != stage.heartbeat.key
        assert await stage.entry() == theirs

    run(story())


def test_a_beat_of_the_session_before_that_ends_after_a_join_changes_nothing():
    async def story():
        stage = await joined()
        stage.table.faults.append(Fault(kind="delay_answer", operation="write_session", seconds=5, times=1))
        beating = asyncio.create_task(stage.heartbeat.beat())
        await asyncio.sleep(1)
        before = stage.heartbeat.key
        await stage.heartbeat.join()
        await beating
        assert stage.heartbeat.key != before
        await stage.heartbeat.beat()
        entry = await stage.entry()
        assert entry is not None
        assert entry.beat == 1

    run(story())


def test_a_beat_whose_answer_was_lost_is_found_and_not_written_again():
    async def story():
        stage = await joined()
        stage.table.faults.append(Fault(kind="lose_answer", operation="write_session", times=1))
        before = stage.writes()
        await stage.heartbeat.beat()
        assert stage.writes() - before == 2
        assert stage.heartbeat.session == await stage.entry()

    run(story())


def test_an_entry_that_was_set_back_is_no_beat_of_ours():
    async def story():
        stage = await joined()
        for _ in range(3):
            await stage.heartbeat.beat()
        entry = stage.heartbeat.session
        await stage.memory.write_session(entry, msgspec.structs.replace(entry, beat=1))
        await stage.heartbeat.beat()
        assert await stage.entry() == stage.heartbeat.session
        assert stage.heartbeat.session.beat == entry.beat + 1

    run(story())


@pytest.mark.parametrize("end", ["revoked", "deleted", "overwritten"])
def test_a_session_whose_entry_says_so_is_over(end):
    async def story():
        stage = await joined()
        entry = stage.heartbeat.session
        await stage.memory.write_session(entry, entry.revoked() if end == "revoked" else None)
        if end == "overwritten":
            stage.memory.odd_rows[entry.key] = "overwritten"
        with pytest.raises(SessionEnded):
            await asyncio.wait_for(stage.heartbeat.beat(), 60)
        await asyncio.wait_for(stage.heartbeat.delete(), 60)

    run(story())


def test_who_leaves_is_marked_and_stays_so():
    async def story():
        stage = await joined()
        await stage.heartbeat.leave()
        await stage.heartbeat.beat()
        entry = await stage.entry()
        assert entry is not None
        assert entry.is_leaving
        assert entry.beat == 3

    run(story())


def test_a_beat_that_landed_unheard_of_does_not_stand_for_the_mark():
    async def story():
        stage = await joined()
        await stage.abandon_a_beat()
        await stage.heartbeat.leave()
        entry = await stage.entry()
        assert entry is not None
        assert entry.is_leaving

    run(story())


def test_a_beat_that_landed_unheard_of_does_not_keep_the_entry():
    async def story():
        stage = await joined()
        await stage.abandon_a_beat()
        await asyncio.wait_for(stage.heartbeat.delete(), 60)
        assert await stage.entry() is None

    run(story())


def test_the_entry_goes_after_the_beat_that_is_under_way():
    async def story():
        stage = await joined()
        stage.table.faults.append(Fault(kind="delay", operation="write_session", seconds=3, times=1))
        await asyncio.gather(stage.heartbeat.beat(), stage.heartbeat.delete())
        assert await stage.entry() is None

    run(story())
