"""`kcl-py consumers`: the enhanced fan-out consumers of a stream, and how to be rid of one."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kcl_py.cli.options import connected, connection_options, options_of, verbose_option
from kcl_py.printable import printable

if TYPE_CHECKING:
    from kcl_py.interfaces import FanOut, StreamConsumer

T = TypeVar("T")
_CONSUMER = re.compile(r"[a-zA-Z0-9_.-]{1,128}")  # the API reference's pattern


@click.group("consumers", short_help="List or deregister enhanced fan-out consumers.")
def command() -> None:
    """Show the enhanced fan-out consumers of a stream, and deregister those that nobody needs.

    A worker with fan-out registers its consumer by itself. It stays registered when the last worker has left, and
    costs money for every shard and hour until it is deregistered.
    """


@command.command("list", short_help="Show the consumers of a stream.")
@options_of("stream")
@click.option("--json", "is_json", is_flag=True, help="A JSON object, on one line.")
@connection_options
@verbose_option
def list_command(stream: str | None, *, is_json: bool, **connection: Any) -> None:
    """Show every consumer of a stream: its name, status, since when it is there, and its ARN.

    For example: kcl-py consumers list --stream orders

    It takes the permissions kinesis:ListStreamConsumers, and kinesis:DescribeStreamSummary unless the stream is given
    by its ARN.
    """
    name = _given(stream)
    found = _asked(name, connection, lambda fan_out: fan_out.consumers())
    if is_json:
        click.echo(json.dumps({"stream": name, "consumers": [_as_json(one) for one in found]}))
        return
    if not found:
        click.echo(f"stream {printable(name)} has no enhanced fan-out consumers")
    name_width = max((len(printable(one.name)) for one in found), default=0)
    for one in found:
        created = _moment(one.created_at_seconds)
        click.echo(f"{printable(one.name):{name_width}}  {printable(one.status):8}  {created}  {printable(one.arn)}")


@command.command("deregister", short_help="Deregister a consumer.")
@click.argument("consumer")
@options_of("stream")
@click.option("--yes", "is_meant", is_flag=True, help="Say that it is meant; nothing is done without it.")
@click.option("--json", "is_json", is_flag=True, help="Print what was done as a JSON object.")
@connection_options
@verbose_option
def deregister_command(consumer: str, stream: str | None, *, is_meant: bool, is_json: bool, **connection: Any) -> None:
    """Deregister CONSUMER, the name of a consumer, from a stream.

    For example: kcl-py consumers deregister printing --stream orders --yes

    All subscriptions through it end at once. No record and no checkpoint is touched, and a worker with fan-out that
    still runs registers it again. The service takes some seconds until it is gone.

    It takes the permissions kinesis:DeregisterStreamConsumer, kinesis:DescribeStreamConsumer, and
    kinesis:DescribeStreamSummary unless the stream is given by its ARN.
    """
    name = _given(stream)
    if not _CONSUMER.fullmatch(consumer):
        raise click.BadParameter("expected 1 to 128 letters, digits, _ . or -", param_hint="CONSUMER")
    if not is_meant:
        raise click.UsageError(
            f"consumer {consumer} of stream {name} is not deregistered without --yes: all subscriptions through it end"
        )
    _asked(name, connection, lambda fan_out: fan_out.deregister(consumer))
    if is_json:
        click.echo(json.dumps({"stream": name, "deregistered": consumer}))
    else:
        click.echo(f"deregistered {printable(consumer)} from {printable(name)}")


def _given(stream: str | None) -> str:
    if stream is None:
        raise click.UsageError("no stream is given; use --stream")
    return stream


def _asked(stream: str, connection: dict[str, Any], ask: Callable[["FanOut"], Awaitable[T]]) -> T:
    from kcl_py.aws.fan_out import KinesisFanOut

    async def asked() -> T:
        fan_out = KinesisFanOut(connected(stream, **connection))
        try:
            return await ask(fan_out)
        finally:
            await fan_out.close()

    return asyncio.run(asked())


def _as_json(consumer: "StreamConsumer") -> dict[str, object]:
    return {
        "name": consumer.name,
        "status": consumer.status,
        "created_at": _moment(consumer.created_at_seconds),
        "arn": consumer.arn,
    }


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
