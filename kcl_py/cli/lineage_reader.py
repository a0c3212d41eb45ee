"""Reads every shard of a stream, children after all of their parents, without leases or checkpoints: for `tail`."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from typing import TypeVar

import msgspec

from kcl_py.core.aggregation import unpack_all
from kcl_py.core.position import ReadFrom, StartPosition
from kcl_py.core.record import Record
from kcl_py.core.shard import ChildShard, HashRange, Shard
from kcl_py.errors import IteratorExpired, ServiceUnavailable, Throttled
from kcl_py.interfaces import Page, ShardFilter, Stream
from kcl_py.retrying import jittered, retrying

T = TypeVar("T")
Deliver = Callable[[str, Record], bool]
"""Takes a shard's id and a record; False ends the reading."""

_PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = 0.25  # five reads a second and shard are allowed
_PAUSE_AT_TIP_SECONDS = 1.0
_PAGE_RECORDS_MAX = 10_000


class _Branch(msgspec.Struct, frozen=True):
    """A shard to read."""

    shard_id: str
    hash_range: HashRange
    parent_shard_ids: tuple[str, ...]
    position: ReadFrom


class LineageReader:
    """Delivers the records of a stream, in order within a shard and along its lineage."""

    def __init__(self, stream: Stream, start: StartPosition, deliver: Deliver, *, is_following: bool) -> None:
        """Prepare to read.

        Args:
            stream: what to read; stays open.
            start: where to begin in the shards that are open then.
            deliver: called with every record.
            is_following: go on at the tip; else the reading ends there.
        """
        self._stream = stream
        self._start = start
        self._deliver = deliver
        self._is_following = is_following
        self._is_enough = False
        self._known: set[str] = set()
        self._ended: set[str] = set()
        self._waiting: dict[str, _Branch] = {}

    async def read(self) -> None:
        """Read until there is enough, or, where the tip is not followed, nothing more.

        Raises:
            KclError: a shard cannot be read; transient errors are tried again for a minute.
        """
        position = ReadFrom(self._start.kind, timestamp_ms=self._start.timestamp_ms)
        kind = f"AT_{self._start.kind.removeprefix('AT_')}"
        shard_filter = ShardFilter(kind, timestamp_ms=self._start.timestamp_ms)  # type: ignore[arg-type]
        self._add(await self._stream.list_shards(shard_filter), position)
        running: set[asyncio.Task[None]] = set()
        try:
            while (running := running | self._begun()) and not self._is_enough:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _add(self, shards: Sequence[Shard | ChildShard], position: ReadFrom) -> None:
        """Note shards to read: those of the first listing where the user begins, those found later from their start."""
        for shard in shards:
            if shard.shard_id not in self._known:
                self._known.add(shard.shard_id)
                branch = _Branch(shard.shard_id, shard.hash_range, shard.parent_shard_ids, position)
                self._waiting[shard.shard_id] = branch

    def _begun(self) -> set[asyncio.Task[None]]:
        """Begin with every shard whose parents, as far as they are read at all, are done."""
        ready = [
            branch
            for branch in self._waiting.values()
            if all(parent in self._ended or parent not in self._known for parent in branch.parent_shard_ids)
        ]
        for branch in ready:
            del self._waiting[branch.shard_id]
        return {asyncio.create_task(self._read_shard(branch)) for branch in ready}

    async def _read_shard(self, branch: _Branch) -> None:
        position, iterator = branch.position, None
        while True:
            if iterator is None:
                iterator = await self._patiently(self._stream.open, branch.shard_id, position)
            try:
                page = await self._patiently(self._stream.read, iterator, _PAGE_RECORDS_MAX)
            except IteratorExpired:
                iterator = None
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            for record in chain.from_iterable(unpack_all(page.records, branch.hash_range)):
                if self._is_enough or not self._deliver(branch.shard_id, record):
                    self._is_enough = True
                    return
            if page.next_iterator is None:
                await self._end(branch.shard_id, page)
                return
            is_at_tip = page.millis_behind_latest == 0 or (page.millis_behind_latest is None and not page.records)
            if is_at_tip and not self._is_following:
                return
            if page.records:
                position = ReadFrom("AFTER_SEQUENCE_NUMBER", sequence_number=page.records[-1].sequence_number)
            iterator = page.next_iterator
            await asyncio.sleep(_PAUSE_AT_TIP_SECONDS if is_at_tip else _PAUSE_SECONDS)

    async def _end(self, shard_id: str, page: Page) -> None:
        children: Sequence[Shard | ChildShard] = page.child_shards
        if not children:  # some endpoints do not name them
            children = [shard for shard in await self._stream.list_shards() if shard_id in shard.parent_shard_ids]
        self._add(children, ReadFrom("TRIM_HORIZON"))
        self._ended.add(shard_id)

    async def _patiently(self, call: Callable[..., Awaitable[T]], *arguments: object) -> T:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + _PATIENCE_SECONDS
        attempts = retrying(
            Throttled,
            ServiceUnavailable,
            pause=jittered(_PAUSE_SECONDS, 5.0),
            is_over=lambda: loop.time() >= give_up_at,
        )
        return await attempts(call, *arguments)
