"""`kcl-py demo`: see it work, without AWS."""

import sys

import click


@click.command("demo", short_help="See it work, without AWS.")
@click.option("--plain", is_flag=True, help="Print lines, as without a terminal, and no live picture.")
def command(plain: bool) -> None:
    """Watch records flow through a worker, across a split and a merge, and see the proof that none was lost.

    Everything runs in this process: a local Kinesis, a local DynamoDB for the lease table, a producer and a worker.
    It takes about twenty seconds and needs no AWS account.
    """
    from kcl_py.cli import demo_story

    raise SystemExit(0 if demo_story.tell(is_live=sys.stdout.isatty() and not plain) else 1)
