"""Logs: who, where and what, never a payload, and never in the way."""

import json
import logging
import threading
from collections.abc import Iterator

import pytest

from kcl_py import events
from kcl_py.log import LogListener
from kcl_py.log_output import BackgroundHandler, JsonFormatter, TextFormatter, writing

PICKED_UP = events.LeasePickedUp(shard_id="shardId-000000000001", fencing_token=7, checkpoint="TRIM_HORIZON")
SDK_LOGGERS = ("botocore", "aiobotocore", "aiohttp", "urllib3", "pynamodb")


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("kcl_py", *SDK_LOGGERS)] + [logging.getLogger()]
    before = [(logger, logger.level, list(logger.handlers), logger.propagate) for logger in loggers]
    yield
    for logger, level, handlers, propagate in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate


@pytest.fixture
def listener() -> LogListener:
    return LogListener("billing", "orders", "host-1")


def only_record(caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    assert len(caplog.records) == 1
    return caplog.records[0]


def test_an_event_is_a_message_of_the_logger_kcl_py(listener: LogListener, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="kcl_py"):
        listener(PICKED_UP)

    record = only_record(caplog)
    assert record.name == "kcl_py"
    assert record.getMessage() == "lease picked up shard=shardId-000000000001 fencing_token=7 checkpoint=TRIM_HORIZON"


def test_the_events_level_is_the_records(listener: LogListener, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="kcl_py"):
        listener(events.LeaseWasLost(shard_id="shardId-000000000001", reason="deadline"))
        listener(events.CheckpointWritten(shard_id="shardId-000000000001", checkpoint="21/0", fencing_token=7))

    assert only_record(caplog).levelno == logging.WARNING


def test_a_percent_sign_and_blanks_are_only_text(listener: LogListener, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="kcl_py"):
        listener(events.OddRowFound(key='100%s "odd" row', reason="it has\nno checkpoint"))

    told = only_record(caplog).getMessage()
    assert told == 'odd row found key="100%s \\"odd\\" row" reason="it has\\nno checkpoint"'


def test_a_line_of_text_says_who_and_escapes_what_a_terminal_would_act_on(
    listener: LogListener, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="kcl_py"):
        listener(events.OddRowFound(key="\x1b[2Jgone", reason="odd"))

    line = TextFormatter().format(only_record(caplog))
    assert line.endswith(
        "Z WARNING odd row found key=\\x1b[2Jgone reason=odd | application=billing stream=orders worker=host-1"
    )


def test_a_line_of_json_holds_every_field_by_name(listener: LogListener, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="kcl_py"):
        listener(PICKED_UP)

    entry = json.loads(JsonFormatter().format(only_record(caplog)))
    del entry["time"]
    assert entry == {
        "level": "info",
        "logger": "kcl_py",
        "message": "lease picked up shard=shardId-000000000001 fencing_token=7 checkpoint=TRIM_HORIZON",
        "event": "lease picked up",
        "application": "billing",
        "stream": "orders",
        "worker": "host-1",
        "shard": "shardId-000000000001",
        "fencing_token": 7,
        "checkpoint": "TRIM_HORIZON",
    }


def test_records_of_other_loggers_and_tracebacks_can_be_written_too() -> None:
    try:
        raise ValueError("\x1b[31m")
    except ValueError as error:
        record = logging.LogRecord("mine", logging.ERROR, "", 0, "oh %s", ("no",), (type(error), error, None))

    text = TextFormatter().format(record)
    assert text.endswith("Z ERROR oh no\nValueError: \\x1b[31m")
    entry = json.loads(JsonFormatter().format(record))
    assert entry["logger"] == "mine"
    assert entry["traceback"] == "ValueError: \\x1b[31m"


def test_the_sdk_stays_at_info_when_the_root_is_at_debug() -> None:
    root = logging.getLogger()
    root.setLevel(logging.DEBUG)

    LogListener("billing", "orders", "host-1")

    assert [logging.getLogger(name).isEnabledFor(logging.DEBUG) for name in SDK_LOGGERS] == [False] * len(SDK_LOGGERS)
    assert logging.getLogger("botocore.auth").getEffectiveLevel() == logging.INFO
    assert root.level == logging.DEBUG


def test_a_level_that_was_chosen_for_an_sdk_logger_stays() -> None:
    logging.getLogger("botocore").setLevel(logging.ERROR)

    LogListener("billing", "orders", "host-1")

    assert logging.getLogger("botocore").level == logging.ERROR


def test_installed_output_writes_lines_and_leaves_the_root_alone(listener: LogListener) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    lines: list[bytes] = []

    with writing("json", logging.INFO, lines.append):
        listener(PICKED_UP)

    assert json.loads(b"".join(lines))["shard"] == "shardId-000000000001"
    assert (root.level, list(root.handlers)) == before
    assert BackgroundHandler not in {type(handler) for handler in logging.getLogger("kcl_py").handlers}
    assert logging.getLogger("kcl_py").propagate


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("I/O operation on closed file")])
def test_an_output_that_fails_costs_lines_and_nothing_else(listener: LogListener, error: Exception) -> None:
    written: list[bytes] = []

    def write(line: bytes) -> None:
        written.append(line)
        raise error

    with writing("text", logging.INFO, write):
        listener(PICKED_UP)
        listener(PICKED_UP)

    assert len(written) == 2


def test_an_output_that_is_stuck_holds_nobody_up_and_says_later_what_was_lost(listener: LogListener) -> None:
    goes_on, lines = threading.Event(), []

    def write(line: bytes) -> None:
        goes_on.wait(30)
        lines.append(line)

    handler = BackgroundHandler(write, lines_max=2)
    logger = logging.getLogger("kcl_py")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for _ in range(50):
        listener(PICKED_UP)
    lost = handler.lost_lines
    goes_on.set()
    handler.close()

    assert lost >= 47
    assert any(f"{lost} log lines were lost".encode() in line for line in lines)
