"""Processors raise, are slow, and get much to do."""

import asyncio
import itertools

from kcl_py.core.batch import RecordBatch
from kcl_py.processor import Checkpointer
from tests.simulation.facts import Done, Put, Raised
from tests.simulation.journals import Journal, ManualJournal
from tests.simulation.sabotage.scenes.scene import (
    CAP,
    FAILOVER_SECONDS,
    PAGE,
    SETTINGS,
    at_rest,
    recruit,
    scene,
    settled,
    slow,
    under_load,
)
from tests.simulation.simulation import Simulation


@scene()
async def failing(fleet: Simulation) -> None:
    """Processors raise now and then; those of one worker always, for a while; then that worker leaves."""
    await settled(fleet, 2)
    calls = itertools.count(1)
    fleet.workers["w0"].is_failing = lambda: next(calls) % 3 == 0
    await under_load(fleet, 20)
    fleet.workers["w1"].is_failing = lambda: True
    await under_load(fleet, 25)
    await fleet.leave("w1")
    await under_load(fleet, 30)
    fleet.workers["w0"].is_failing = lambda: False
    await at_rest(fleet)


@scene()
async def mended(fleet: Simulation) -> None:
    """The processors of one worker always raise, for a while."""
    await settled(fleet, 2)
    fleet.workers["w1"].is_failing = lambda: True
    await under_load(fleet, 45)
    fleet.workers["w1"].is_failing = lambda: False
    await under_load(fleet, 20)
    await at_rest(fleet)


@scene(shards=2, repeats_max=CAP + 4 * PAGE)
async def aggregates(fleet: Simulation) -> None:
    """KPL aggregates; processors checkpoint within them, and a worker dies."""
    for name in "ab":
        fleet.join(name, journal=ManualJournal, **SETTINGS)
    await under_load(fleet, 30, aggregate_max=6, count=8)
    fleet.crash("a")
    await under_load(fleet, 30, aggregate_max=6, count=8)
    await at_rest(fleet)


@scene(shards=1, repeats_max=5 + 5, checkpoint_seconds=60)
async def many_records(fleet: Simulation) -> None:
    """More records than may be uncheckpointed; a worker dies in their midst."""
    fleet.put(600)
    recruit(fleet, "a", uncheckpointed_records_max=5, read_limit=5, checkpoint_interval_seconds=60.0)
    fleet.everybody[0].processing_seconds = lambda: 0.05
    await asyncio.sleep(6)
    fleet.crash("a")
    recruit(fleet, "b", uncheckpointed_records_max=5, read_limit=5)
    await asyncio.sleep(60)
    await at_rest(fleet, 60)


class _FailingInMost(Journal):
    """Raises in every shard but the last one."""

    async def _process(self, noted: tuple[Put, ...]) -> None:
        await asyncio.sleep(self.worker.processing_seconds())
        if not self.context.shard_id.endswith("3") and self.worker.is_failing():
            self._note(Raised, noted)
            raise ValueError("in this shard")


@scene(page_bytes_max=1 << 20)
async def most_shards_fail(fleet: Simulation) -> None:
    """All shards of a worker but one fail for a while; there is much to do in all of them, and the buffer is small."""
    for _ in range(60):
        fleet.put(4, padding=200_000)
        await asyncio.sleep(1)
    few = {"buffer_bytes_max": 1 << 20, "read_limit": 5, "retry_attempts": 2, "retry_stopped_seconds": 60.0}
    recruit(fleet, "a", journal=_FailingInMost, **few)
    slow(fleet, FAILOVER_SECONDS + 5)  # before that nobody is judged
    await asyncio.sleep(FAILOVER_SECONDS + 1)
    slow(fleet, 0.0)
    await asyncio.sleep(4.5)
    fleet.everybody[0].is_failing = lambda: True
    await asyncio.sleep(50)
    fleet.everybody[0].is_failing = lambda: False
    await at_rest(fleet, 120)


class _Hasty(Journal):
    """Asks for two checkpoints at once, the later one first."""

    checkpointing = "manual"

    async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        self._note(Done, self._seen(records))
        await asyncio.gather(checkpointer.checkpoint(records[-1]), checkpointer.checkpoint(records[0]))


@scene(shards=2)
async def two_checkpoints_at_once(fleet: Simulation) -> None:
    """A processor asks for the checkpoint of its last record, and for that of its first before it has the answer."""
    recruit(fleet, "a", journal=_Hasty)
    for _ in range(3):
        await asyncio.sleep(5)
        fleet.put(20)
    await at_rest(fleet)


@scene(shards=8, page_bytes_max=1 << 20)
async def large_pages(fleet: Simulation) -> None:
    """Large records, a small buffer and slow processors."""
    for _ in range(40):
        fleet.put(4, padding=200_000)
        await asyncio.sleep(1)
    recruit(fleet, "a", buffer_bytes_max=2 << 20, read_limit=5)
    fleet.everybody[0].processing_seconds = lambda: 2.0
    await asyncio.sleep(20)
    fleet.everybody[0].processing_seconds = lambda: 0.0
    await at_rest(fleet, 30)
