"""How `kcl-py` writes its log: lines of text or of JSON, from a thread of its own, so that nobody waits for a pipe."""

import contextlib
import json
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

from kcl_py.log import CONTEXT_ATTRIBUTE, LOGGER_NAME
from kcl_py.printable import printable

LINES_MAX = 10_000
"""Waiting to be written; a reader that is slower than that loses lines, and is told how many."""
_LAST_WORDS_SECONDS = 1.0
_STDERR_FD = 2

Write = Callable[[bytes], object]


@contextlib.contextmanager
def writing(form: Literal["text", "json"], level: int, write: Write | None = None) -> Iterator[None]:
    """Send the logger `kcl_py` to standard error, and nowhere else, until the block ends.

    Args:
        form: how a line looks.
        level: of the `logging` module.
        write: takes the bytes of a line; file descriptor 2 if absent.
    """
    handler = BackgroundHandler(write or (_to_stderr if sys.stderr is not None else _nowhere))
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logger = logging.getLogger(LOGGER_NAME)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]
        handler.close()


class TextFormatter(logging.Formatter):
    """`2026-03-01T09:00:00.250Z INFO lease picked up shard=… | application=billing stream=orders worker=host-1`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, or several where there is a traceback; control characters are escaped."""
        line = f"{_moment(record)} {record.levelname} {printable(record.getMessage())}"
        context = _context(record)
        who = " ".join(f"{name}={printable(context[name])}" for name in _WHO if name in context)
        return "\n".join([f"{line} | {who}" if who else line, *_trace(self, record)])


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, message, event, application, stream, worker, shard, the event's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of ASCII; JSON escapes what a terminal might act on."""
        entry: dict[str, Any] = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {name: value for name, value in _context(record).items() if name not in entry}
        if trace := _trace(self, record):
            entry["traceback"] = "\n".join(trace)
        return json.dumps(entry, default=str)


class BackgroundHandler(logging.Handler):
    """Hands lines to a thread that writes them. Never blocks, and never raises: a full disk, a closed or a stuck
    standard error costs lines, not records.
    """

    def __init__(self, write: Write, lines_max: int = LINES_MAX) -> None:
        """Start the thread."""
        super().__init__()
        self.lost_lines = 0
        self._write = write
        self._lines: queue.Queue[bytes | None] = queue.Queue(lines_max)
        self._thread = threading.Thread(target=self._work, name="kcl_py-log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Format the record here, where its values cannot change, and write it over there."""
        try:
            self._lines.put_nowait(f"{self.format(record)}\n".encode("utf-8", "backslashreplace"))
        except (queue.Full, LookupError, TypeError, ValueError):  # the last three: a message and its arguments disagree
            self.lost_lines += 1

    def close(self) -> None:
        """Wait for the last lines, two seconds at most. May be called again."""
        if not self._thread.is_alive():
            return
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=_LAST_WORDS_SECONDS)
        self._thread.join(_LAST_WORDS_SECONDS)
        super().close()

    def _work(self) -> None:
        told = 0
        while (line := self._lines.get()) is not None:
            if (lost := self.lost_lines) > told:
                line += f"{lost - told} log lines were lost: they came faster than they were read\n".encode()
                told = lost
            # OSError: the disk is full, or nobody reads any more; ValueError: the file was closed
            with contextlib.suppress(OSError, ValueError):
                self._write(line)


_WHO = ("application", "stream", "worker")


def _to_stderr(line: bytes) -> None:
    """Past sys.stderr: its lock, held by a thread that is stuck in a write, would hang or abort the interpreter."""
    while line:
        line = line[os.write(_STDERR_FD, line) :]


def _nowhere(_: bytes) -> None:
    """Standard error was closed before we began: descriptor 2 may by now be anything, a socket to DynamoDB even."""


def _moment(record: logging.LogRecord) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{whole}.{int(record.msecs):03d}Z"


def _context(record: logging.LogRecord) -> dict[str, Any]:
    context = getattr(record, CONTEXT_ATTRIBUTE, None)
    return context if isinstance(context, dict) else {}


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    if not record.exc_info:
        return []
    return [printable(line) for line in formatter.formatException(record.exc_info).splitlines()]
