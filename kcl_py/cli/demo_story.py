"""The demo's story: a stream, a worker, a split and a merge, in this process and without AWS."""

import asyncio
import importlib.util
import os
from collections.abc import Callable

import click

from kcl_py.aws.connection import Connection
from kcl_py.aws.producer import Producer
from kcl_py.cli.demo_ledger import Ledger, LedgerProcessor
from kcl_py.cli.demo_picture import Picture, show_lines, show_live
from kcl_py.config import Config
from kcl_py.core.shard import Shard
from kcl_py.interfaces import LeaseTable
from kcl_py.local import requests
from kcl_py.local.endpoints import LocalEndpoints
from kcl_py.local.kinesis_server import KinesisServer
from kcl_py.local.memory_lease_table import MemoryLeaseTable
from kcl_py.local.server_thread import ServerThread
from kcl_py.worker import Worker

STREAM = "demo"
SHARDS = 3
PRODUCE_SECONDS = 14.0
SPLIT_AT_SECONDS, MERGE_AT_SECONDS = 4.0, 9.0
BATCHES_PER_SECOND = 8
DRAIN_SECONDS_MAX = 10.0


def tell(*, is_live: bool) -> bool:
    """Tell it from beginning to end, as a live picture or as lines; True if the proof holds."""
    if importlib.util.find_spec("moto") is not None:
        with LocalEndpoints() as endpoints:
            return _run(endpoints.kinesis, endpoints.environment, None, is_live=is_live)
    click.echo("moto is not installed (pip install 'kcl_py[local]'): the lease table is kept in memory this time")
    with ServerThread(KinesisServer()) as kinesis:
        environment = {"AWS_ENDPOINT_URL_KINESIS": kinesis.url, "AWS_DEFAULT_REGION": kinesis.server.model.region}
        environment |= {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
        return _run(kinesis, environment, MemoryLeaseTable(), is_live=is_live)


def _run(kinesis: ServerThread, environment: dict[str, str], table: LeaseTable | None, *, is_live: bool) -> bool:
    os.environ.update(environment)  # of this process alone, which ends with the demo
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"):
        os.environ.pop(name, None)
    return asyncio.run(_Demo(kinesis, table).play(show_live if is_live else show_lines))


class _DemoWorker(Worker):
    """A worker whose lease table may be one in memory."""

    memory: LeaseTable | None = None

    def _open_table(self) -> LeaseTable:
        return self.memory or super()._open_table()


class _Demo:
    """The story: produce, split, merge, stop, prove."""

    def __init__(self, kinesis: ServerThread, table: LeaseTable | None) -> None:
        self._kinesis = kinesis
        self._table = table
        self._ledger = Ledger()
        self._picture = Picture(STREAM)
        self._producer = Producer(Connection(STREAM))

    async def play(self, show: Callable[[Picture], "asyncio.Task[None]"]) -> bool:
        """Play it; True if the proof holds."""
        self._kinesis.ask(requests.CreateStream(stream_name=STREAM, shard_count=SHARDS))
        LedgerProcessor.ledger = self._ledger
        config = Config(stream=STREAM, application="kcl-py-demo", worker_id="demo", checkpoint_interval_seconds=1.0)
        worker = _DemoWorker(LedgerProcessor, config, listeners=[self._picture.note])
        worker.memory = self._table
        showing = show(self._picture)
        try:
            async with worker:
                await self._tell_the_story()
        finally:
            await self._producer.close()
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
        lines, is_proven = self._ledger.proof(self._picture.finished_shards)
        for line in lines:
            click.echo(line)
        return is_proven

    async def _tell_the_story(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        scenes = [
            (SPLIT_AT_SECONDS, "the first shard is split in two", self._split),
            (MERGE_AT_SECONDS, "two neighbours are merged into one", self._merge),
        ]
        self._picture.say(f"a producer puts records into {SHARDS} shards; the worker reads all of them")
        while loop.time() - began < PRODUCE_SECONDS:
            await self._producer.put(self._ledger.next_entries())
            if scenes and loop.time() - began >= scenes[0][0]:
                _, what, happens = scenes.pop(0)
                self._picture.say(what)
                happens()
            self._look_at_shards()
            await asyncio.sleep(1 / BATCHES_PER_SECOND)
        self._picture.say("the producer stops; what is still in the stream is read, and the worker drains")
        give_up_at = loop.time() + DRAIN_SECONDS_MAX
        while self._ledger.is_behind and loop.time() < give_up_at:
            self._look_at_shards()
            await asyncio.sleep(0.1)

    def _split(self) -> None:
        first = self._open_shards()[0]
        middle = (first.hash_range.start + first.hash_range.end) // 2
        self._kinesis.ask(
            requests.SplitShard(stream_name=STREAM, shard_to_split=first.shard_id, new_starting_hash_key=str(middle))
        )

    def _merge(self) -> None:
        *_, one, other = self._open_shards()
        self._kinesis.ask(
            requests.MergeShards(
                stream_name=STREAM, shard_to_merge=one.shard_id, adjacent_shard_to_merge=other.shard_id
            )
        )

    def _open_shards(self) -> list[Shard]:
        shards = [shard for shard in self._kinesis.shards(STREAM) if not shard.is_closed]
        return sorted(shards, key=lambda shard: shard.hash_range)

    def _look_at_shards(self) -> None:
        for shard in self._kinesis.shards(STREAM):
            self._picture.listed(shard.shard_id, shard.parent_shard_ids)
