"""The lease table's name, which is the application's unless it is told otherwise."""

import re

from kcl_py.errors import ConfigError
from kcl_py.printable import quoted

_TABLE = re.compile(r"[a-zA-Z0-9_.-]{3,255}", re.ASCII)  # DynamoDB's rule


def check(table_name: str, application: str) -> None:
    """Refuse what names no table, or an application that cannot be printed.

    Raises:
        ConfigError: says which of the two, and what is expected.
    """
    if not application.isprintable():
        raise ConfigError(f"application is {quoted(application)}; expected printable text")
    if not _TABLE.fullmatch(table_name):
        whose = "application, which names the table too," if table_name == application else "table_name"
        raise ConfigError(f"{whose} is {quoted(table_name)}; expected 3 to 255 of A-Z, a-z, 0-9, '.', '-' and '_'")
