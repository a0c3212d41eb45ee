"""Fencing: a SQLite table of the latest value per key that refuses the late writes of a worker which lost its shard.

`kcl-py run examples.fenced_sqlite:LatestValues --stream orders --application latest-values`

A process may be suspended in the middle of a batch, and wake up when another worker has long gone on with its shard. It
begins no other batch then, but this one it would still write, and old values would replace newer ones. Only the
database can refuse that. It remembers the highest fencing token that it has seen for each shard: the token grows with
every change of owner. A batch is written in one transaction with the look at the token, so nothing can come between.
"""

import os
import sqlite3

from kcl_py import Checkpointer, RecordBatch, RecordProcessor, ShardContext

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS tokens (shard TEXT PRIMARY KEY, token INTEGER)",
    "CREATE TABLE IF NOT EXISTS latest (partition_key TEXT PRIMARY KEY, data BLOB)",
)
# changes no row if the token that stands there is higher
CLAIM = """INSERT INTO tokens VALUES (?, ?)
    ON CONFLICT (shard) DO UPDATE SET token = excluded.token WHERE excluded.token >= token"""
REPLACE = "INSERT OR REPLACE INTO latest VALUES (?, ?)"


class Fenced(Exception):
    """A later owner of the shard was here."""


class LatestValues(RecordProcessor):
    """One connection per shard. Checkpoints are automatic: what is delivered again is only written again."""

    def initialize(self, context: ShardContext) -> None:
        # no transaction begins by itself: each one below says when
        self._database = sqlite3.connect(os.environ.get("DATABASE", "latest.sqlite"), timeout=30, isolation_level=None)
        for statement in SCHEMA:
            self._database.execute(statement)
        # from here on earlier owners are refused, though this one may have nothing to write for a while
        with self._database:
            self._claim()

    def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        with self._database:  # committed at the end, rolled back if anything in it raises
            self._claim()
            self._database.executemany(REPLACE, [(record.partition_key, record.data) for record in records])

    def _claim(self) -> None:
        """Begin a transaction that only the newest owner of the shard can end well."""
        self._database.execute("BEGIN IMMEDIATE")  # nobody else writes until it is over
        claimed = self._database.execute(CLAIM, (self.context.shard_id, self.context.fencing_token))
        if claimed.rowcount == 0:
            # the exception leaves process_records, so nothing is checkpointed; lease_lost follows soon
            raise Fenced(f"{self.context.shard_id} has a newer owner than token {self.context.fencing_token}")

    # one of these three is the last call: the shard is lost, has ended, or is given up; nothing is left to flush

    def lease_lost(self) -> None:
        self._database.close()

    def shard_ended(self, checkpointer: Checkpointer) -> None:
        self._database.close()

    def shutdown_requested(self, checkpointer: Checkpointer) -> None:
        self._database.close()
