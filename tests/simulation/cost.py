"""`python -m tests.simulation.cost > docs/cost.md`: what a fleet asks of DynamoDB, counted call by call."""

import asyncio
import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kcl_py.core.leadership import LeaderLock
from kcl_py.local import requests
from kcl_py.local.doors import loop_clock_ms
from kcl_py.local.faulty_lease_table import Call
from kcl_py.local.operations import perform
from kcl_py.runtime.data.shard_consumer import CAUGHT_UP_NOTE_SECONDS
from tests.simulation.simulation import STREAM, Simulation, simulated

LEASES = (10, 100, 1_000)
WORKERS = (2, 10, 100)
CHECKPOINT_SECONDS = 5.0
MINUTE_SECONDS = 60.0
QUIET_SECONDS, SETTLE_SECONDS_MAX = 20.0, 400.0
ROW_KIB = 0.6  # of a lease row with owner strings of 40 characters; a worker entry is smaller
JAVA_ROW_KIB = 0.4  # without our private attributes
INDEX_ENTRY_KIB = 0.15
READS_PER_WRITE = 5.0  # for the same price
WRITE_KINDS = {
    "write_session": "beats",
    "write_leader_lock": "lock",
    "write": "checkpoints",
    "create": "checkpoints",
    "delete": "checkpoints",
}
READ_KINDS = {
    "leader_lock": "lock",
    "lease_keys_of": "index",
    "sessions": "entries",
    "session": "entries",
    "lease": "rows",
    "snapshot": "scans",
}
WRITES = ("beats", "lock", "checkpoints", "assignments")
READS = ("lock", "index", "entries", "rows", "scans")


class Minute(NamedTuple):
    """Capacity units that were used in one minute, by what for."""

    written: dict[str, float]
    read: dict[str, float]

    @property
    def written_units(self) -> float:
        """All of them."""
        return sum(self.written.values())

    @property
    def read_units(self) -> float:
        """All of them."""
        return sum(self.read.values())

    @property
    def as_writes(self) -> float:
        """Both in one number: write units that have the same price."""
        return self.written_units + self.read_units / READS_PER_WRITE


class Fleet(NamedTuple):
    """What a fleet that has settled did in one minute."""

    calls: dict[str, list[Call]]  # by worker
    lock: LeaderLock  # names the two that watch

    @property
    def whole(self) -> Minute:
        """Everybody's cost."""
        return _billed(call for calls in self.calls.values() for call in calls)

    @property
    def ordinary(self) -> list[Minute]:
        """The cost of each worker that is neither leader nor standby."""
        watching = {(owner or "").partition("@")[0] for owner in (self.lock.owner, self.lock.standby)}
        return [_billed(calls) for name, calls in self.calls.items() if name not in watching]


def native(leases: int, workers: int, *, is_busy: bool, minutes: float = 1.0) -> Fleet:
    """A minute (or `minutes`) of a fleet of ours that has settled, as it went in virtual time.

    Args:
        leases: as many shards; a busy one has new records in every checkpoint interval, an idle one never had any.
        workers: they share the leases evenly.
        is_busy: whether records are put.
        minutes: how long to count.
    """
    fleets: list[Fleet] = []

    async def scenario(fleet: Simulation) -> None:
        for number in range(workers):
            fleet.join(
                f"w{number}",
                balance="lease_count",
                checkpoint_interval_seconds=CHECKPOINT_SECONDS,
                idle_read_interval_seconds=2.0 if is_busy else 60.0,
            )
            if number == 0:
                await _settled(fleet)  # the others find the rows made
        await _settled(fleet)
        if is_busy:
            await _fed(fleet, 2 * CHECKPOINT_SECONDS)  # the first records of a shard cost a note of their own
        begun = [len(worker.table.calls) for worker in fleet.everybody]
        await (_fed(fleet, MINUTE_SECONDS * minutes) if is_busy else asyncio.sleep(MINUTE_SECONDS * minutes))
        lock = await fleet.world.table.leader_lock()
        assert lock is not None
        counted = {w.name: w.table.calls[begin:] for w, begin in zip(fleet.everybody, begun, strict=True)}
        fleets.append(Fleet(counted, lock))

    simulated(1, scenario, shards=leases)
    return fleets[0]


def java(leases: int, workers: int, *, is_busy: bool) -> Minute:
    """The arithmetic of kcl-protocol.md, sections 3.1 to 3.8, at the same failover time of 10 s."""
    written = {"renewals": leases * 60 / 3.308, "metrics": workers * 2.0, "lock": 2.0}
    if is_busy:
        written["checkpoints"] = leases * 60 / CHECKPOINT_SECONDS
    queried = max(1, math.ceil(leases / workers * INDEX_ENTRY_KIB / 4)) / 2
    scanned = math.ceil((leases + workers) * JAVA_ROW_KIB / 4) / 2
    return Minute(written, {"lock": workers * 2.0, "index": workers * queried * 60 / 9.975, "scans": scanned * 3})


async def _settled(fleet: Simulation) -> None:
    """Wait until no lease row was written for a while."""
    before, quiet_seconds, waited_seconds = 0, 0.0, 0.0
    while quiet_seconds < QUIET_SECONDS:
        await asyncio.sleep(CHECKPOINT_SECONDS)
        waited_seconds += CHECKPOINT_SECONDS
        assert waited_seconds < SETTLE_SECONDS_MAX, "the fleet does not come to rest"
        written = sum(call.operation in ("create", "write") for w in fleet.everybody for call in w.table.calls)
        quiet_seconds = quiet_seconds + CHECKPOINT_SECONDS if written == before else 0.0
        before = written


async def _fed(fleet: Simulation, seconds: float) -> None:
    """Put a record into every shard twice per checkpoint interval."""
    hash_keys = [str(shard.hash_range.start) for shard in await fleet.open_shards()]
    for _ in range(int(seconds / CHECKPOINT_SECONDS * 2)):
        for hash_key in hash_keys:
            record = requests.PutRecord(
                stream_name=STREAM, data=b"any 1", partition_key="any", explicit_hash_key=hash_key
            )
            perform(fleet.world.model, record, loop_clock_ms())
        await asyncio.sleep(CHECKPOINT_SECONDS / 2)


def _billed(calls: Iterable[Call]) -> Minute:
    """Add up what calls cost, by what they are for; a write that moves an index entry assigns a lease."""
    written: dict[str, float] = defaultdict(float)
    read: dict[str, float] = defaultdict(float)
    for call in calls:
        if call.operation in WRITE_KINDS:
            kind = "assignments" if call.index_rows else WRITE_KINDS[call.operation]
            written[kind] += call.rows + call.index_rows
        else:
            read[READ_KINDS[call.operation]] += _read_units(call)
    return Minute(written, read)


def _read_units(call: Call) -> float:
    """By item, or by 4 KiB of a scan or query; half of that where it may be stale."""
    match call.operation:
        case "snapshot":
            return math.ceil(call.rows * ROW_KIB / 4)
        case "lease_keys_of":
            return max(1, math.ceil(call.index_rows * INDEX_ENTRY_KIB / 4)) / 2
        case "sessions":
            return call.rows / 2
        case _:
            return call.rows
