"""`kcl-py put`: records from arguments, or lines of standard input, into a stream."""

import asyncio
import json
import queue
import sys
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import click

from kcl_py.cli.options import connected, connection_options, verbose_option
from kcl_py.core.shard import HASH_KEY_MAX
from kcl_py.printable import printable

_LINES_AHEAD_MAX = 2_000
_PARTITION_KEY_MAX = 256  # characters; the API reference of PutRecords


@click.command("put", short_help="Put records into a stream.")
@click.argument("stream")
@click.argument("data", nargs=-1)
@click.option(
    "--partition-key", metavar="TEXT", help="The partition key of every record.  [default: a random one for each]"
)
@click.option(
    "--explicit-hash-key", metavar="N", help="Choose the shard by this number, 0 to 2**128 - 1, not by the key's MD5."
)
@click.option("--json", "is_json", is_flag=True, help="Print the counts as JSON.")
@connection_options
@verbose_option
def command(
    stream: str,
    data: tuple[str, ...],
    *,
    partition_key: str | None,
    explicit_hash_key: str | None,
    is_json: bool,
    **connection: Any,
) -> None:
    """Put records into STREAM, a name or an ARN: each DATA is one record, or, without any, each line of standard input.

    A record whose put is not answered is put again, so it may be there twice; the count is of records that were taken,
    and is left out if there are none.
    """
    _check(partition_key, explicit_hash_key)
    from kcl_py.aws.producer import Entry, Producer

    producer = Producer(connected(stream, **connection))
    with asyncio.Runner() as runner:
        try:
            for texts in [[text.encode() for text in data]] if data else _lines():
                entries = [
                    Entry(
                        data=text,
                        partition_key=partition_key or uuid.uuid4().hex,
                        explicit_hash_key=explicit_hash_key,
                    )
                    for text in texts
                ]
                runner.run(producer.put(entries))
        finally:
            runner.run(producer.close())
            if producer.accepted:
                _report(stream, producer.accepted, is_json=is_json)


def _report(stream: str, records: int, *, is_json: bool) -> None:
    if is_json:
        click.echo(json.dumps({"stream": stream, "records": records}))
    else:
        click.echo(f"put {records} record{'' if records == 1 else 's'} into {printable(stream)}")


def _check(partition_key: str | None, explicit_hash_key: str | None) -> None:
    if partition_key is not None and not 1 <= len(partition_key) <= _PARTITION_KEY_MAX:
        raise click.BadParameter(f"expected 1 to {_PARTITION_KEY_MAX} characters", param_hint="--partition-key")
    if explicit_hash_key is not None and not (
        explicit_hash_key.isascii() and explicit_hash_key.isdigit() and int(explicit_hash_key) <= HASH_KEY_MAX
    ):
        raise click.BadParameter("expected a decimal number, 0 to 2**128 - 1", param_hint="--explicit-hash-key")


def _lines() -> Iterator[list[bytes]]:
    """Lines of standard input, as many at a time as are there: what is typed goes out at once, a file in batches."""
    lines: queue.Queue[bytes | None] = queue.Queue(_LINES_AHEAD_MAX)

    def read() -> None:
        for line in sys.stdin.buffer:
            lines.put(line.removesuffix(b"\n").removesuffix(b"\r"))
        lines.put(None)

    # a thread that may stay behind in a read when the command is interrupted
    threading.Thread(target=read, name="kcl_py-stdin", daemon=True).start()
    while (line := lines.get()) is not None:
        batch = [line]
        while not lines.empty() and len(batch) < _LINES_AHEAD_MAX:
            if (line := lines.get()) is None:
                yield batch
                return
            batch.append(line)
        yield batch
