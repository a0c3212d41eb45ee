"""What the workers of these tests run. Each writes into the folder that INTEGRATION_JOURNAL names.

INTEGRATION_PAUSE is how many seconds a batch takes. INTEGRATION_BLOCK is how many the first one of the process takes.
"""

import asyncio
import contextlib
import ctypes
import logging
import os
import time
from pathlib import Path

from integration.journal import JournalFile, Kind
from kcl_py import Checkpointer, Record, RecordBatch, RecordProcessor, ShardContext

_journal = JournalFile(Path(os.environ["INTEGRATION_JOURNAL"]))
_pauses = [float(os.environ.get("INTEGRATION_BLOCK", "0"))]


def _pause() -> float:
    return (_pauses.pop() if _pauses else 0.0) or float(os.environ.get("INTEGRATION_PAUSE", "0"))


class _Noting(RecordProcessor):
    def note(self, kind: Kind, **details: str | int) -> None:
        _journal.write(kind, self.context, **details)

    def note_records(self, records: RecordBatch) -> None:
        self.note("batch")
        for record in records:
            self.note(
                "record",
                sequence_number=int(record.sequence_number),
                sub_sequence_number=record.sub_sequence_number,
                key=record.partition_key,
                payload=self.payload_of(record),
            )

    def payload_of(self, record: Record) -> str:
        return record.data.decode()


class Recording(_Noting):
    """Synchronous, with automatic checkpoints."""

    def initialize(self, context: ShardContext) -> None:
        self.note("initialize", checkpoint=str(context.checkpoint))

    def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        self.note_records(records)
        time.sleep(_pause())
        self.note("done")

    def lease_lost(self) -> None:
        self.note("lease_lost")

    def shard_ended(self, checkpointer: Checkpointer) -> None:
        self.note("shard_ended")

    def shutdown_requested(self, checkpointer: Checkpointer) -> None:
        self.note("shutdown_requested")


class ManualRecording(Recording):
    """Checkpoints every second batch, and when asked to stop."""

    checkpointing = "manual"
    _batches = 0

    def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        super().process_records(records, checkpointer)
        self._batches += 1
        if self._batches % 2 == 0:
            checkpointer.checkpoint()

    def shutdown_requested(self, checkpointer: Checkpointer) -> None:
        super().shutdown_requested(checkpointer)
        checkpointer.checkpoint()


class UnevenRecording(Recording):
    """Takes its time in shards with an odd number only, so that two parents of one child end far apart."""

    def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        self.note_records(records)
        if int(self.context.shard_id[-1]) % 2:
            time.sleep(_pause())
        self.note("done")


class AsyncRecording(_Noting):
    """Asynchronous, and polite."""

    async def initialize(self, context: ShardContext) -> None:
        self.note("initialize", checkpoint=str(context.checkpoint))

    async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        self.note_records(records)
        await asyncio.sleep(_pause())
        self.note("done")

    async def lease_lost(self) -> None:
        self.note("lease_lost")

    async def shard_ended(self, checkpointer: Checkpointer) -> None:
        self.note("shard_ended")

    async def shutdown_requested(self, checkpointer: Checkpointer) -> None:
        self.note("shutdown_requested")


class BlockingRecording(AsyncRecording):
    """Asynchronous in name only: blocks the loop that all shards share."""

    async def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        self.note_records(records)
        time.sleep(_pause())  # noqa: ASYNC251 - this is the mistake that it stands for
        self.note("done")


class GilRecording(Recording):
    """Calls native code that never lets go of the interpreter: no other thread of the process runs meanwhile."""

    def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        self.note_records(records)
        ctypes.PyDLL(None).usleep(int(_pause() * 1e6))
        self.note("done")


class PrintingRecording(Recording):
    """Writes to standard output what it was given, as a first program does."""

    def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        self.note_records(records)
        with contextlib.suppress(OSError, ValueError):  # its own business, and not what is tried
            print(f"{len(records)} records", flush=True)
        self.note("done")


class PaddedRecording(Recording):
    """Writes payloads down without the blanks at their end, which make them large."""

    def payload_of(self, record: Record) -> str:
        return record.data.rstrip().decode()


class LoggingEverything(Recording):
    """Turns the root logger up to DEBUG, as an application in trouble does."""

    def __init__(self) -> None:
        logging.basicConfig(level=logging.DEBUG)
        logging.getLogger("mine").debug("everything is logged")
