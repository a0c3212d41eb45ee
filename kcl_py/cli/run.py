"""`kcl-py run`: one worker, until a signal stops it."""

import logging
import os
from pathlib import Path

import click

from kcl_py.cli import processor_path
from kcl_py.cli.options import is_verbose, setting_options, verbose_option
from kcl_py.config import Config
from kcl_py.log_output import writing


@click.command("run", short_help="Process a stream with a RecordProcessor.")
@click.argument("processor", metavar="MODULE:PROCESSOR")
@setting_options
@verbose_option
def command(processor: str, **given: object) -> None:
    """Process a stream with a RecordProcessor.

    For example: kcl-py run orders:PrintOrders --stream orders --application printing

    MODULE is imported as Python does, from the current directory first. PROCESSOR is a RecordProcessor subclass in it,
    or a callable without arguments that makes one.

    Settings come from the command line, else from the environment, else from kcl.toml or [tool.kcl_py] of
    pyproject.toml in the current directory, else they are the defaults. Durations and sizes carry their unit: 10s,
    500ms, 2m, 64MiB.

    SIGTERM or SIGINT stops it in order: the batch in flight is finished and checkpointed, and the leases are given up.
    A second signal stops it at once.
    """
    directory = Path.cwd()
    config = Config.load(given, os.environ, directory)
    factory = processor_path.load(processor, directory)
    # after the settings, because it brings the whole SDK along, and a typing error deserves a quick answer
    from kcl_py.worker import Worker

    with writing(config.log_format, logging.DEBUG if is_verbose() else logging.INFO):
        Worker(factory, config).run()
