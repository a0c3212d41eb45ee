"""Manual checkpoints: archives a stream in files of 500 records each, in the directory $ARCHIVE.

`kcl-py run examples.manual_checkpoints:Archive --stream orders --application archive`

A record is safe once its file stands, which may be several calls after its delivery; only then is it checkpointed. If
the process dies before that, the records that were still in memory are delivered again. If it dies between the file
and the checkpoint, the same file is written again: it is named after its first record, which follows the checkpoint.
"""

import os
from pathlib import Path

from kcl_py import Checkpointer, Record, RecordBatch, RecordProcessor, ShardContext

RECORDS_PER_FILE = 500


class Archive(RecordProcessor):
    """Complete files only."""

    checkpointing = "manual"  # nothing moves unless checkpoint() is called

    def initialize(self, context: ShardContext) -> None:
        self._waiting: list[Record] = []
        self._directory = Path(os.environ.get("ARCHIVE", "archive")) / context.shard_id
        self._directory.mkdir(parents=True, exist_ok=True)

    def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        for record in records:
            self._waiting.append(record)
            if len(self._waiting) == RECORDS_PER_FILE:
                self._archive(checkpointer)

    def shard_ended(self, checkpointer: Checkpointer) -> None:
        self._archive(checkpointer)  # the end of the shard is checkpointed for us when this returns

    def shutdown_requested(self, checkpointer: Checkpointer) -> None:
        self._archive(checkpointer)  # so that an orderly stop repeats nothing

    def _archive(self, checkpointer: Checkpointer) -> None:
        if not self._waiting:
            return
        first, last = self._waiting[0], self._waiting[-1]
        path = self._directory / f"{first.sequence_number}-{first.sub_sequence_number}"
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_bytes(b"".join(record.data + b"\n" for record in self._waiting))
        unfinished.replace(path)  # at once: nobody ever sees half a file under its final name
        checkpointer.checkpoint(last)  # blocks until it is durable
        self._waiting.clear()
