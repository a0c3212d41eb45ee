"""`kcl-py local`: Kinesis and DynamoDB endpoints on loopback, until a signal stops them."""

import signal
from threading import Event
from types import FrameType
from typing import TYPE_CHECKING

import click

from kcl_py import stream_names
from kcl_py.cli.options import verbose_option
from kcl_py.printable import quoted

if TYPE_CHECKING:
    from kcl_py.local.requests import CreateStream

KINESIS_PORT = 4567
DYNAMODB_PORT = 8000
SHARDS_MAX = 1_000


def _streams(_ctx: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> "tuple[CreateStream, ...]":
    from kcl_py.local.requests import CreateStream

    found = []
    for value in values:
        name, colon, shards = value.partition(":")
        if (colon and not (shards.isdecimal() and 1 <= int(shards) <= SHARDS_MAX)) or not stream_names.is_name(name):
            raise click.BadParameter(f"{quoted(value)} is not NAME or NAME:SHARDS, such as orders:2")
        found.append(CreateStream(stream_name=name, shard_count=int(shards or 1)))
    return tuple(found)


@click.command("local", short_help="Serve Kinesis and DynamoDB on this machine.")
@click.option(
    "--kinesis-port", type=click.IntRange(0, 65535), default=KINESIS_PORT, show_default=True, help="0 takes a free one."
)
@click.option(
    "--dynamodb-port",
    type=click.IntRange(0, 65535),
    default=DYNAMODB_PORT,
    show_default=True,
    help="0 takes a free one.",
)
@click.option(
    "--stream",
    "streams",
    metavar="NAME[:SHARDS]",
    multiple=True,
    callback=_streams,
    help="Create a stream, of one shard if no number is given. May be given again.",
)
@verbose_option
def command(kinesis_port: int, dynamodb_port: int, streams: "tuple[CreateStream, ...]") -> None:
    """Serve Kinesis and DynamoDB on this machine's loopback, empty at first, until SIGINT or SIGTERM.

    It prints what to paste into another shell, so that any AWS tool or SDK there talks to it. Nothing is kept when it
    stops.
    """
    from kcl_py.local.endpoints import LocalEndpoints

    is_stopping = Event()

    def stop(_: int, __: FrameType | None) -> None:
        is_stopping.set()

    with LocalEndpoints(kinesis_port=kinesis_port, dynamodb_port=dynamodb_port) as endpoints:
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            for stream in streams:
                endpoints.kinesis.ask(stream)
            for line in endpoints.exports:
                click.echo(line)
            click.echo("Serving until stopped, by Ctrl-C. Paste the lines above into another shell.", err=True)
            is_stopping.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
