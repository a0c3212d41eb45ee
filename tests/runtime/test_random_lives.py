"""Workers that come, go and crash while a stream is split and merged at random and the doors misbehave.

Everything follows from the seed. The laws are those of the guarantees: nothing is missing (S2), an epoch's deliveries
follow each other (S3), a key's first deliveries are in put order across every reshard (S4), checkpoints never go back
(S5), and what a checkpoint covers was processed (S1).
"""

import asyncio
import random
from collections import defaultdict

import pytest

from kcl_py.core.batch import RecordBatch
from kcl_py.core.checkpoint import Checkpoint
from kcl_py.core.shard import Shard
from kcl_py.errors import ServiceUnavailable
from kcl_py.local import requests
from kcl_py.local.answers import PutRecordAnswer
from kcl_py.local.doors import LocalStream
from kcl_py.local.faults import ChildShardsDropped, Delayed, Effect, ListingStale, Refused, throttled
from kcl_py.local.faults import Fault as StreamFault
from kcl_py.local.faults import Operation as StreamOperation
from kcl_py.local.faulty_lease_table import Fault
from kcl_py.local.kinesis_error import KinesisError
from kcl_py.processor import Checkpointer
from tests.runtime.bench import STREAM, BenchWorker, Recording, Site
from tests.virtual_time import run

KEYS = 12
LIFE_SECONDS = 150
QUIET_SECONDS = 240


class Story(Site):
    """A site with a memory of everything that the laws are about."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        super().__init__(shards=self.dice.randint(1, 6))
        self.produced: defaultdict[str, int] = defaultdict(int)
        self.firsts: defaultdict[str, list[int]] = defaultdict(list)
        self.epochs: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
        self.put_into: defaultdict[str, list[int]] = defaultdict(list)  # sequence numbers by shard
        self.done: defaultdict[str, set[int]] = defaultdict(set)  # of them, those whose batch was processed
        self.checkpoints: dict[str, Checkpoint] = {}
        self.reshards = 0
        self.is_failing = False

    def produce(self) -> None:
        for _ in range(self.dice.randint(1, 8)):
            key = f"key-{self.dice.randrange(KEYS)}"
            data = f"{key} {self.produced[key]}".encode()
            answer = self.ask(requests.PutRecord(stream_name=STREAM, data=data, partition_key=key))
            assert isinstance(answer, PutRecordAnswer)
            self.put_into[answer.shard_id].append(int(answer.sequence_number))
            self.produced[key] += 1

    async def reshard(self) -> None:
        listed = await LocalStream(self.model, STREAM).list_shards()
        shards = sorted((shard for shard in listed if not shard.is_closed), key=lambda shard: shard.hash_range)
        try:
            if len(shards) > 1 and self.dice.random() < 0.5:
                at = self.dice.randrange(len(shards) - 1)
                self.merge(shards[at].shard_id, shards[at + 1].shard_id)
            else:
                self._split(self.dice.choice(shards))
        except KinesisError:
            return  # too small a shard, or the last reshard is not over: another time
        self.reshards += 1

    def _split(self, shard: Shard) -> None:
        self.split(shard.shard_id, (shard.hash_range.start + shard.hash_range.end) // 2)

    async def watch(self) -> None:
        """Look at every checkpoint: forward only, and never past what was not processed."""
        for lease in (await self.memory.snapshot()).leases:
            before = self.checkpoints.get(lease.key, lease.checkpoint)
            assert lease.checkpoint >= before, f"S5: {lease.key} went from {before} back to {lease.checkpoint}"
            self.checkpoints[lease.key] = lease.checkpoint
            if lease.is_finished or lease.checkpoint.is_number:
                covered = [n for n in self.put_into[lease.key] if Checkpoint(str(n)) <= lease.checkpoint]
                assert self.done[lease.key].issuperset(covered), f"S1: {lease.key} at {lease.checkpoint}"


class Journal(Recording):
    """Sometimes fails, sometimes is slow; notes what it got and what it finished."""

    site: Story

    async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        epoch = (self.context.shard_id, self.context.fencing_token)
        site = self.site
        if site.is_failing and site.dice.random() < 0.1:
            raise ValueError("now and then")
        for record in records:
            key, _, number = record.data.decode().partition(" ")
            site.epochs[epoch].append(int(record.sequence_number))
            if int(number) not in site.firsts[key]:
                site.firsts[key].append(int(number))
        await asyncio.sleep(site.dice.choice([0, 0, 0.1, 2.0]))
        site.done[self.context.shard_id].update(int(record.sequence_number) for record in records)


def faulty(story: Story, worker: BenchWorker) -> None:
    """Give both doors of a worker a random set of troubles."""
    dice = story.dice
    for _ in range(dice.randint(0, 12)):
        worker.table.faults.append(
            Fault(
                kind=dice.choice(["fail", "lose_answer", "throttle", "delay", "delay_answer"]),
                operation=dice.choice(["write", "write", "write_session", "create", "snapshot", "lease", "session"]),
                nth=dice.randint(1, 25),
                seconds=dice.uniform(0, 3),
            )
        )
    effects: list[tuple[StreamOperation, Effect]] = [
        ("read", throttled()),
        ("open", Refused(ServiceUnavailable("500"))),
        ("read", Refused(ServiceUnavailable("500"))),
        ("read", Delayed(dice.uniform(0, 4))),
        ("read", ChildShardsDropped()),
        ("list_shards", Delayed(dice.uniform(0, 4))),  # a door tries a refused listing again by itself
        ("list_shards", ListingStale(dice.uniform(1, 50))),
    ]
    for _ in range(dice.randint(0, 5)):
        operation, effect = dice.choice(effects)
        worker.stream.faults.append(
            StreamFault(operation=operation, effect=effect, chance=dice.uniform(0, 0.3), times=300)
        )


async def live(seed: int) -> Story:
    story = Story(seed)
    dice = story.dice
    story.is_failing = dice.random() < 0.5
    workers: list[BenchWorker] = []
    count = 0
    for second in range(LIFE_SECONDS):
        story.produce()
        if dice.random() < 0.05 and story.reshards < 8:
            await story.reshard()
        if len(workers) < dice.randint(1, 2) and dice.random() < 0.3:
            count += 1
            worker = BenchWorker(story, Journal, worker_id=f"w{count}", checkpoint_interval_seconds=2)
            faulty(story, worker)
            workers.append(worker)
        if workers and dice.random() < 0.03:
            leaving = workers.pop(dice.randrange(len(workers)))
            await (leaving.crash() if dice.random() < 0.6 else leaving.drain())
        await asyncio.sleep(1)
        await story.watch()
        for worker in workers:
            assert worker.failure is None, f"second {second}: {worker.failure!r}"
    story.is_failing = False
    for worker in workers:
        worker.table.faults.clear()
        worker.stream.faults.clear()
    if not workers:
        workers.append(BenchWorker(story, Journal, worker_id="last"))
    for _ in range(QUIET_SECONDS // 10):
        await asyncio.sleep(10)
        await story.watch()
    for worker in workers:
        await worker.drain()
    await story.watch()
    return story


@pytest.mark.parametrize("seed", range(25))
def test_every_law_holds_in_a_random_life(seed):
    story = run(live(seed))
    for key, count in story.produced.items():
        missing = set(range(count)) - set(story.firsts[key])
        assert not missing, f"S2: {key} lacks {sorted(missing)[:5]}"
        assert story.firsts[key] == sorted(story.firsts[key]), f"S4: {key} came out of order"
    for epoch, numbers in story.epochs.items():
        assert numbers == sorted(set(numbers)), f"S3: {epoch} does not increase strictly"


def test_random_lives_are_worth_living():
    stories = [run(live(seed)) for seed in (1, 2, 3)]
    assert all(sum(story.produced.values()) > 300 for story in stories)
    assert sum(story.reshards for story in stories) >= 6
    assert max(token for story in stories for _, token in story.epochs) > 3
