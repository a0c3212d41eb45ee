"""Several workers in one process, embedded in one event loop: `python -m integration.crowd PROCESSOR COUNT [options]`.

The options are those of `kcl-py run`; the worker id is the beginning of each worker's own. SIGTERM drains all of them.
"""

import asyncio
import logging
import os
import signal
from pathlib import Path

import click

from integration import processors
from kcl_py import Config, RecordProcessor, Worker
from kcl_py.cli.options import setting_options
from kcl_py.log_output import writing

PAUSE_SECONDS = 0.2  # between one worker and the next: they join one by one


@click.command()
@click.argument("processor")
@click.argument("count", type=int)
@setting_options
def command(processor: str, count: int, **given: object) -> None:
    """Run COUNT workers."""
    configs = [
        Config.load(given | {"worker_id": f"{given['worker_id']}-{number}"}, os.environ, Path.cwd())
        for number in range(count)
    ]
    with writing(configs[0].log_format, logging.INFO):
        asyncio.run(_run(getattr(processors, processor), configs))


async def _run(processor: type[RecordProcessor], configs: list[Config]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    async def work(config: Config, pause_seconds: float) -> None:
        await asyncio.sleep(pause_seconds)
        if not stop.is_set():
            async with Worker(processor, config):
                await stop.wait()

    async with asyncio.TaskGroup() as workers:
        for number, config in enumerate(configs):
            workers.create_task(work(config, number * PAUSE_SECONDS))


if __name__ == "__main__":
    command()
