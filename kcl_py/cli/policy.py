"""`kcl-py policy`: the IAM policies that ship, filled in for one application."""

import re
from importlib import resources

import click

from kcl_py import stream_names, table_names
from kcl_py.cli.options import options_of

POLICIES = ("run", "provision", "fan-out")
_OF_THE_TABLE = ("run", "provision")
_OF_THE_STREAM = ("run", "fan-out")
_ACCOUNT = re.compile(r"[0-9]{12}")
_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-[0-9]+")
_PARTITIONS = {"cn": "aws-cn", "us-gov": "aws-us-gov"}  # by how their regions begin; all others are in aws
_STREAM_ARN = "arn:aws:kinesis:REGION:ACCOUNT:stream/STREAM"
_KEY_ARN = "arn:aws:kms:REGION:ACCOUNT:key"
_TABLE_ARN = "arn:aws:dynamodb:REGION:ACCOUNT:table/TABLE"


@click.command("policy", short_help="Print the IAM policy of a worker.")
@click.argument("name", metavar="|".join(POLICIES), type=click.Choice(POLICIES))
@options_of("stream", "application", "table_name")
@click.option(
    "--region", metavar="TEXT", envvar="KCL_PY_REGION", help="The AWS region. Default: that in the stream's ARN."
)
@click.option(
    "--account",
    metavar="ID",
    help="The AWS account of the table, 12 digits, and of the stream if that is given by its name. Default: the "
    "account in the stream's ARN.",
)
def command(
    name: str,
    *,
    stream: str | None,
    application: str | None,
    table_name: str | None,
    region: str | None,
    account: str | None,
) -> None:
    """Print an IAM policy, ready to be attached.

    For example: kcl-py policy run --stream orders --application printing --region eu-west-1 --account 123456789012

    run is all that a worker needs while its lease table stands. provision makes the table; it also adds a missing
    index, tags and point-in-time recovery. Whoever lets workers make their table gives them both. fan-out is what
    enhanced fan-out takes besides run: to register the consumer and to subscribe through it; it names no table.
    """
    table = table_name or application
    if table is None and name in _OF_THE_TABLE:
        raise click.UsageError("no application is given; use --application, or --table-name where they differ")
    if table is not None:
        table_names.check(table, application or "")
    if stream is None and name in _OF_THE_STREAM:
        raise click.UsageError("no stream is given; use --stream")
    if stream is not None:
        stream_names.check(stream, "--stream")
        stream_names.check_region(stream, region)
    is_arn = stream is not None and stream_names.is_arn(stream)
    partition, _, arn_region, arn_account = str(stream).split(":")[1:5] if is_arn else ("", "", None, None)
    region, account = _checked(region or arn_region, account or arn_account)
    partition = partition or next((_PARTITIONS[start] for start in _PARTITIONS if region.startswith(start)), "aws")
    stream_arn = str(stream) if is_arn else f"arn:{partition}:kinesis:{region}:{account}:stream/{stream}"
    text = resources.files("kcl_py").joinpath("policies", f"{name}.json").read_text(encoding="utf-8")
    text = text.replace(_STREAM_ARN, stream_arn)
    text = text.replace(_KEY_ARN, f"arn:{partition}:kms:{region}:{stream_arn.split(':')[4]}:key")
    text = text.replace(_TABLE_ARN, f"arn:{partition}:dynamodb:{region}:{account}:table/{table}")
    click.echo(text, nl=False)


def _checked(region: str | None, account: str | None) -> tuple[str, str]:
    if region is None:
        raise click.UsageError("no region is given; use --region, or the stream's ARN")
    if account is None:
        raise click.UsageError("no account is given; use --account, or the stream's ARN")
    if not _REGION.fullmatch(region):
        raise click.BadParameter("expected a region such as eu-west-1", param_hint="--region")
    if not _ACCOUNT.fullmatch(account):
        raise click.BadParameter("expected the 12 digits of an AWS account", param_hint="--account")
    return region, account
