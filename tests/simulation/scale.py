"""`python -m tests.simulation.scale WORKERS SHARDS`: a very large fleet, once: even shares, stillness, a takeover."""

import asyncio
import gc
import sys
import time
from collections import Counter

from tests.simulation.facts import Crashed
from tests.simulation.laws.history import History
from tests.simulation.laws.liveness import soon_elsewhere, takeovers
from tests.simulation.simulation import Simulation, simulated

VICTIM = 17  # of those who joined neither first nor last
JOIN_SECONDS, TAKEOVER_SECONDS = 0.1, 40.0
SETTLE_SECONDS, SETTLE_SECONDS_EACH = 50.0, 0.2  # of every worker: a round opens hand-offs for a tenth of the leases
STILL_SECONDS = 15.0


def large(workers: int, shards: int) -> list[str]:
    """What was wrong with a fleet of so many, if anything."""

    async def scenario(fleet: Simulation) -> None:
        for number in range(workers):
            fleet.join(f"w{number}", balance="lease_count", idle_read_interval_seconds=60.0)
            await asyncio.sleep(JOIN_SECONDS)
        await asyncio.sleep(SETTLE_SECONDS + SETTLE_SECONDS_EACH * workers)
        fleet.crash(f"w{VICTIM}")
        await asyncio.sleep(TAKEOVER_SECONDS)

    history = History(simulated(1, scenario, shards=shards))
    crashed_at = next(entry.at for entry, _ in history.log.of(Crashed))
    wrong = [*soon_elsewhere(history)]
    before = shares(history, crashed_at)
    if len(before) != workers or sum(before.values()) != shards or max(before.values()) - min(before.values()) > 1:
        wrong.append(f"{sum(before.values())} shards are shared by {len(before)} workers: {Counter(before.values())}")
    moves = [entry for entry, _ in history.writes if crashed_at - STILL_SECONDS < entry.at < crashed_at]
    if moves:
        wrong.append(
            f"it does not keep still: {len(moves)} writes of rows in the {STILL_SECONDS:.0f} s before the crash"
        )
    if len(list(takeovers(history))) != before[f"w{VICTIM}"]:
        wrong.append("not every lease of the dead was judged")
    after = shares(history, history.ends_at - 0.001)
    if len(after) != workers - 1 or max(after.values()) - min(after.values()) > 1:
        wrong.append(f"after the takeover {len(after)} workers share {sum(after.values())}")
    return wrong


def shares(history: History, at: float) -> Counter[str]:
    """How many shards each worker held at an instant."""
    rows = [history.row_at(shard_id, at) for shard_id in history.writes_of]
    return Counter(history.worker_of(row.held_by) for row in rows if row is not None and row.held_by is not None)


def main() -> int:
    """1 if anything was wrong."""
    workers, shards = map(int, sys.argv[1:])
    gc.disable()  # a log only grows: whoever looks for garbage in it looks in vain
    began = time.monotonic()
    wrong = large(workers, shards)
    lines = [*wrong, f"{workers} workers, {shards} shards: {len(wrong)} things wrong, {time.monotonic() - began:.0f} s"]
    sys.stdout.write("\n".join(lines) + "\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
