"""The public surface as users write against it. Never run: mypy checks this file, in strict mode."""
# mypy: disallow-untyped-defs, disallow-untyped-calls, disallow-incomplete-defs

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import assert_type

import boto3

import kcl_py
from kcl_py import (
    Checkpointer,
    CheckpointError,
    Config,
    ConfigError,
    KclError,
    LeaseLost,
    Record,
    RecordBatch,
    RecordProcessor,
    ShardContext,
    StartPosition,
    Worker,
    events,
)

# -- processors ---------------------------------------------------------------------------------------------------


class Smallest(RecordProcessor):
    def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        for record in records:
            assert_type(record, Record)


class Synchronous(RecordProcessor):
    checkpointing = "manual"

    def initialize(self, context: ShardContext) -> None:
        assert_type(context.application, str)
        assert_type(context.stream, str)
        assert_type(context.shard_id, str)
        assert_type(context.worker_id, str)
        assert_type(context.fencing_token, int)
        assert_type(context.is_cancelled, bool)
        assert_type(context.pending_checkpoint_state, bytes | None)
        assert_type(str(context.checkpoint), str)

    def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        assert_type(self.context, ShardContext)
        assert_type(records.stream, str)
        assert_type(records.shard_id, str)
        assert_type(records.millis_behind_latest, int | None)
        assert_type(records.is_at_shard_end, bool)
        assert_type(records[0], Record)
        assert_type(records[1:], Sequence[Record])
        assert_type(len(records), int)
        checkpointer.checkpoint(records[0])  # blocks: there is nothing to await in a synchronous processor
        pending = checkpointer.prepare(records[-1], b"where my sink stands")
        pending.checkpoint()

    def lease_lost(self) -> None:
        pass

    def shard_ended(self, checkpointer: Checkpointer) -> None:
        checkpointer.checkpoint()

    def shutdown_requested(self, checkpointer: Checkpointer) -> None:
        try:
            checkpointer.checkpoint()
        except LeaseLost:
            return
        except CheckpointError as error:
            assert_type(str(error), str)


class Asynchronous(RecordProcessor):
    checkpointing = "automatic"

    async def initialize(self, context: ShardContext) -> None:
        await asyncio.sleep(0)

    async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        await checkpointer.checkpoint()
        pending = await checkpointer.prepare(records[0])
        await pending.checkpoint()

    async def lease_lost(self) -> None:
        await asyncio.sleep(0)

    async def shard_ended(self, checkpointer: Checkpointer) -> None:
        await checkpointer.checkpoint()

    async def shutdown_requested(self, checkpointer: Checkpointer) -> None:
        await checkpointer.checkpoint()


class WithArguments(RecordProcessor):
    def __init__(self, table: str) -> None:
        self.table = table

    def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        for record in records:
            self.store(record)

    def store(self, record: Record) -> None:
        assert_type(record.data, bytes)
        assert_type(record.partition_key, str)
        assert_type(record.explicit_hash_key, str | None)
        assert_type(record.sequence_number, str)
        assert_type(record.sub_sequence_number, int)
        assert_type(record.approximate_arrival_timestamp, datetime)
        assert_type(record.aggregated, bool)
        assert_type(record.outside_hash_range, bool)
        assert_type(record.malformed_aggregate, bool)


# -- settings -----------------------------------------------------------------------------------------------------

starts: list[StartPosition] = [
    StartPosition.TRIM_HORIZON,
    StartPosition.LATEST,
    StartPosition.at(datetime(2026, 3, 1, 9, tzinfo=UTC)),
    StartPosition.parse("2026-03-01T09:00:00Z"),
]
short = Config(stream="orders", application="billing")
full = Config(
    stream="arn:aws:kinesis:eu-west-1:123456789012:stream/orders",
    application="billing",
    start=StartPosition.LATEST,
    worker_id="billing-1",
    failover_seconds=20,
    checkpoint_interval_seconds=2.5,
    table_tags={"team": "billing"},
    log_format="json",
)
loaded: Config = Config.load({"stream": "orders"}, {"KCL_PY_APPLICATION": "billing"}, Path.cwd())
assert_type(full.stream_name, str)
assert_type(full.failover_seconds, float)

# -- workers ------------------------------------------------------------------------------------------------------


def listen(event: events.Event) -> None:
    match event:
        case events.CheckpointWritten():
            assert_type(event.shard_id, str)
            assert_type(event.checkpoint, str)
        case events.ShardFinished(shard_id=shard_id, children=children):
            assert_type(shard_id, str)
            assert_type(children, tuple[str, ...])
        case events.ShardEvent():
            assert_type(event.shard_id, str)
        case _:
            assert_type(event.level, events.Level)


listener: events.Listener = listen


def run() -> int:
    try:
        Worker(Smallest, short, listeners=[listen, print]).run()
    except ConfigError as error:
        assert_type(error.exit_code, int)
        return 2
    except KclError as error:
        return error.exit_code
    return 0


async def embed() -> None:
    session = boto3.Session()
    async with Worker(lambda: WithArguments("orders"), full, session=session, table_session=session) as worker:
        assert_type(worker, Worker)
        await asyncio.sleep(1)


assert_type(kcl_py.__version__, str)
workers: list[kcl_py.Worker] = [Worker(Synchronous, short), Worker(Asynchronous, short)]
