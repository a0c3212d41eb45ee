"""`kcl-py demo`: see it work, without AWS."""

import sys

import click


@click.command("demo", short_help="See it work, without AWS.")
@click.option("--plain", is_flag=True, help="Print lines, as without a terminal, and no live picture.")
def command(plain: bool) -> None:
    """Watch two workers share a stream, across a split, a merge and a death, and see the proof that nothing was lost.

    Shards move from the first worker to the second, which is a process of its own and is killed in the end. A local
    Kinesis, a local DynamoDB for the lease table, a producer and the first worker run in this process. It takes less
    than half a minute and needs no AWS account.
    """
    from kcl_py.cli import demo_story

    raise SystemExit(0 if demo_story.tell(is_live=sys.stdout.isatty() and not plain) else 1)
