"""What others wrote into the stream, the table or an answer comes out escaped, on one line, wherever it is shown."""

import asyncio
import io
import json
import logging
import types
import typing
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from kcl_py import events
from kcl_py.aws import table_items
from kcl_py.aws.translate import translated
from kcl_py.cli import demo_picture, fleet_picture, main, tail
from kcl_py.cli.fleet_view import FleetView
from kcl_py.cli.leases import strangers
from kcl_py.core.checkpoint import TRIM_HORIZON, Checkpoint
from kcl_py.core.leadership import LeaderLock
from kcl_py.core.lease import Binding, Lease
from kcl_py.core.record import Record
from kcl_py.core.session import Session
from kcl_py.core.table import OddRow, TableSnapshot
from kcl_py.events import Event
from kcl_py.local.memory_lease_table import MemoryLeaseTable
from kcl_py.log import LogListener
from kcl_py.log_output import JsonFormatter, TextFormatter, writing
from tests.security.hostile_text import ACTING, MARK, acting_on_a_terminal, texts

AT = datetime(2026, 3, 1, 9, tzinfo=UTC)
EVENTS = sorted(
    (kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)),
    key=lambda kind: kind.__name__,
)
NOT_SHOWN = {Event, events.ShardEvent}


@st.composite
def snapshots(draw: st.DrawFn) -> TableSnapshot:
    """A table in which every text is hostile."""

    def one() -> str:
        return draw(texts)

    leases = [
        Lease(
            key=one(),
            checkpoint=draw(st.sampled_from([TRIM_HORIZON, Checkpoint("7", 3)])),
            owner=one() if draw(st.booleans()) else None,
            checkpoint_owner=one() if draw(st.booleans()) else None,
            held_by=one() if draw(st.booleans()) else None,
            parent_shard_ids=(one(),),
            child_shard_ids=(one(),),
            binding=Binding(one(), one(), one()),
        )
        for _ in range(draw(st.integers(0, 3)))
    ]
    child = Lease(key="child", checkpoint=TRIM_HORIZON, parent_shard_ids=tuple(lease.key for lease in leases))
    return TableSnapshot(
        leases=(*leases, child),
        sessions=tuple(Session(key=one()) for _ in range(draw(st.integers(0, 2)))),
        odd_rows=(OddRow(one(), one()),),
        foreign_entries=(one(),),
        lock=LeaderLock(owner=one(), version=one(), duration_ms=1, standby=one()),
    )


class TestTheTableOfLeases:
    @given(snapshots(), texts)
    @settings(deadline=None, max_examples=20)
    def test_shows_no_text_of_the_table_as_it_stands(self, snapshot: TableSnapshot, trouble: str) -> None:
        view = FleetView.of("orders", snapshot, at=AT, is_all=True, lag_trouble=trouble, behind_ms={})
        lines = fleet_picture.lines(view)
        assert {bad for line in lines for bad in acting_on_a_terminal(line)} == set()
        assert sum("does not parse" in line for line in lines) == 1
        for width in (30, 80, 200):
            file = io.StringIO()
            console = Console(file=file, width=width, force_terminal=True, color_system=None)
            console.print(fleet_picture.drawn(view, height_max=width))
            assert {bad for line in file.getvalue().split("\n") for bad in acting_on_a_terminal(line)} == set()

    @given(snapshots())
    @settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_of_the_command_itself_warnings_and_json_included(self, snapshot: TableSnapshot) -> None:
        class Table(MemoryLeaseTable):
            async def snapshot(self) -> TableSnapshot:
                return snapshot

        table = Table(exists=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("kcl_py.cli.leases.table_to_look_at", lambda *_, **__: table)
            for words in ([], ["--json"]):
                result = CliRunner().invoke(
                    main, ["leases", "--application", "billing", "--stream", "orders", "--all", *words]
                )
                assert result.exit_code == 0, result.output
                assert MARK in result.stdout
                shown = result.stdout.split("\n") + result.stderr.split("\n")
                assert {bad for line in shown for bad in acting_on_a_terminal(line)} == set()
                if len(snapshot.leases) > 1:
                    assert "belong to" in result.stderr

    def test_the_warnings_are_hostile_before_they_are_shown(self) -> None:
        row = Lease(key="s", checkpoint=TRIM_HORIZON, binding=Binding("\x1b@1", "\x1b", None))
        view = FleetView.of("orders", TableSnapshot(leases=(row,)), at=AT)
        assert all("\x1b" in line for line in strangers(view, "billing", "orders"))

    def test_reasons_of_odd_rows_come_from_a_real_parse_too(self) -> None:
        item = {"leaseKey": {"S": ACTING[0]}, "entityType": {"S": "LEASE"}, "checkpoint": {"S": ACTING[1]}}
        view = FleetView.of("orders", table_items.snapshot_of([item], ()), at=AT)
        (line,) = [line for line in fleet_picture.lines(view) if "does not parse" in line]
        assert "\\x1b[2J" in line
        assert acting_on_a_terminal(line) == set()


@settings(deadline=None)
@given(texts, texts, texts.map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_tail_shows_a_record_on_one_tame_line(shard_id: str, key: str, data: bytes) -> None:
    record = Record(data=data, partition_key=key, sequence_number="7", arrival_timestamp_seconds=0.0)
    for line in (tail.as_text(shard_id, record), tail.as_json(shard_id, record)):
        assert acting_on_a_terminal(line) == set()
    assert json.loads(tail.as_json(shard_id, record))["partition_key"] == key


def filled(kind: type[Event], text: str) -> Event:
    """An event of this kind whose every text is `text`."""
    hints = typing.get_type_hints(kind)
    return kind(**{field.name: _value(hints[field.name], text) for field in msgspec.structs.fields(kind)})


def _value(hint: Any, text: str) -> Any:
    alternatives = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if str in alternatives:
        return text
    if hint == tuple[str, ...]:
        return (text, text)
    if typing.get_origin(hint) is typing.Literal:
        return "error"
    return next(kind for kind in alternatives if kind is not type(None))(7)


class TestTheLog:
    @pytest.mark.parametrize("kind", [kind for kind in EVENTS if kind not in NOT_SHOWN])
    @pytest.mark.parametrize("form", ["text", "json"])
    def test_tells_every_event_on_one_tame_line(self, kind: type[Event], form: Any) -> None:
        lines: list[bytes] = []
        for text in ACTING:
            with writing(form, logging.DEBUG, lines.append):
                LogListener(text, text, text)(filled(kind, text))
        assert len(lines) == len(ACTING)
        for line in b"".join(lines).decode().removesuffix("\n").split("\n"):
            assert acting_on_a_terminal(line) == set()
            assert line.startswith("{" if form == "json" else "20")

    @pytest.mark.parametrize("kind", [kind for kind in EVENTS if kind not in NOT_SHOWN])
    def test_is_tame_before_anybody_s_own_handler_gets_it(
        self, kind: type[Event], caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG, logger="kcl_py"):
            for text in ACTING:
                LogListener("billing", "orders", "ann")(filled(kind, text))
        messages = [record.getMessage() for record in caplog.records]
        assert len(messages) == len(ACTING)
        assert {bad for message in messages for bad in acting_on_a_terminal(message)} == set()

    @pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
    @pytest.mark.parametrize("text", ACTING)
    def test_tells_a_stranger_s_record_and_its_traceback_tamely(self, formatter: logging.Formatter, text: str) -> None:
        error = ValueError(text)
        record = logging.LogRecord(text, logging.ERROR, "", 0, text.replace("%", "%%"), (), (ValueError, error, None))
        shown = formatter.format(record)
        assert {bad for line in shown.split("\n") for bad in acting_on_a_terminal(line)} == set()


class TestTheDemo:
    @given(texts, texts)
    @settings(deadline=None, max_examples=30)
    def test_shows_no_text_of_an_event_as_it_stands(self, worker: str, text: str) -> None:
        picture = demo_picture.Picture(text)
        for kind in (events.LeadershipTaken, events.SessionRevoked, events.SessionLost, events.WorkerReady):
            picture.note(worker, filled(kind, text))
        picture.note(worker, events.LeaseHandedOver(shard_id=text, to=text, checkpoint=text))
        picture.note(worker, events.LeasePickedUp(shard_id=text, fencing_token=1, checkpoint=text))
        picture.listed(text, (text,))
        file = io.StringIO()
        Console(file=file, width=200, force_terminal=True, color_system=None).print(demo_picture._drawn(picture))
        shown = file.getvalue().split("\n") + [sentence for _, sentence in picture.sentences]
        assert {bad for line in shown for bad in acting_on_a_terminal(line)} == set()


class TestErrors:
    @given(texts, texts)
    @settings(deadline=None, max_examples=20)
    def test_of_a_service_are_told_on_one_tame_line(self, code: str, message: str) -> None:
        answer = {"Error": {"Code": code, "Message": message}}
        error = translated(ClientError(answer, "Scan"), "dynamodb:Scan", "table orders")
        for words in ([], ["--verbose"]):

            class Table(MemoryLeaseTable):
                async def prepare(self) -> str | None:
                    raise error

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("kcl_py.cli.leases.table_to_look_at", lambda *_, **__: Table())
                result = CliRunner().invoke(main, ["leases", "--application", "billing", *words])
            lines = result.stderr.removesuffix("\n").split("\n")
            assert result.exit_code == 3
            assert lines[-1].startswith("kcl-py: error: dynamodb:Scan on table orders")
            assert len(lines) == 1 or words
            assert {bad for line in lines for bad in acting_on_a_terminal(line)} == set()

    @pytest.mark.parametrize("text", ACTING)
    @pytest.mark.parametrize(
        "words",
        [["tail"], ["put"], ["local", "--stream"], ["leases", "--application"], ["run"], ["leases", "--table-name"]],
    )
    def test_of_the_command_line_quote_it_tamely(self, words: list[str], text: str) -> None:
        result = CliRunner().invoke(main, [*words, "x" + text])
        assert result.exit_code in (2, 3)
        assert {bad for line in result.stderr.split("\n") for bad in acting_on_a_terminal(line)} == set()


async def test_a_watch_tells_its_trouble_tamely(capsys: pytest.CaptureFixture[str]) -> None:
    from kcl_py.cli.leases import Watcher
    from kcl_py.errors import Throttled

    class Table(MemoryLeaseTable):
        async def snapshot(self) -> TableSnapshot:
            raise Throttled("".join(ACTING))

    watching = asyncio.create_task(Watcher("orders", Table(), None).watch(print, 0.001))
    while not (told := capsys.readouterr().err):
        await asyncio.sleep(0.001)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert acting_on_a_terminal(told.split("\n")[0]) == set()
