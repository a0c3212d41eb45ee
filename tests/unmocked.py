"""Clients that moto does not listen to: it puts itself into every client of a process that has imported it."""

from typing import Any

from botocore import handlers


def builtin_handlers() -> list[Any]:
    """What botocore itself registers with a new session."""
    return [one for one in handlers.BUILTIN_HANDLERS if not type(one[1]).__module__.startswith("moto.")]
