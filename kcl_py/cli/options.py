"""Options that come out of the schema of `Config`, and those that several commands share."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from kcl_py import endpoint
from kcl_py.config import SETTINGS, default_of
from kcl_py.log import keep_the_sdk_quiet
from kcl_py.setting import SWITCH, Setting

if TYPE_CHECKING:
    from kcl_py.aws.connection import Connection
    from kcl_py.aws.lease_table import DynamoDBLeaseTable

F = TypeVar("F", bound=Callable[..., Any])
READY_TIMEOUT_SECONDS = 10.0
"""How long a command waits for a table that is being created."""
IS_VERBOSE = "kcl_py.is_verbose"
"""The key of a click context's `meta` that tells whether `--verbose` was given."""


def setting_options(function: F) -> F:
    """Add an option for every setting; each arrives under its key, None where it was not given."""
    for name, setting in reversed(list(SETTINGS.items())):
        function = _added(function, setting, _help(name, setting))
    return function


def connection_options(function: F) -> F:
    """Add what a command needs that only talks to AWS; the environment's twins count, files do not."""
    return options_of("region", "endpoint_url", "allow_plain_http")(function)


def options_of(*names: str) -> Callable[[F], F]:
    """Add an option for each of these settings, none of them required; the environment's twins count, files do not."""

    def add(function: F) -> F:
        for name in reversed(names):
            setting = msgspec.structs.replace(SETTINGS[name], is_required=False)
            function = _added(function, setting, _help(name, setting), envvar=setting.variable)
        return function

    return add


def connected(
    stream: str, *, region: str | None, endpoint_url: str | None, allow_plain_http: bool | None
) -> "Connection":
    """The connection that the values of `connection_options` describe.

    Raises:
        ConfigError: the stream's name or the endpoint is not one.
    """
    from kcl_py.aws.connection import Connection

    keep_the_sdk_quiet()
    is_allowed = _is_plain_http_allowed(endpoint_url, allow_plain_http)
    return Connection(stream, region=region, endpoint_url=endpoint_url, is_plain_http_allowed=is_allowed)


def table_to_look_at(
    table_name: str, *, region: str | None, endpoint_url: str | None, allow_plain_http: bool | None
) -> "DynamoDBLeaseTable":
    """A door to a lease table that is read only: it never creates the table, and never waits long for it.

    Raises:
        ConfigError: the endpoint is none.
    """
    from kcl_py.aws.lease_table import DynamoDBLeaseTable
    from kcl_py.aws.table_life import TableOptions

    keep_the_sdk_quiet()
    return DynamoDBLeaseTable(
        table_name,
        region=region,
        endpoint_url=endpoint_url,
        is_plain_http_allowed=_is_plain_http_allowed(endpoint_url, allow_plain_http),
        options=TableOptions(create_table=False, ready_timeout_seconds=READY_TIMEOUT_SECONDS),
    )


def verbose_option(function: F) -> F:
    """Add `--verbose`, which is looked up in the context's `meta`."""

    def note(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        ctx.meta[IS_VERBOSE] = value

    return click.option(
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=note,
        help="Log at debug level, and show the traceback of an error.",
    )(function)


def is_verbose() -> bool:
    """True if the running command was given `--verbose`."""
    return bool(click.get_current_context().meta.get(IS_VERBOSE))


def _is_plain_http_allowed(endpoint_url: str | None, allow_plain_http: bool | None) -> bool:
    is_allowed = bool(allow_plain_http)
    if endpoint_url is not None:
        endpoint.check(endpoint_url, SETTINGS["endpoint_url"].option, is_plain_http_allowed=is_allowed)
    return is_allowed


def _added(function: F, setting: Setting, text: str, **more: Any) -> F:
    if setting.form is SWITCH:
        opposite = setting.option.replace("--", "--no-", 1)
        return click.option(f"{setting.option}/{opposite}", setting.key, default=None, help=text, **more)(function)
    metavar = setting.form.metavar
    return click.option(setting.option, setting.key, default=None, metavar=metavar, help=text, **more)(function)


def _help(name: str, setting: Setting) -> str:
    default = default_of(name)
    notes = [setting.variable] if default is None else [f"default: {setting.form.shown(default)}", setting.variable]
    if setting.is_required:
        notes.insert(0, "required")
    return f"{setting.reason}  [{'; '.join(notes)}]"
