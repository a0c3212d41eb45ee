"""Two workers in a program that says all it can: the root logger at DEBUG, asyncio's debug mode, every representation.

What a worker hands out is written to standard output, as is what it raises. INTEGRATION_RECORDS is how many records the
workers must have seen before the program ends.
"""

import asyncio
import logging
import os
import sys
import traceback

from kcl_py import Checkpointer, Config, RecordBatch, RecordProcessor, ShardContext, Worker
from kcl_py.errors import KclError
from kcl_py.events import Event
from kcl_py.log_output import JsonFormatter

WANTED = int(os.environ["INTEGRATION_RECORDS"])
SDK_LOGGERS = ("aioboto3", "aiobotocore", "aiohttp", "boto3", "botocore", "botocore.auth", "pynamodb", "urllib3")
seen: set[tuple[str, str, int]] = set()


def say(*things: object) -> None:
    print(*(f"{thing!r} {thing}" for thing in things), flush=True)


class Talkative(RecordProcessor):
    """Shows everything that it is given, and quotes it in what it raises."""

    has_raised = False

    def initialize(self, context: ShardContext) -> None:
        say(context, self)

    def process_records(self, records: RecordBatch, checkpointer: Checkpointer) -> None:
        say(records, list(records), checkpointer, records.first, records[0], self.context)
        seen.update((records.shard_id, record.sequence_number, record.sub_sequence_number) for record in records)
        if not self.has_raised:
            self.has_raised = True
            raise ValueError(f"{records[0].data!r} of {records[0].partition_key}")


def listen(event: Event) -> None:
    say(event)


async def main() -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0  # every callback is slow, and told of with all that it holds
    handlers = logging.getLogger().handlers[:]
    config = Config(
        stream=sys.argv[1],
        application=sys.argv[1],
        worker_id="one",
        failover_seconds=3.0,
        checkpoint_interval_seconds=1.0,
        idle_read_interval_seconds=0.3,
        retry_backoff_max_seconds=0.2,
    )
    workers = [Worker(Talkative, config, listeners=[listen]), Worker(Talkative, config, listeners=[listen])]
    say(config, workers)
    try:
        async with workers[0], workers[1]:
            say(vars(workers[0]))
            while len(seen) < WANTED:
                await asyncio.sleep(0.1)
            await asyncio.sleep(1.5)  # a checkpoint
    except KclError as error:
        say(error, traceback.format_exception(error))
    open_loggers = [name for name in SDK_LOGGERS if logging.getLogger(name).isEnabledFor(logging.DEBUG)]
    print("open loggers:", open_loggers)
    print("root untouched:", logging.getLogger().level == logging.DEBUG, handlers == logging.getLogger().handlers)


if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG)
    in_json = logging.StreamHandler()
    in_json.setFormatter(JsonFormatter())
    logging.getLogger().addHandler(in_json)
    asyncio.run(main())
