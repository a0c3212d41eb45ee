"""`python -m tests.simulation.cost > docs/cost.md`: what a fleet asks of DynamoDB, counted call by call."""

import asyncio
import math
import sys
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from kcl_py.local.faulty_lease_table import Call
from tests.simulation.simulation import Simulation, simulated

LEASES = (10, 100, 1_000)
WORKERS = (2, 10, 100)
CHECKPOINT_SECONDS = 5.0
SETTLE_SECONDS = 120
MINUTE_SECONDS = 60
ROW_KIB = 0.75  # of a lease row; a worker entry is smaller
INDEX_ENTRY_KIB = 0.15
KINDS = {
    "write_session": "beats",
    "write_leader_lock": "lock",
    "write": "leases",
    "create": "leases",
    "delete": "leases",
    "leader_lock": "lock",
    "lease_keys_of": "index",
    "sessions": "entries",
    "session": "entries",
    "lease": "rows",
    "snapshot": "scans",
}
WRITES = ("beats", "leases", "lock")
READS = ("lock", "index", "entries", "rows", "scans")


class Minute(NamedTuple):
    """Capacity units that a fleet used in one minute, by what for."""

    written: Counter[str]
    read: Counter[str]

    @property
    def totals(self) -> tuple[float, float]:
        """Write units and read units."""
        return sum(self.written.values()), sum(self.read.values())


def native(leases: int, workers: int, *, is_busy: bool) -> Minute:
    """A minute of a fleet of ours that has settled, from the calls that it made in virtual time."""
    calls: list[Call] = []

    async def scenario(fleet: Simulation) -> None:
        for number in range(workers):
            fleet.join(
                f"w{number}",
                balance="lease_count",
                checkpoint_interval_seconds=CHECKPOINT_SECONDS,
                idle_read_interval_seconds=2.0 if is_busy else 60.0,
            )
        await asyncio.sleep(SETTLE_SECONDS)
        begun = [len(worker.table.calls) for worker in fleet.everybody]
        for _ in range(int(MINUTE_SECONDS / CHECKPOINT_SECONDS)):
            if is_busy:
                fleet.put(3 * leases, keys=1_000_000)
            await asyncio.sleep(CHECKPOINT_SECONDS)
        for worker, begin in zip(fleet.everybody, begun, strict=True):
            calls.extend(worker.table.calls[begin:])

    simulated(1, scenario, shards=leases)
    return _billed(calls)


def java(leases: int, workers: int, *, is_busy: bool) -> Minute:
    """The arithmetic of kcl-protocol.md, sections 3.1 to 3.8, at the same failover time of 10 s."""
    written = Counter({"renewals": round(leases * 60 / 3.308), "metrics": workers * 2, "lock": 2})
    if is_busy:
        written["checkpoints"] = round(leases * 60 / CHECKPOINT_SECONDS)
    pages = math.ceil((leases + workers) * ROW_KIB / 4)
    queried = 0.5 * max(1, math.ceil(leases / workers * INDEX_ENTRY_KIB / 4))
    read = Counter(
        {"lock": workers * 2, "index": round(workers * queried * 60 / 9.975), "scans": round(pages * 60 / 20)}
    )
    return Minute(written, read)


def _billed(calls: list[Call]) -> Minute:
    """Strongly consistent reads by item, or by 4 KiB of a scan; the index is eventually consistent, at half of it."""
    written: Counter[str] = Counter()
    read: Counter[str] = Counter()
    for call in calls:
        kind = KINDS.get(call.operation, "other")
        if call.operation in ("write", "create", "delete", "write_session", "write_leader_lock"):
            written[kind] += call.rows + call.index_rows
        elif call.operation == "snapshot":
            read[kind] += math.ceil(call.rows * ROW_KIB / 4)
        elif call.operation == "lease_keys_of":
            read[kind] += max(1, math.ceil(call.index_rows * INDEX_ENTRY_KIB / 4))
        else:
            read[kind] += call.rows
    read["index"] = math.ceil(read["index"] / 2)
    return Minute(written, read)


def document() -> Iterator[str]:
    """The lines of docs/cost.md."""
    yield from _PREFACE.strip().splitlines()
    for is_busy in (False, True):
        yield ""
        yield f"## {'Busy: every shard has progress in every checkpoint interval' if is_busy else 'Idle: no records'}"
        yield ""
        head = ("leases", "workers", "WCU/min", *WRITES, "RCU/min", *READS, "Java WCU/min", "Java RCU/min")
        yield f"| {' | '.join(head)} |"
        yield "|" + "---:|" * len(head)
        for leases in LEASES:
            for workers in WORKERS:
                yield _line(leases, workers, is_busy=is_busy)


def _line(leases: int, workers: int, *, is_busy: bool) -> str:
    ours, theirs = native(leases, workers, is_busy=is_busy), java(leases, workers, is_busy=is_busy)
    written, read = ours.totals
    cells = [leases, workers, written, *(ours.written[kind] for kind in WRITES)]
    cells += [read, *(ours.read[kind] for kind in READS), *theirs.totals]
    return f"| {' | '.join(f'{cell:,.0f}' for cell in cells)} |"


_PREFACE = """
# What a fleet asks of DynamoDB

Capacity units per minute of a fleet that has settled, at the default failover time of 10 s, with checkpoints every 5 s.
Ours are counted call by call in the simulation (`python -m tests.simulation.cost > docs/cost.md` makes this page); the
Java KCL 3's are arithmetic over kcl-protocol.md, sections 3.1 to 3.8, at the same failover time: every lease is renewed
every 3.3 s, workers report metrics every 30 s and ask the index every 10 s, the leader scans every 20 s.

* *beats*: one write per worker and third of the failover time, whatever it holds. *leases*: checkpoints; an idle shard
  writes nothing. *lock*: the leader renews it, everybody looks at it about once a second.
* *index*: everybody asks about once a second which leases name it. *entries*: leader and standby watch the beats.
  *scans*: both read the whole table every 5 s. *rows*: single rows, read before something is decided.
* A write of one item up to 1 KiB is one unit, and one more for each index entry that it changes. A strongly consistent
  read of one item, or of 4 KiB of a scan, is one unit; the index is read at half of that. A lease row is taken to have
  0.75 KiB.

We write a small part of what renewals cost. We read more, and on purpose: reads cost a fifth of writes, and a look per
second is what makes a hand-over take about a second and a takeover little more than the failover time.
"""


if __name__ == "__main__":
    for text in document():
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
