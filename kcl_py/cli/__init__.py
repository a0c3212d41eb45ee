"""`kcl-py`: one file per command. What goes wrong is one line on standard error and a documented exit code."""

import contextlib
import importlib
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from kcl_py import __version__
from kcl_py.cli.options import IS_VERBOSE
from kcl_py.errors import KclError
from kcl_py.printable import printable

_COMMANDS = ("demo", "run", "leases", "consumers", "local", "put", "tail", "policy")
_EXIT_CODES = """\b
Exit codes:
  0    done, or stopped as asked
  1    something unexpected
  2    wrong usage, configuration or processor; nothing was changed
  3    AWS, or the lease table, refused
  130  interrupted: a second signal did not wait for the batch in flight
"""


class _Program(click.Group):
    """Loads a command when it is asked for, and turns errors into lines and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The commands, in the order of a first visit."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"kcl_py.cli.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a `KclError` ends it with its own exit code."""
        try:
            return super().invoke(ctx)
        except KclError as error:
            if ctx.meta.get(IS_VERBOSE):
                for line in "".join(traceback.format_exception(error)).splitlines():
                    _tell(printable(line))
            _complain(str(error))
            raise click.exceptions.Exit(error.exit_code) from None

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,  # noqa: ARG002 - click's signature
        **extra: Any,
    ) -> NoReturn:
        """Run and exit."""
        extra["standalone_mode"] = False
        try:
            code = super().main(args, "kcl-py", **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            _tell(error.format_message())
            code = error.exit_code
        except click.ClickException as error:
            _complain(error.format_message())
            code = error.exit_code
        except click.Abort:
            code = 130
        sys.exit(code)


def _complain(message: str) -> None:
    _tell(f"kcl-py: error: {printable(message)}")


def _tell(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # standard error is closed: the exit code has to do
        click.echo(line, err=True)


@click.group(
    cls=_Program,
    epilog=_EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.version_option(__version__, prog_name="kcl-py")
def main() -> None:
    """Consume Kinesis streams in pure Python: leases, checkpoints and lineage, and no record lost.

    `kcl-py demo` is a first look. `kcl-py local` serves endpoints to try the other commands against.
    """
