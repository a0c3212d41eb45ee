"""The demo's workers: the first in the demo's process, the second one in a process of its own, which can be killed."""

import logging
import os
import sys
import threading
import time
from typing import ClassVar

from kcl_py.cli.demo_facts import Scribe
from kcl_py.config import Config
from kcl_py.core.batch import RecordBatch
from kcl_py.interfaces import LeaseTable
from kcl_py.log import LOGGER_NAME
from kcl_py.processor import Checkpointer, RecordProcessor
from kcl_py.worker import Worker

STREAM = "demo"
ONE, TWO = "one", "two"
LAST_BATCH_SECONDS = 1.0  # the end of a shard takes a moment, so that one sees its children wait


class ReportingProcessor(RecordProcessor):
    """Reports what it gets."""

    scribe: ClassVar[Scribe]

    def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:  # noqa: ARG002
        """Report every record, which carries its number within its key."""
        numbered = [(record.partition_key, int(record.data)) for record in records]
        self.scribe.processed(records.shard_id, self.context.fencing_token, numbered)
        if records.is_at_shard_end:
            time.sleep(LAST_BATCH_SECONDS)


class DemoWorker(Worker):
    """A worker that reports, and whose lease table may be one in memory.

    Args:
        scribe: writes its facts.
        worker_id: its id.
        memory: the lease table, if it is not in DynamoDB.
    """

    def __init__(self, scribe: Scribe, worker_id: str, memory: LeaseTable | None = None) -> None:
        ReportingProcessor.scribe = scribe
        config = Config(
            stream=STREAM,
            application="kcl-py-demo",
            worker_id=worker_id,
            failover_seconds=3.0,
            checkpoint_interval_seconds=1.0,
            idle_read_interval_seconds=0.5,
        )
        super().__init__(ReportingProcessor, config, listeners=[scribe.note])
        self._memory = memory

    def _open_table(self) -> LeaseTable:
        return self._memory or super()._open_table()


def keep_quiet() -> None:
    """What the workers log is told in the demo's own words."""
    logging.getLogger(LOGGER_NAME).addHandler(logging.NullHandler())


def _end_with_the_demo() -> None:
    """End at once when the demo does, however it ends: then standard input is closed."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


def main() -> None:
    """Be the second worker; the argument is the descriptor of the pipe for its facts."""
    threading.Thread(target=_end_with_the_demo, daemon=True).start()
    keep_quiet()
    DemoWorker(Scribe(int(sys.argv[1]), TWO), TWO).run()


if __name__ == "__main__":
    main()
