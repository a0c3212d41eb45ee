"""Flush, then checkpoint: every record ends up exactly once in a table of the SQLite file $DATABASE.

`kcl-py run examples.sqlite_sink:SqliteSink --stream orders --application sink`

The rows of a batch are committed in one transaction before their checkpoint is written, never the other way round, so
a crash in between delivers rows again that are there already. Their key is the record's place in the stream, and what
is there already is left alone: a repeat changes nothing.
"""

import os
import sqlite3

from kcl_py import Checkpointer, RecordBatch, RecordProcessor, ShardContext

SCHEMA = """CREATE TABLE IF NOT EXISTS records (
    shard TEXT, sequence TEXT, sub_sequence INTEGER, partition_key TEXT, data BLOB,
    PRIMARY KEY (shard, sequence, sub_sequence)
)"""
INSERT = "INSERT INTO records VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"


class SqliteSink(RecordProcessor):
    """One connection per shard."""

    checkpointing = "manual"

    def initialize(self, context: ShardContext) -> None:
        # a synchronous processor keeps one thread for as long as it holds its shard, so this connection, which SQLite
        # lets only its own thread use, is good in every other method
        self._database = sqlite3.connect(os.environ.get("DATABASE", "records.sqlite"), timeout=30)
        self._database.execute(SCHEMA)

    def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        rows = [(records.shard_id, r.sequence_number, r.sub_sequence_number, r.partition_key, r.data) for r in records]
        with self._database:  # one transaction: committed at the end, rolled back if anything in it raises
            self._database.executemany(INSERT, rows)
        checkpointer.checkpoint()  # everything delivered so far is in the file

    # one of these three is the last call: the shard is lost, has ended, or is given up; nothing is left to flush

    def lease_lost(self) -> None:
        self._database.close()

    def shard_ended(self, checkpointer: Checkpointer) -> None:
        self._database.close()

    def shutdown_requested(self, checkpointer: Checkpointer) -> None:
        self._database.close()
