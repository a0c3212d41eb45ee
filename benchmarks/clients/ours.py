"""A whole kcl_py worker: leases and checkpoints in a DynamoDB of another process, events on, defaults everywhere.

Two things differ from a worker in production. The processor only counts. And the pace of polling is lifted: the
service's 5 calls and 2 MB a second for each shard would make a run last for hours, and change no cost of a record.

Modes: `async` and `sync`, the kind of processor; `fan-out`; `paced`, at the real pace after all.
"""

import asyncio
import contextlib
import os
import sys
from typing import Any

from benchmarks.clients.heartbeat import Heartbeat
from benchmarks.clients.tally import WARM_UP, Tally
from kcl_py import Checkpointer, Config, RecordBatch, RecordProcessor, Worker, events
from kcl_py.runtime.data.pace import Pace

TALLY = Tally()
_TROUBLE = (events.RecordsMissing, events.ServiceTrouble, events.ProcessorFailed, events.MalformedAggregate)
_START_SECONDS_MAX = 60.0
_CALLS_FIRST = 3  # for each shard: connections are made and buffers are full


def _count_calls(*, is_paced: bool) -> None:
    """Lift the pace unless it is wanted: the private seam that docs/performance.md speaks of."""
    note = Pace.answered

    def answered(pace: Pace, began: float, ended: float, size_bytes: int, *, is_idle: bool) -> None:
        TALLY.calls += 1
        note(pace, began, ended, size_bytes, is_idle=is_idle)

    setattr(Pace, "answered", answered)  # noqa: B010
    if not is_paced:
        assert hasattr(Pace, "seconds_to_wait")
        setattr(Pace, "seconds_to_wait", lambda _pace, _now: 0.0)  # noqa: B010


def config_of(stream: str, mode: str) -> Config:
    """Defaults, in a lease table that nobody had before."""
    settings: dict[str, Any] = {"stream": stream, "application": f"bench-{os.getpid()}"}
    if mode == "fan-out":
        settings |= {"fan_out": True, "fan_out_fallback": False}
    return Config(**settings)


class _Async(RecordProcessor):
    async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:  # noqa: ARG002
        TALLY.records += len(records)


class _Sync(RecordProcessor):
    def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:  # noqa: ARG002
        TALLY.records += len(records)


class _Listener:
    """Sees every event; what is no sign of health is told with the result."""

    def __init__(self, mode: str) -> None:
        self._is_fan_out = mode == "fan-out"
        self.started: set[str] = set()
        self.checkpoints = 0
        self.trouble: list[str] = []

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.ShardStarted(shard_id=shard_id):
                self.started.add(shard_id)
            case events.BatchDelivered() if self._is_fan_out:
                TALLY.calls += 1
            case events.CheckpointWritten():
                self.checkpoints += 1
            case _ if isinstance(event, _TROUBLE):
                self.trouble.append(repr(event))


async def main(stream: str, seconds: str, mode: str = "async") -> None:
    """Read and count."""
    _count_calls(is_paced=mode == "paced")
    listener, heartbeat = _Listener(mode), Heartbeat()
    shards = int(stream.rpartition("-")[2])
    async with Worker(_Sync if mode == "sync" else _Async, config_of(stream, mode), listeners=[listener]):
        async with asyncio.timeout(_START_SECONDS_MAX):
            while len(listener.started) < shards or TALLY.calls < _CALLS_FIRST * shards:  # noqa: ASYNC110 - not counted yet
                await asyncio.sleep(0.05)
        beating = asyncio.create_task(heartbeat.run())
        await asyncio.sleep(float(seconds) * WARM_UP)
        heartbeat.lags.clear()
        TALLY.begin()
        await asyncio.sleep(float(seconds))
        TALLY.report(
            lag_p99_seconds=heartbeat.percentile(99),
            checkpoints=listener.checkpoints,
            trouble=listener.trouble[:3],
        )
        beating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beating


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
