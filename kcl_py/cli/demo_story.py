"""The demo's story: a stream, two workers, a split, a merge and a death, without AWS."""

import asyncio
import importlib.util
import os
import sys
from collections.abc import Callable

import click

from kcl_py.aws.connection import Connection
from kcl_py.aws.producer import Producer
from kcl_py.cli import demo_worker
from kcl_py.cli.demo_facts import Fact, FactReader, Killed, Processed, Scribe
from kcl_py.cli.demo_ledger import Ledger
from kcl_py.cli.demo_picture import Picture, show_lines, show_live
from kcl_py.cli.demo_worker import ONE, STREAM, TWO, DemoWorker
from kcl_py.core.shard import Shard
from kcl_py.events import Event, LeaseGivenUp, LeaseHandedOver, LeasePickedUp, LeaseWasLost, ShardFinished
from kcl_py.interfaces import LeaseTable
from kcl_py.local import requests
from kcl_py.local.endpoints import LocalEndpoints
from kcl_py.local.kinesis_server import KinesisServer
from kcl_py.local.memory_lease_table import MemoryLeaseTable
from kcl_py.local.server_thread import ServerThread

SHARDS = 4
BATCHES_PER_SECOND = 8
PAUSE_SECONDS = 1.2  # so that one sees what happened
SCENE_SECONDS_MAX = 25.0
_POLL_SECONDS = 0.1


def tell(*, is_live: bool) -> bool:
    """Tell it from beginning to end, as a live picture or as lines; True if the proof holds."""
    demo_worker.keep_quiet()
    if importlib.util.find_spec("moto") is not None:
        with LocalEndpoints() as endpoints:
            return _run(endpoints.kinesis, endpoints.environment, None, is_live=is_live)
    click.echo("moto is not installed (pip install 'kcl_py[local]'): the lease table is kept in memory this time,")
    click.echo("where no other process can share it, so there is one worker, and nothing moves between workers")
    with ServerThread(KinesisServer()) as kinesis:
        environment = {"AWS_ENDPOINT_URL_KINESIS": kinesis.url, "AWS_DEFAULT_REGION": kinesis.server.model.region}
        environment |= {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
        return _run(kinesis, environment, MemoryLeaseTable(), is_live=is_live)


def _run(kinesis: ServerThread, environment: dict[str, str], table: LeaseTable | None, *, is_live: bool) -> bool:
    os.environ.update(environment)  # of this process and its child alone, which end with the demo
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"):
        os.environ.pop(name, None)
    return asyncio.run(_Demo(kinesis, table).play(show_live if is_live else show_lines))


class StoryBroken(Exception):
    """Something did not happen that was to be shown."""


class _Demo:
    """The stream and its producer, the workers, and what they reported."""

    def __init__(self, kinesis: ServerThread, memory: LeaseTable | None) -> None:
        self._kinesis = kinesis
        self._memory = memory
        self._ledger = Ledger()
        self._picture = Picture(STREAM)
        self._producer = Producer(Connection(STREAM))
        self._broken = ""  # what was to be shown and did not happen

    async def play(self, show: Callable[[Picture], "asyncio.Task[None]"]) -> bool:
        """Play it; True if the proof holds."""
        self._kinesis.ask(requests.CreateStream(stream_name=STREAM, shard_count=SHARDS))
        loop = asyncio.get_running_loop()
        reading_end, writing_end = os.pipe()
        reader = FactReader(reading_end, lambda fact: loop.call_soon_threadsafe(self._take, fact))
        reader.start()
        showing = show(self._picture)
        scribe = Scribe(writing_end, ONE)
        try:
            async with DemoWorker(scribe, ONE, self._memory):
                await self._tell_the_story(scribe)
        except StoryBroken as problem:
            self._broken = str(problem)
        finally:
            await self._producer.close()
            scribe.close()
            await asyncio.to_thread(reader.join)
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
        return self._prove()

    def _take(self, fact: Fact) -> None:
        match fact:
            case Processed():
                self._ledger.processed(fact)
            case Killed():
                self._ledger.killed(fact.worker)
                self._picture.killed(fact.worker)
            case _:
                self._take_event(fact.worker, fact.event)

    def _take_event(self, worker: str, event: Event) -> None:
        self._picture.note(worker, event)
        match event:
            case LeasePickedUp():
                self._ledger.picked_up(worker, event.shard_id, event.fencing_token)
            case LeaseHandedOver() | LeaseGivenUp() | ShardFinished():
                self._ledger.let_go(worker, event.shard_id)
            case LeaseWasLost():
                self._ledger.lost(worker, event.shard_id)

    def _prove(self) -> bool:
        lines, is_proven = self._ledger.proof(self._picture.finished_shards)
        verdict = "every record was processed, in order per key, and no hand-off repeated any"
        if self._broken or not is_proven:
            verdict = f"THE PROOF FAILED: please report this; {self._broken or 'the figures are above'}"
        for line in (*lines, verdict):
            click.echo(line)
        return is_proven and not self._broken

    # -- the scenes ---------------------------------------------------------------------------------------------------

    async def _tell_the_story(self, scribe: Scribe) -> None:
        self._picture.say(f"a producer puts records into {SHARDS} shards; worker {ONE} is to read all of them")
        is_enough = asyncio.Event()
        producing = asyncio.create_task(self._produce(is_enough), name="demo producer")
        try:
            await self._until(lambda: ONE in self._picture.ready, f"worker {ONE} did not begin")
            await asyncio.sleep(PAUSE_SECONDS)
            if self._memory is None:
                await self._with_another(scribe)
            else:
                await self._reshard()
            self._picture.say("the producer stops; what is still in the stream is read, and the worker drains")
        finally:
            is_enough.set()
            await producing
        await self._until(lambda: not self._ledger.is_behind, "records were not read to the end")

    async def _with_another(self, scribe: Scribe) -> None:
        """Worker two joins, gets shards, and is killed."""
        self._picture.say(
            f"worker {TWO} joins, a process of its own; shards move in about ten seconds: "
            "once membership was quiet for 5 s, the plan is made"
        )
        two = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", demo_worker.__name__, str(scribe.descriptor)),
            stdin=asyncio.subprocess.PIPE,  # closed when this process ends
            pass_fds=(scribe.descriptor,),
            start_new_session=True,  # Ctrl-C is for this process, which ends the other
        )
        try:
            await self._until(
                lambda: self._picture.has_shards(TWO) or two.returncode is not None, f"no shard moved to worker {TWO}"
            )
            await self._reshard()
            if two.returncode is not None:
                raise StoryBroken(f"worker {TWO} ended by itself")
        finally:
            if two.returncode is None:
                two.kill()
            await two.wait()
        scribe.killed(TWO)
        await self._until(lambda: self._picture.is_inherited(TWO), f"the shards of worker {TWO} did not move")
        await asyncio.sleep(PAUSE_SECONDS)

    async def _reshard(self) -> None:
        await asyncio.sleep(PAUSE_SECONDS)
        self._picture.say("the first shard is split in two")
        first = self._open_shards()[0]
        middle = (first.hash_range.start + first.hash_range.end) // 2
        self._kinesis.ask(
            requests.SplitShard(stream_name=STREAM, shard_to_split=first.shard_id, new_starting_hash_key=str(middle))
        )
        await asyncio.sleep(PAUSE_SECONDS)
        self._picture.say("two neighbours are merged into one")
        *_, one, other, _ = self._open_shards()  # with two workers most likely of both
        self._kinesis.ask(
            requests.MergeShards(
                stream_name=STREAM, shard_to_merge=one.shard_id, adjacent_shard_to_merge=other.shard_id
            )
        )
        await asyncio.sleep(2 * PAUSE_SECONDS)

    async def _produce(self, is_enough: asyncio.Event) -> None:
        while not is_enough.is_set():
            await self._producer.put(self._ledger.next_entries())
            for shard in self._kinesis.shards(STREAM):
                self._picture.listed(shard.shard_id, shard.parent_shard_ids)
            await asyncio.sleep(1 / BATCHES_PER_SECOND)

    async def _until(self, is_so: Callable[[], bool], otherwise: str) -> None:
        give_up_at = asyncio.get_running_loop().time() + SCENE_SECONDS_MAX
        while not is_so():
            if asyncio.get_running_loop().time() > give_up_at:
                raise StoryBroken(f"{otherwise} within {SCENE_SECONDS_MAX:g} s")
            await asyncio.sleep(_POLL_SECONDS)

    def _open_shards(self) -> list[Shard]:
        shards = [shard for shard in self._kinesis.shards(STREAM) if not shard.is_closed]
        return sorted(shards, key=lambda shard: shard.hash_range)
