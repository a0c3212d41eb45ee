"""`kcl-py leases`: who owns what, how far it is, and who leads. It only reads."""

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
import msgspec

from kcl_py import stream_names, table_names
from kcl_py.cli.fleet_view import BeatWatch, FleetView
from kcl_py.cli.options import connected, connection_options, options_of, table_to_look_at, verbose_option
from kcl_py.errors import TROUBLE, AccessDenied, TableMissing
from kcl_py.printable import printable

if TYPE_CHECKING:
    from rich.console import Group

    from kcl_py.cli.lag import LagMeter
    from kcl_py.interfaces import LeaseTable, Stream

_WATCH_SECONDS = 5.0
Show = Callable[[FleetView], None]


@click.command("leases", short_help="Show who owns which shard, and who leads.")
@options_of("application", "table_name", "stream")
@click.option("--all", "is_all", is_flag=True, help="Show finished shards too, which are only counted otherwise.")
@click.option(
    "--lag",
    "has_lag",
    is_flag=True,
    help="Ask the stream how far each checkpoint is behind. The table does not hold it: this costs one GetRecords per "
    "unfinished shard and look, out of the five a second that a shard allows, so workers may be throttled for it. What "
    "is throttled here is tried again for about a second; what is not answered then shows as ?.",
)
@click.option(
    "--watch",
    "watch_seconds",
    type=click.FloatRange(0.5, 3600),
    is_flag=False,
    flag_value=_WATCH_SECONDS,
    metavar="[SECONDS]",
    help=f"Look again and again until interrupted, every {_WATCH_SECONDS:g} seconds if no number is given; also tells "
    "for how long each session's beat has stayed the same.",
)
@click.option("--json", "is_json", is_flag=True, help="A JSON object for each look, on one line.")
@connection_options
@verbose_option
def command(
    application: str | None,
    table_name: str | None,
    stream: str | None,
    *,
    is_all: bool,
    has_lag: bool,
    watch_seconds: float | None,
    is_json: bool,
    **connection: Any,
) -> None:
    """Show a fleet by its lease table: who owns which shard and how far it is, who has joined, who leads.

    For example: kcl-py leases --application printing --watch

    Nothing is written or created. It takes the permissions to describe and scan the table, and for --lag those to read
    the stream; --stream is needed for that only where the rows do not name it. A table of a Java KCL is shown too.

    A session's last beat is told by the worker's own clock. CPU is that of the worker's container, or else of its
    machine. Revoked sessions stay listed for ten minutes. --json has full shard ids and session keys.
    """
    name = table_name or application
    if name is None:
        raise click.UsageError("no application is given; use --application, or --table-name where they differ")
    table_names.check(name, application or "")
    if stream is not None:
        stream_names.check(stream, "--stream")
        connection["region"] = connection["region"] or stream_names.region_of(stream)
    asyncio.run(
        _look(name, application, stream, watch_seconds, connection, is_all=is_all, has_lag=has_lag, is_json=is_json)
    )


class Watcher:
    """Looks at one table, as often as it is asked to.

    Args:
        name: the table's name.
        table: the table; stays open.
        meter: asks for the lag; None to leave it out.
        is_all: show finished leases too.
    """

    def __init__(self, name: str, table: "LeaseTable", meter: "LagMeter | None", *, is_all: bool = False) -> None:
        self._name = name
        self._table = table
        self._meter = meter
        self._is_all = is_all
        self._beats = BeatWatch()
        self._has_looked = False

    async def find(self) -> None:
        """Make sure that there is a table.

        Raises:
            TableMissing, TableRefused: there is none, or it is no lease table.
        """
        try:
            await self._table.prepare()
        except TableMissing:
            raise TableMissing(
                f"table {self._name} does not exist here: no worker has made it, or it is in another region or account"
            ) from None
        except AccessDenied:
            pass  # who may scan and not describe sees an absent table as an empty one

    async def look(self) -> FleetView:
        """One look."""
        at = datetime.now(UTC)
        snapshot = await self._table.snapshot()
        beats = self._beats.saw(snapshot.sessions, asyncio.get_running_loop().time())
        lags = None if self._meter is None else await self._meter.measure(snapshot.leases)
        view = FleetView.of(
            self._name,
            snapshot,
            at=at,
            is_all=self._is_all,
            behind_ms=None if lags is None else lags.behind_ms,
            lag_trouble=None if lags is None else lags.trouble,
            beats_unchanged=beats if self._has_looked else None,
        )
        self._has_looked = True
        return view

    async def watch(self, show: Show, every_seconds: float) -> None:
        """Look on until cancelled. What may pass by itself is told, and does not end it."""
        while True:
            await asyncio.sleep(every_seconds)
            try:
                view = await self.look()
            except TROUBLE as error:
                click.echo(f"kcl-py: {printable(str(error))}", err=True)
            else:
                show(view)


def strangers(view: FleetView, application: str | None, stream: str | None) -> Iterator[str]:
    """Say which of what was asked for is not what the rows name; reading another's table harms nobody."""
    others = [name for name in view.applications if application not in (None, name)]
    if others:
        yield f"the rows of table {view.table} belong to application {others[0]}, not {application}"
    is_arn = stream is not None and stream_names.is_arn(stream)
    names = view.streams if is_arn else tuple(map(stream_names.name_of, view.streams))
    others = [name for name in names if stream not in (None, name)]
    if others:
        yield f"the rows of table {view.table} belong to stream {others[0]}, not {stream}"


async def _look(
    name: str,
    application: str | None,
    stream: str | None,
    watch_seconds: float | None,
    connection: dict[str, Any],
    *,
    is_all: bool,
    has_lag: bool,
    is_json: bool,
) -> None:
    table = table_to_look_at(name, **connection)
    meter = _lag_meter(stream, connection) if has_lag else None
    watcher = Watcher(name, table, meter, is_all=is_all)

    def warn(view: FleetView) -> None:
        for line in strangers(view, application, stream):
            click.echo(f"kcl-py: {printable(line)}", err=True)

    looking = asyncio.ensure_future(_show(watcher, warn, watch_seconds, is_json=is_json))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, looking.cancel)
    try:
        # a signal is how a watch is meant to end
        await asyncio.wait([looking])
        if not looking.cancelled():
            looking.result()
    finally:
        if meter is not None:
            await meter.close()
        await table.close()


async def _show(watcher: Watcher, warn: Show, watch_seconds: float | None, *, is_json: bool) -> None:
    await watcher.find()
    view = await watcher.look()
    warn(view)
    if watch_seconds is not None and sys.stdout.isatty() and not is_json:
        from rich.console import Console
        from rich.live import Live

        from kcl_py.cli.fleet_picture import drawn

        console = Console()

        def fitting(view: FleetView) -> "Group":
            return drawn(view, height_max=console.height)

        with Live(fitting(view), console=console, auto_refresh=False, vertical_overflow="crop") as live:
            await watcher.watch(lambda view: live.update(fitting(view), refresh=True), watch_seconds)
        return
    show = _echo_json if is_json else _echo_text
    show(view)
    if watch_seconds is not None:
        await watcher.watch(lambda view: _echo_next(view, show), watch_seconds)


def _echo_json(view: FleetView) -> None:
    click.echo(json.dumps(msgspec.to_builtins(view)))


def _echo_text(view: FleetView) -> None:
    from kcl_py.cli import fleet_picture

    if sys.stdout.isatty():
        from rich.console import Console

        Console().print(fleet_picture.drawn(view))
        return
    for line in fleet_picture.lines(view):
        click.echo(line)


def _echo_next(view: FleetView, show: Show) -> None:
    if show is _echo_text:
        click.echo()
    show(view)


def _lag_meter(stream: str | None, connection: dict[str, Any]) -> "LagMeter":
    from kcl_py.aws.kinesis import KinesisStream
    from kcl_py.cli.lag import LagMeter

    def open_stream(name: str) -> "Stream":
        region = stream_names.region_of(name) or connection["region"]
        return KinesisStream(connected(name, **(connection | {"region": region})))

    return LagMeter(open_stream, stream)
