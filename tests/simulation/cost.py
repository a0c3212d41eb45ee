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
from tests.simulation.simulation import STREAM, Simulation, simulated

LEASES = (10, 100, 1_000)
WORKERS = (2, 10, 100)
CHECKPOINT_SECONDS = 5.0
MINUTE_SECONDS, STRETCH_SECONDS = 60.0, 20.0  # a large and busy fleet is watched for the shorter time
READ_SECONDS, IDLE_READ_SECONDS = 4.0, 60.0  # between two reads of a shard, which cost the table nothing
QUIET_SECONDS, SETTLE_SECONDS_MAX = 15.0, 400.0
ROW_KIB = 0.6  # of a lease row with owner strings of 40 characters; a worker entry is smaller
JAVA_ROW_KIB = 0.4  # without our private attributes
INDEX_ENTRY_KIB = 0.15
READS_PER_WRITE = 5.0  # for the same price
WORKER_WRITES, WORKER_READS, LEASE_READS = 19.0, 150.0, 3.3  # a minute, as the page says
LEASES_PER_WORKER = 3.0  # from there on the sum is below Java's
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
    """What a fleet that has settled did for a while."""

    calls: dict[str, list[Call]]  # by worker
    lock: LeaderLock  # names the two that watch
    seconds: float

    @property
    def whole(self) -> Minute:
        """Everybody's cost."""
        return _billed((call for calls in self.calls.values() for call in calls), self.seconds)

    @property
    def ordinary(self) -> list[Minute]:
        """The cost of each worker that is neither leader nor standby."""
        watching = {(owner or "").partition("@")[0] for owner in (self.lock.owner, self.lock.standby)}
        return [_billed(calls, self.seconds) for name, calls in self.calls.items() if name not in watching]


def native(leases: int, workers: int, *, is_busy: bool, seconds: float = MINUTE_SECONDS) -> Fleet:
    """Watch a fleet of ours that has settled, in virtual time.

    Args:
        leases: as many shards; a busy one has new records in every checkpoint interval, an idle one never had any.
        workers: they share the leases evenly.
        is_busy: whether records are put.
        seconds: how long to count.
    """
    fleets: list[Fleet] = []

    async def scenario(fleet: Simulation) -> None:
        read_seconds = READ_SECONDS if is_busy else IDLE_READ_SECONDS
        await _joined(fleet, range(1), read_seconds)  # the others find the rows made
        await _joined(fleet, range(1, workers), read_seconds)
        if is_busy:
            await _fed(fleet, 2 * CHECKPOINT_SECONDS)  # the first records of a shard cost a note of their own
        begun = [len(worker.table.calls) for worker in fleet.everybody]
        await (_fed(fleet, seconds) if is_busy else asyncio.sleep(seconds))
        lock = await fleet.world.table.leader_lock()
        assert lock is not None
        counted = {w.name: w.table.calls[begin:] for w, begin in zip(fleet.everybody, begun, strict=True)}
        fleets.append(Fleet(counted, lock, seconds))

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


def moved(leases: int) -> tuple[int, Minute]:
    """Two workers become four: how many leases were handed over, and what that cost beside the usual."""
    found: list[tuple[int, Minute]] = []

    async def scenario(fleet: Simulation) -> None:
        await _joined(fleet, range(2), IDLE_READ_SECONDS)
        before, begun = await fleet.rows(), [len(worker.table.calls) for worker in fleet.everybody]
        await _joined(fleet, range(2, 4), IDLE_READ_SECONDS)
        after = await fleet.rows()
        starts = [*begun, 0, 0]
        calls = [call for w, start in zip(fleet.everybody, starts, strict=True) for call in w.table.calls[start:]]
        of_leases = [call for call in calls if call.operation in ("write", "lease")]
        count = sum(before[key].owner != after[key].owner for key in after)
        found.append((count, _billed(of_leases, MINUTE_SECONDS)))

    simulated(1, scenario, shards=leases)
    return found[0]


async def _joined(fleet: Simulation, numbers: Iterable[int], read_seconds: float) -> None:
    """Start workers, and wait until they share the leases."""
    for number in numbers:
        fleet.join(
            f"w{number}",
            balance="lease_count",
            checkpoint_interval_seconds=CHECKPOINT_SECONDS,
            idle_read_interval_seconds=read_seconds,
        )
    await _settled(fleet)


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


def _billed(calls: Iterable[Call], seconds: float) -> Minute:
    """What calls of so many seconds cost in a minute; a write that moves an index entry assigns a lease."""
    written: dict[str, float] = defaultdict(float)
    read: dict[str, float] = defaultdict(float)
    share = MINUTE_SECONDS / seconds
    for call in calls:
        if call.operation in WRITE_KINDS:
            kind = "assignments" if call.index_rows else WRITE_KINDS[call.operation]
            written[kind] += (call.rows + call.index_rows) * share
        else:
            read[READ_KINDS[call.operation]] += _read_units(call) * share
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


def document() -> Iterator[str]:
    """The lines of docs/cost.md."""
    yield _PREFACE.strip()
    for is_busy in (False, True):
        yield f"\n## {'Busy: every shard has new records in every checkpoint interval' if is_busy else 'Idle'}\n"
        totals, kinds = [], []
        for leases in LEASES:
            for workers in WORKERS:
                is_large = is_busy and leases == max(LEASES)
                seconds = STRETCH_SECONDS if is_large else MINUTE_SECONDS
                ours = native(leases, workers, is_busy=is_busy, seconds=seconds).whole
                theirs = java(leases, workers, is_busy=is_busy)
                pairs = [(each.written_units, each.read_units, each.as_writes) for each in (ours, theirs)]
                totals.append([leases, workers, *(number for pair in zip(*pairs, strict=True) for number in pair)])
                counted = [ours.written.get(kind, 0) for kind in WRITES] + [ours.read.get(kind, 0) for kind in READS]
                kinds.append([leases, workers, *counted])
        yield from _table(("leases", "workers", "WCU", "Java WCU", "RCU", "Java RCU", "sum", "Java sum"), totals)
        yield "\nOurs, by what for: four kinds of writes, then five of reads.\n"
        head = ("leases", "workers", "beats", "lock W", *WRITES[2:], "lock R", *READS[1:])
        yield from _table(head, kinds)


def _table(head: tuple[str, ...], rows: list[list[float]]) -> Iterator[str]:
    """Aligned, so that it reads well in a terminal."""
    texts = [[f"{number:,.0f}" for number in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *texts, strict=True)]
    for line in (list(head), ["-" * (width - 1) + ":" for width in widths], *texts):
        yield f"| {' | '.join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))} |"


_PREFACE = f"""
# What a fleet asks of DynamoDB

Capacity units per minute of a fleet that has settled, at the default failover time of 10 s, with checkpoints every 5 s.
`python -m tests.simulation.cost > docs/cost.md` makes this page, in about four minutes.

In short: checkpoints apart, we write per worker, and the Java KCL per lease. So our writes are fewer as soon as there
are more leases than workers. Our reads are more in every row, and on purpose: a hand-over takes about a second, and a
takeover little more than the failover time. At five reads for the price of one write (check your region's price list)
the sum is below Java's from about {LEASES_PER_WORKER:.0f} leases per worker on. With fewer, Java's is.

## What it consists of

* A worker costs about {WORKER_WRITES:.0f} WCU and {WORKER_READS:.0f} RCU a minute, whatever it holds:
  a beat every third of the failover time; a look at the lock and a question to the index every second (about 90 RCU
  together, 1.5 a second); and its entry, which leader and standby both read every second (60 RCU).
* A lease costs about {LEASE_READS:.1f} RCU a minute: leader and standby scan the table every 5 s. With progress it
  costs one WCU per checkpoint interval. Without it costs no write, but for shards that once had records: they note
  every ten minutes that they missed nothing (0.1 WCU a minute; the idle shards below never had any).
* One question to the index covers 27 leases; a worker that holds more pays more for it.
* The fleet pays 15 WCU a minute for the leader's lock.
* Nothing of an ordinary worker's cost grows with the fleet. What leader and standby read grows with workers and leases,
  the entries up to 100 workers: from there on they are read less often.
* A hand-over of a lease costs 5 write units and a few reads, once; a fleet that has settled makes none. *assignments*
  are these and takeovers.

## What one can do

* Fewer and bigger workers: the part per worker is what we have and Java has not. A worker that holds nothing costs as
  much as any other.
* A longer failover time: beats and lock renewals become fewer in proportion (at 30 s a worker writes 6 times a minute
  instead of 19). The reads stay, and a dead worker is noticed later.
* A longer checkpoint interval: fewer writes on busy shards. A crash repeats more.

## How it is counted

* Ours is counted call by call in the simulation: the shipped workers in virtual time, for a minute; busy fleets of
  1,000 leases for {STRETCH_SECONDS:.0f} s, times {MINUTE_SECONDS / STRETCH_SECONDS:.0f}.
  Nothing else of ours in the tables is computed.
* Java's is computed from kcl-protocol.md, sections 3.1 to 3.8, at the same failover time and checkpoint interval. WCU:
  each lease renewed every 3.308 s, each worker's metrics and the lock every 30 s, checkpoints of busy shards. RCU: each
  worker looks at the lock every 30 s and asks the index every 9.975 s, the leader scans every 20 s. Its auditor is left
  out.
* A write of an item up to 1 KiB is one unit, and one more for each index entry that is put or deleted. A consistent
  read is one unit for each item or each 4 KiB of a scan. What may be stale costs half: our index and entries, Java's
  index and scans. A row is taken to have {ROW_KIB} KiB, Java's {JAVA_ROW_KIB}; an index entry {INDEX_ENTRY_KIB}.
* Starting, faults, and an older table whose index is not ACTIVE yet (each worker then scans it every 4 s) are left out.
* *sum* is WCU + RCU / {READS_PER_WRITE:.0f}.
"""


if __name__ == "__main__":
    for text in document():
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
