"""Several workers on one bench, and power cuts at chosen writes."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from kcl_py.core.lease import Lease
from kcl_py.errors import ServiceUnavailable
from kcl_py.interfaces import LeaseTable
from tests.runtime.bench import BenchWorker, Site

WRITES = frozenset({"write", "create", "delete", "write_session", "write_leader_lock"})


async def joined(site: Site, *names: str, **settings: Any) -> dict[str, BenchWorker]:
    """Start workers, the first a second before the others, and wait until the fleet is even."""
    first, *others = names
    workers = {first: BenchWorker(site, worker_id=first, **settings)}
    await asyncio.sleep(1)
    workers |= {name: BenchWorker(site, worker_id=name, **settings) for name in others}
    await asyncio.sleep(25)
    return workers


async def rows(site: Site) -> tuple[Lease, ...]:
    return (await site.memory.snapshot()).leases


async def shares(site: Site) -> Mapping[str, list[str]]:
    """The unfinished shards of each worker that holds some, by worker id; those of nobody under ''."""
    owned: dict[str, list[str]] = {}
    for row in await rows(site):
        if not row.is_finished:
            owned.setdefault((row.effective_owner or "").rpartition("@")[0], []).append(row.key)
    return owned


async def seconds_until(is_true: Callable[[], Coroutine[Any, Any, bool]], within: float) -> float:
    """How long it takes until something holds."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not await is_true():
        assert loop.time() - began < within, f"not within {within} s"
        await asyncio.sleep(0.05)
    return loop.time() - began


async def load(site: Site, records_per_second: int) -> None:
    """Put records until cancelled."""
    while True:
        site.put(records_per_second)
        await asyncio.sleep(1)


class PowerCut:
    """Stands between a worker and the table; from the chosen write on nothing gets through any more.

    Args:
        worker: the victim.
        nth: which of its writes, counted from when this was put in place.
        is_done: the write reaches the table, and its answer does not come back; else it never leaves.
    """

    def __init__(self, worker: BenchWorker, nth: int, *, is_done: bool) -> None:
        self._left = nth
        self._is_done = is_done
        self._table: LeaseTable = worker.table._table
        self.has_happened = asyncio.Event()
        worker.table._table = self  # type: ignore[assignment]

    def __getattr__(self, operation: str) -> Callable[..., Coroutine[Any, Any, object]]:
        async def call(*arguments: object) -> object:
            if operation in WRITES:
                self._left -= 1
            if self._left > 0:
                return await getattr(self._table, operation)(*arguments)
            if self._left == 0 and self._is_done and not self.has_happened.is_set():
                self.has_happened.set()
                await getattr(self._table, operation)(*arguments)
            self.has_happened.set()
            raise ServiceUnavailable("the power is off")

        return call
