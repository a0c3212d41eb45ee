"""`kcl-py tail`: shows the records of a stream, without a lease table and without leaving a trace."""

import asyncio
import base64
import json
import signal
from typing import TYPE_CHECKING, Any

import click

from kcl_py.cli.options import connected, connection_options, verbose_option
from kcl_py.core.position import StartPosition
from kcl_py.core.record import Record
from kcl_py.printable import printable
from kcl_py.setting import START

if TYPE_CHECKING:
    from kcl_py.aws.connection import Connection

_START_HELP = "Where to begin: at the oldest record, at the tip, or at a time such as 2026-03-01T09:00:00Z."


@click.command("tail", short_help="Show the records of a stream.")
@click.argument("stream")
@click.option("--start", default="LATEST", metavar=START.metavar, show_default=True, help=_START_HELP)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Stop after so many records.")
@click.option(
    "--follow/--no-follow",
    "is_following",
    default=True,
    show_default=True,
    help="Wait for more at the tip, or end there.",
)
@click.option("--json", "is_json", is_flag=True, help="A JSON object for each record, its data in base64.")
@connection_options
@verbose_option
def command(
    stream: str, *, start: str, limit: int | None, is_following: bool, is_json: bool, **connection: Any
) -> None:
    """Show the records of STREAM, a name or an ARN: each shard in order, children after their parents.

    Records that a producer aggregated are shown one by one. Text from the stream is escaped. Ctrl-C ends it.
    """
    position = _position(start)
    display = _Display(limit, is_json=is_json)
    asyncio.run(_tail(connected(stream, **connection), position, display, is_following=is_following))


class _Display:
    """Prints records, up to a limit."""

    def __init__(self, limit: int | None, *, is_json: bool) -> None:
        self._left = limit
        self._is_json = is_json

    def __call__(self, shard_id: str, record: Record) -> bool:
        """Print a record; False once the limit is reached."""
        click.echo(as_json(shard_id, record) if self._is_json else as_text(shard_id, record))
        if self._left is not None:
            self._left -= 1
        return self._left != 0


def as_text(shard_id: str, record: Record) -> str:
    """One line: shard, sequence number, arrival, partition key, data; what a terminal might act on is escaped."""
    arrived = record.approximate_arrival_timestamp.isoformat(timespec="milliseconds")
    place = f"{record.sequence_number}/{record.sub_sequence_number}"
    data = printable(record.data.decode("utf-8", "backslashreplace"))
    return f"{printable(shard_id)} {place} {arrived} {printable(record.partition_key)} {data}"


def as_json(shard_id: str, record: Record) -> str:
    """One line of ASCII."""
    entry: dict[str, object] = {
        "shard": shard_id,
        "sequence_number": record.sequence_number,
        "sub_sequence_number": record.sub_sequence_number,
        "approximate_arrival": record.approximate_arrival_timestamp.isoformat(timespec="milliseconds"),
        "partition_key": record.partition_key,
        "explicit_hash_key": record.explicit_hash_key,
        "aggregated": record.aggregated,
        "data": base64.b64encode(record.data).decode("ascii"),
    }
    return json.dumps(entry)


def _position(start: str) -> StartPosition:
    try:
        return StartPosition.parse(start)
    except ValueError:
        raise click.BadParameter(f"expected {START.expected}", param_hint="--start") from None


async def _tail(connection: "Connection", position: StartPosition, display: _Display, *, is_following: bool) -> None:
    from kcl_py.aws.kinesis import KinesisStream
    from kcl_py.cli.lineage_reader import LineageReader

    stream = KinesisStream(connection)
    reading = asyncio.ensure_future(LineageReader(stream, position, display, is_following=is_following).read())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, reading.cancel)
    try:
        # a signal is how this is meant to end
        await asyncio.wait([reading])
        if not reading.cancelled():
            reading.result()
    finally:
        await stream.close()
