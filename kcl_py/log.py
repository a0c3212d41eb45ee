"""Events as log records of the logger `kcl_py`.

In a program of the user's own the logging configuration there decides what becomes of the records; `kcl-py` writes them
with `log_output`. The root logger is never touched.
"""

import logging
import re
from typing import Any

import msgspec

from kcl_py.events import Event
from kcl_py.printable import printable

LOGGER_NAME = "kcl_py"
CONTEXT_ATTRIBUTE = "kcl"
"""The attribute of a log record that holds application, stream, worker, shard, and the event with its fields."""

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_CHATTY = ("aioboto3", "aiobotocore", "aiohttp", "boto3", "botocore", "pynamodb", "urllib3")


class LogListener:
    """Logs every event. Pass it to a worker among its `listeners`.

    An event becomes a message such as `lease picked up shard=shardId-000000000000 checkpoint=TRIM_HORIZON`, and a dict
    in the record's attribute `kcl` for structured logs.
    """

    def __init__(self, application: str, stream: str, worker_id: str) -> None:
        """Name what every record carries, and keep the SDK's loggers from telling secrets."""
        keep_the_sdk_quiet()
        self._context = {"application": application, "stream": stream, "worker": worker_id}
        self._logger = logging.getLogger(LOGGER_NAME)

    def __call__(self, event: Event) -> None:
        """Log one event."""
        level = _LEVELS[event.level]
        if not self._logger.isEnabledFor(level):
            return
        name = words(event)
        fields = _fields(event)
        told = " ".join(f"{field}={_as_word(value)}" for field, value in fields.items())
        context = self._context | {"event": name} | fields
        # no %-arguments: the text is complete, and a % in it is only a percent sign
        self._logger.log(level, "%s", f"{name} {told}".rstrip(), extra={CONTEXT_ATTRIBUTE: context})


def keep_the_sdk_quiet() -> None:
    """Hold the loggers of the SDK and its transports at INFO or above, also where the root logger is at DEBUG.

    At DEBUG botocore logs requests, session token and record data included. A level that somebody set on one of these
    loggers on purpose is left alone.
    """
    for name in _CHATTY:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)


def words(event: Event) -> str:
    """An event's name in words: `LeasePickedUp` is `lease picked up`."""
    return _WORD_START.sub(" ", type(event).__name__).lower()


def _fields(event: Event) -> dict[str, Any]:
    fields = msgspec.structs.asdict(event)
    del fields["level"]
    shard_id = fields.pop("shard_id", None)
    shard = {} if shard_id is None else {"shard": shard_id}
    return shard | {name: value for name, value in fields.items() if value is not None}


def _as_word(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, tuple):
        return ",".join(map(_as_word, value)) or "-"
    text = printable(str(value))
    return text if text and " " not in text and '"' not in text else '"' + text.replace('"', '\\"') + '"'
