"""The smallest processor: `kcl-py run examples.smallest:PrintRecords --stream orders --application smallest`.

Nothing in it speaks of checkpoints. Returning from `process_records` means that the batch is done; the worker writes
that down every few seconds, when it stops, and at the end of a shard.
"""

from kcl_py import Checkpointer, RecordBatch, RecordProcessor


class PrintRecords(RecordProcessor):
    """Prints every record."""

    def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        for record in records:
            # !r escapes what a terminal might act on; one write per line, because every shard has a thread of its own
            print(f"{records.shard_id} {record.partition_key!r} {record.data!r}\n", end="", flush=True)
