"""`kcl-py leases`: what it shows of a table, and that it leaves the table as it was."""

import asyncio
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import msgspec
import pytest
from rich.console import Console

from kcl_py.aws.lease_table import DynamoDBLeaseTable
from kcl_py.cli import fleet_picture
from kcl_py.cli.fleet_view import BeatWatch, FleetView
from kcl_py.cli.lag import LagMeter, Lags
from kcl_py.cli.leases import Watcher
from kcl_py.core.checkpoint import LATEST, SHARD_END, TRIM_HORIZON, Checkpoint
from kcl_py.core.leadership import LeaderLock
from kcl_py.core.lease import Binding, Lease
from kcl_py.core.position import ReadFrom
from kcl_py.core.session import Session
from kcl_py.core.shard import Shard
from kcl_py.core.table import OddRow, TableSnapshot
from kcl_py.errors import AccessDenied, KclError, ServiceUnavailable, TableRefused, Throttled
from kcl_py.interfaces import Page, ShardFilter, StreamDescription
from kcl_py.local.dynamodb_server import DynamoDBServer
from kcl_py.local.memory_lease_table import MemoryLeaseTable
from tests import virtual_time
from tests.cli.conftest import LocalKinesis, Shell

ANN, BOB = "ann@00000001", "bob@00000002"
HOSTILE = "\x1b[2Jeve\u202e@00000003"
BINDING = Binding("arn:aws:kinesis:us-east-1:000000000000:stream/orders@1", "billing", None)
AT = datetime(2023, 11, 14, 22, 13, 30, tzinfo=UTC)
POSITION = Checkpoint("49590338271490256608559692538361571095921575989136588898", 3)


def lease(number: int, **values: Any) -> Lease:
    return Lease(key=f"shardId-{number:012d}", **({"checkpoint": POSITION, "binding": BINDING} | values))


def shown(*leases: Lease, is_all: bool = False, **others: Any) -> FleetView:
    return FleetView.of("billing", TableSnapshot(leases=leases, **others), at=AT, is_all=is_all)


def text_of(view: FleetView) -> str:
    return "\n".join(fleet_picture.lines(view))


def line_about(text: str, start: str) -> list[str]:
    """The columns of the one line that begins so."""
    (line,) = (line for line in text.splitlines() if line.startswith(start))
    return line.split()


# -- what a table says ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "state", "owner"),
    [
        (lease(1, owner=ANN, held_by=ANN), "held", "ann"),
        (lease(1, owner=ANN), "assigned", "ann"),
        (lease(1, owner=BOB, checkpoint_owner=ANN, held_by=ANN), "handing over", "ann -> bob"),
        (lease(1), "free", ""),
        (lease(1, owner="java-worker-7"), "held", "java-worker-7"),
        (lease(1, owner="gone@0000000f", held_by="gone@0000000f"), "held", "gone (no entry)"),
    ],
)
def test_every_unfinished_lease_has_a_state_and_an_owner(row: Lease, state: str, owner: str) -> None:
    view = shown(row, sessions=(Session(key=ANN), Session(key=BOB)))

    text = " ".join(line_about(text_of(view), "shard 1"))
    assert text == f"shard 1 {state} {owner} …36588898/3".replace("  ", " ")


def test_a_child_waits_for_its_unfinished_parents() -> None:
    child = lease(3, parent_shard_ids=("shardId-000000000001", "shardId-000000000002"), checkpoint=TRIM_HORIZON)
    view = shown(lease(1, checkpoint=SHARD_END), lease(2, owner=ANN, held_by=ANN), child)

    assert [row.state for row in view.leases] == ["held", "waiting"]
    assert "waiting  waits for shard 2  TRIM_HORIZON" in text_of(view)


def test_finished_leases_are_counted_and_shown_when_asked_for() -> None:
    rows = (lease(1, checkpoint=SHARD_END), lease(2, owner=ANN, held_by=ANN))

    assert [row.shard_id for row in shown(*rows).leases] == ["shardId-000000000002"]
    assert "leases: 1 held; 1 finished" in text_of(shown(*rows))
    assert [row.state for row in shown(*rows, is_all=True).leases] == ["finished", "held"]


def test_a_session_is_told_with_its_leases_and_what_became_of_it() -> None:
    view = shown(
        lease(1, owner=ANN, held_by=ANN),
        lease(2, owner=BOB, checkpoint_owner=ANN, held_by=ANN),
        lease(3, owner=BOB),
        lease(4, owner=ANN, held_by=ANN, checkpoint=SHARD_END),
        sessions=(
            Session(
                key=ANN, is_leaving=True, leases_max=5, cpu_percents=(10.0, 42.4), updated_at_seconds=1_700_000_000
            ),
            Session(key=BOB, is_revoked=True, cpu_percents=(50.0,)),
        ),
    )

    ann, bob = view.sessions
    assert (ann.state, ann.held, ann.assigned, ann.leases_max, ann.cpu_percent) == ("leaving", 2, 0, 5, 42.4)
    assert (bob.state, bob.held, bob.assigned, bob.leases_max, bob.cpu_percent) == ("revoked", 0, 2, None, None)
    text = text_of(view)
    assert line_about(text, "ann ") == ["ann", "leaving", "22:13:20Z", "2", "0", "5", "42", "%"]
    assert line_about(text, "bob ") == ["bob", "revoked", "1970-01-01", "0", "2"]
    assert "handing over  ann (leaving) -> bob (revoked)" in text


def test_sessions_that_share_a_worker_id_are_told_apart() -> None:
    other = "ann@00000009"
    view = shown(lease(1, owner=ANN, held_by=ANN), sessions=(Session(key=ANN), Session(key=other), Session(key=BOB)))

    assert line_about(text_of(view), "shard 1")[3] == ANN


def test_the_leader_and_its_standby_are_named_while_somebody_leads() -> None:
    lock = LeaderLock(owner=ANN, version="v", duration_ms=10_000, standby=BOB)
    view = shown(lease(1), lock=lock)

    assert "leads: ann, standby: bob" in text_of(view)
    assert (view.leader, view.standby) == (ANN, BOB)
    assert "leads: nobody, standby: none" in text_of(shown(lease(1)))
    assert shown(lease(1), lock=msgspec.structs.replace(lock, is_released=True)).leader is None


LONG = "ip-10-0-12-34.eu-west-1.compute.internal-48213@00000004"


def on_a_terminal(view: FleetView, height_max: int | None = None) -> list[str]:
    """The lines that a terminal of 80 columns shows."""
    text = io.StringIO()
    console = Console(file=text, width=80, force_terminal=True, color_system=None)
    console.print(fleet_picture.drawn(view, height_max=height_max))
    return text.getvalue().splitlines()


def test_a_fleet_fits_80_columns_and_hosts_are_told_apart_by_both_ends() -> None:
    rows = [lease(number, owner=LONG, held_by=LONG, throughput_kbps=1234.5) for number in range(3)]
    moving = lease(3, owner=BOB, checkpoint_owner=LONG, held_by=LONG, throughput_kbps=9.0, checkpoint=TRIM_HORIZON)
    sessions = (
        Session(key=LONG, leases_max=100, cpu_percents=(100.0,), updated_at_seconds=1_700_000_000),
        Session(key=BOB, is_leaving=True),
    )
    snapshot = TableSnapshot(leases=(*rows, moving), sessions=sessions)
    unchanged = {LONG: 1234.5, BOB: 0.5}
    view = FleetView.of("billing", snapshot, at=AT, behind_ms={rows[0].key: 10**9}, beats_unchanged=unchanged)
    view = msgspec.structs.replace(view, leader=LONG, standby=LONG)

    lines = on_a_terminal(view)

    assert max(map(len, lines)) <= 80
    assert len(lines) == 4 + 3 + 2 + 3 + 4
    (session,) = (line for line in lines if line.startswith("ip-10") and "22:13:20Z" in line)
    assert "…" in session.split()[0]
    assert session.split()[0].endswith("-48213")
    assert session.rstrip().endswith("100 %")
    assert sum("-48213" in line for line in lines) == 1 + 1 + 3  # the hand-off needs its room for both


def test_columns_that_would_say_nothing_are_left_out() -> None:
    text = text_of(shown(lease(1, owner=ANN, held_by=ANN), sessions=(Session(key=ANN),)))

    assert "shard    state  owner  checkpoint" in text.splitlines()
    assert "session  state   last beat   held  assigned" in [line.rstrip() for line in text.splitlines()]


@pytest.mark.parametrize(("height_max", "shards"), [(40, 20), (32, 20), (31, 18), (20, 7), (12, 0), (10, 0)])
def test_where_a_terminal_is_too_small_leases_are_left_out_and_counted(height_max: int, shards: int) -> None:
    rows = [lease(number, owner=ANN, held_by=ANN) for number in range(20)]
    view = shown(*rows, sessions=(Session(key=ANN), Session(key=BOB)))

    lines = on_a_terminal(view, height_max)

    assert len(lines) <= height_max
    assert [line.split()[0] for line in lines if line.startswith(("ann", "bob"))] == ["ann", "bob"]
    assert sum("36588898" in line for line in lines) == shards
    assert (f"… and {20 - shards} more leases" in lines) == (shards < 20)


def test_sessions_that_do_not_fit_are_counted_too() -> None:
    view = shown(lease(1), sessions=tuple(Session(key=f"worker-{number}@0000000a") for number in range(30)))

    lines = on_a_terminal(view, 20)

    assert len(lines) == 20
    assert sum(line.startswith("worker-") for line in lines) == 11
    assert lines[-2:] == ["… and 19 more sessions", "… and 1 more lease"]


def test_every_look_says_when_it_was() -> None:
    assert text_of(shown(lease(1))).splitlines()[1] == "at 2023-11-14T22:13:30Z"
    assert shown().at == "2023-11-14T22:13:30Z"


@pytest.mark.parametrize(
    ("others", "line"),
    [
        ((), "2 shards are read by nobody: every worker is at its --leases-max"),
        ((Session(key=BOB, is_revoked=True), Session(key=LONG, is_leaving=True)), "2 shards are read by nobody"),
        ((Session(key=BOB, leases_max=1),), None),
        ((Session(key=BOB),), None),
    ],
)
def test_shards_that_no_worker_may_take_are_told(others: tuple[Session, ...], line: str | None) -> None:
    rows = (lease(1, owner=ANN, held_by=ANN), lease(2), lease(3))
    text = text_of(shown(*rows, sessions=(Session(key=ANN, leases_max=1), *others)))

    assert ("read by nobody" in text) == (line is not None)
    assert (line or "") in text


def test_text_from_the_table_cannot_touch_the_terminal() -> None:
    view = FleetView.of(
        "billing",
        TableSnapshot(
            leases=(lease(1, owner=HOSTILE, held_by=HOSTILE), Lease(key="\x1b]0;title\x07", checkpoint=POSITION)),
            sessions=(Session(key=HOSTILE),),
            odd_rows=(OddRow("\x1b[1m", "\x9b31m"),),
            foreign_entries=("[bold]\x07",),
            lock=LeaderLock(owner=HOSTILE, version="v", duration_ms=1, standby=HOSTILE),
        ),
        at=AT,
        lag_trouble="\x1b[5m",
    )

    text = text_of(view)

    assert all(character.isprintable() or character == "\n" for character in text)
    assert "\\x1b[2Jeve\\u202e" in text
    assert "does not parse: \\x1b[1m: \\x9b31m" in text
    assert "entries of others: [bold]\\x07" in text


def test_figures_out_of_any_range_are_shown_all_the_same() -> None:
    huge = 10**37
    view = shown(
        lease(1, owner=ANN, owner_switches=huge, throughput_kbps=float("inf")),
        sessions=(Session(key=ANN, updated_at_seconds=huge, cpu_percents=(float("nan"),)),),
    )

    assert view.leases[0].owner_switches == huge
    assert line_about(text_of(view), "ann ")[2] == "?"
    assert (view.leases[0].throughput_kib_per_second, view.sessions[0].cpu_percent) == (None, None)


def test_a_beat_is_as_old_as_the_watch_has_seen_it() -> None:
    watch = BeatWatch()

    assert watch.saw([Session(key=ANN, beat=4), Session(key=BOB, beat=9)], 100.0) == {ANN: 0.0, BOB: 0.0}
    assert watch.saw([Session(key=ANN, beat=5), Session(key=BOB, beat=9)], 103.0) == {ANN: 0.0, BOB: 3.0}
    assert watch.saw([Session(key=BOB, beat=9)], 104.0) == {BOB: 4.0}


# -- how far behind ---------------------------------------------------------------------------------------------------


class SlowStream:
    """Answers by shard: milliseconds, None or an error; counts how many ask at once."""

    def __init__(self, answers: dict[str, int | KclError | None]) -> None:
        self.answers = answers
        self.asking = self.asking_max = 0
        self.is_closed = False

    async def describe(self) -> StreamDescription:
        raise NotImplementedError

    async def list_shards(self, shard_filter: ShardFilter | None = None) -> tuple[Shard, ...]:
        raise NotImplementedError

    async def open(self, shard_id: str, position: ReadFrom) -> str:
        self.asking += 1
        self.asking_max = max(self.asking_max, self.asking)
        for _ in range(5):
            await asyncio.sleep(0)
        return shard_id

    async def read(self, iterator: str, limit: int) -> Page:
        self.asking -= 1
        assert limit == 1
        answer = self.answers[iterator]
        if isinstance(answer, KclError):
            raise answer
        return Page(records=[], next_iterator="on", millis_behind_latest=answer)

    async def close(self) -> None:
        self.is_closed = True


async def test_what_the_stream_does_not_answer_is_left_open_and_the_rest_is_told() -> None:
    rows = [lease(1), lease(2), lease(3), lease(4, checkpoint=SHARD_END)]
    stream = SlowStream({rows[0].key: 1_500, rows[1].key: ServiceUnavailable("no answer"), rows[2].key: 0})
    opened = []

    def open_stream(name: str) -> SlowStream:
        opened.append(name)
        return stream

    meter = LagMeter(open_stream, None)

    lags = await meter.measure(rows)
    await meter.measure(rows)
    await meter.close()

    assert lags.behind_ms == {rows[0].key: 1_500, rows[2].key: 0}
    assert lags.trouble == "shardId-000000000002: no answer"
    assert opened == ["arn:aws:kinesis:us-east-1:000000000000:stream/orders"]
    assert stream.is_closed
    view = FleetView.of(
        "billing", TableSnapshot(leases=tuple(rows)), at=AT, behind_ms=lags.behind_ms, lag_trouble="no answer"
    )
    behind = [line.split()[4] for line in fleet_picture.lines(view) if "36588898" in line]
    assert behind == ["1.5", "?", "0.0"]
    assert "behind is not known everywhere: no answer" in text_of(view)


async def test_only_a_few_shards_are_asked_at_once() -> None:
    rows = [lease(number) for number in range(100)]
    stream = SlowStream({row.key: 1 for row in rows})

    lags = await LagMeter(lambda _: stream, "orders").measure(rows)

    assert len(lags.behind_ms) == 100
    assert 1 < stream.asking_max <= 8


class BusyStream(SlowStream):
    """Throttles the first reads."""

    def __init__(self, answers: dict[str, int | KclError | None], throttles: int) -> None:
        super().__init__(answers)
        self.throttles = throttles

    async def read(self, iterator: str, limit: int) -> Page:
        self.throttles -= 1
        if self.throttles >= 0:
            raise Throttled("slow down")
        return await super().read(iterator, limit)


@pytest.mark.parametrize(("throttles", "behind_ms", "trouble"), [(3, 7, None), (4, None, "slow down")])
def test_a_throttled_read_is_tried_again_for_about_a_second(
    throttles: int, behind_ms: int | None, trouble: str | None
) -> None:
    async def measured() -> tuple[Lags, float]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        stream = BusyStream({lease(1).key: 7}, throttles)
        return await LagMeter(lambda _: stream, "orders").measure([lease(1)]), loop.time() - began

    lags, seconds = virtual_time.run(measured())

    assert lags.behind_ms.get(lease(1).key) == behind_ms
    assert lags.trouble == (trouble and f"{lease(1).key}: {trouble}")
    assert 0.9 < seconds < 1.2


@pytest.mark.parametrize(
    ("bindings", "trouble"),
    [
        ((None, None), "the rows name no stream; name it with --stream"),
        ((BINDING, Binding("arn:other@1", "billing", None)), "the rows name several streams; name it with --stream"),
    ],
)
async def test_rows_that_do_not_name_one_stream_are_not_asked_about(
    bindings: tuple[Binding | None, ...], trouble: str
) -> None:
    rows = [lease(number, binding=binding) for number, binding in enumerate(bindings)]

    lags = await LagMeter(lambda name: pytest.fail(f"opened {name}"), None).measure(rows)

    assert (lags.behind_ms, lags.trouble) == ({}, trouble)


# -- looking ----------------------------------------------------------------------------------------------------------


class TroubledTable(MemoryLeaseTable):
    """Says first what it was told to say."""

    def __init__(self, *, prepare: KclError | None = None, snapshots: tuple[KclError | None, ...] = ()) -> None:
        super().__init__(exists=True)
        self.to_prepare = prepare
        self.to_snapshot = list(snapshots)

    async def prepare(self) -> str | None:
        if self.to_prepare is not None:
            raise self.to_prepare
        return await super().prepare()

    async def snapshot(self) -> TableSnapshot:
        error = self.to_snapshot.pop(0) if self.to_snapshot else None
        if error is not None:
            raise error
        return await super().snapshot()


async def test_who_may_only_scan_sees_what_is_there() -> None:
    table = TroubledTable(prepare=AccessDenied("dynamodb:DescribeTable was denied"))
    table.put(lease(1))
    watcher = Watcher("billing", table, None)

    await watcher.find()

    assert [row.shard_id for row in (await watcher.look()).leases] == ["shardId-000000000001"]


def test_a_watch_outlives_what_may_pass_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    table = TroubledTable(snapshots=(None, Throttled("slow \x1b[2J down"), None, AccessDenied("no"), None))
    views: list[FleetView] = []

    async def watched() -> None:
        await table.write_session(None, Session(key=ANN, beat=1))
        watcher = Watcher("billing", table, None)
        views.append(await watcher.look())
        watching = asyncio.create_task(watcher.watch(views.append, 5.0))
        await asyncio.sleep(21.0)
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching

    virtual_time.run(watched())

    unchanged = [view.sessions[0].beat_unchanged_seconds for view in views]
    assert unchanged == [None, pytest.approx(10.0), pytest.approx(20.0)]
    assert capsys.readouterr().err == "kcl-py: slow \\x1b[2J down\nkcl-py: no\n"


async def test_a_watch_ends_with_what_does_not_pass() -> None:
    table = TroubledTable(snapshots=(TableRefused("another table now"),))

    with pytest.raises(TableRefused):
        await Watcher("billing", table, None).watch(lambda _: None, 0.0)


# -- the command ------------------------------------------------------------------------------------------------------


class Table:
    """The lease table `billing` at a DynamoDB endpoint of the test's own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client: Any = boto3.client("dynamodb", region_name="eu-west-1", endpoint_url=url)

    def fill(self, *leases: Lease, sessions: tuple[Session, ...] = (), lock: LeaderLock | None = None) -> None:
        async def fill() -> None:
            door = DynamoDBLeaseTable("billing", region="eu-west-1", endpoint_url=self.url)
            await door.prepare()
            for row in leases:
                assert await door.create(row)
            for session in sessions:
                await door.write_session(None, session)
            if lock is not None:
                await door.write_leader_lock(None, lock)
            await door.close()

        asyncio.run(fill())

    def put(self, **attributes: dict[str, Any]) -> None:
        self.client.put_item(TableName="billing", Item=attributes)

    @property
    def contents(self) -> list[Any]:
        items: list[Any] = self.client.scan(TableName="billing")["Items"]
        return sorted(items, key=str)


@pytest.fixture
def table(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Iterator[Table]:
    with DynamoDBServer() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", server.url)
        table = Table(server.url)
        yield table
        table.client.close()


def as_json(shell: Shell, *words: str) -> dict[str, Any]:
    result = shell.run("leases", "--application", "billing", "--json", *words)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("\n") == 1
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_json_has_every_lease_and_session_under_stable_keys(shell: Shell, table: Table) -> None:
    table.fill(
        lease(1, owner=ANN, held_by=ANN, owner_switches=2),
        lease(2, checkpoint=SHARD_END),
        sessions=(Session(key=ANN, beat=7, updated_at_seconds=1_700_000_000, leases_max=9, cpu_percents=(-1.0, 12.5)),),
        lock=LeaderLock(owner=ANN, version="v", duration_ms=10_000, standby=BOB),
    )

    found = as_json(shell)
    at = datetime.fromisoformat(found.pop("at"))

    assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)
    assert found == {
        "table": "billing",
        "kind": "kcl_py",
        "leader": ANN,
        "standby": BOB,
        "leases": [
            {
                "shard_id": "shardId-000000000001",
                "state": "held",
                "owner": ANN,
                "receiver": None,
                "waits_for": [],
                "checkpoint": "49590338271490256608559692538361571095921575989136588898/3",
                "behind_ms": None,
                "owner_switches": 2,
                "throughput_kib_per_second": None,
            }
        ],
        "sessions": [
            {
                "session": ANN,
                "worker_id": "ann",
                "state": "member",
                "beat": 7,
                "beat_unchanged_seconds": None,
                "updated_at_seconds": 1_700_000_000,
                "held": 1,
                "assigned": 0,
                "leases_max": 9,
                "cpu_percent": 12.5,
            }
        ],
        "finished_leases": 1,
        "odd_rows": [],
        "foreign_entries": [],
        "applications": ["billing"],
        "streams": ["arn:aws:kinesis:us-east-1:000000000000:stream/orders"],
        "lag_trouble": None,
    }


def test_the_lag_is_asked_of_the_stream_that_the_rows_name(shell: Shell, table: Table, kinesis: LocalKinesis) -> None:
    for hash_key in (0, 2**127):
        for data in (b"a", b"b"):
            kinesis.put(data, hash_key)
    tailed = shell.run("tail", "orders", "--start", "TRIM_HORIZON", "--no-follow", "--json").stdout.splitlines()
    numbers = defaultdict(list)
    for record in map(json.loads, tailed):
        numbers[record["shard"]].append(record["sequence_number"])
    arn = kinesis.client.describe_stream_summary(StreamName="orders")["StreamDescriptionSummary"]["StreamARN"]
    binding = Binding(f"{arn}@1", "billing", None)
    table.fill(
        lease(0, checkpoint=Checkpoint(numbers["shardId-000000000000"][0]), binding=binding),
        lease(1, checkpoint=Checkpoint(numbers["shardId-000000000001"][1]), binding=binding),
        lease(2, checkpoint=LATEST, binding=binding),
        lease(3, checkpoint=SHARD_END, binding=binding),
    )

    found = as_json(shell, "--lag")

    behind = [row["behind_ms"] for row in found["leases"]]
    assert behind[0] > 0
    assert behind[1:] == [0, None]
    assert "shardId-000000000002: kinesis:GetShardIterator" in found["lag_trouble"]
    assert as_json(shell, "--lag", "--stream", "orders")["leases"][1]["behind_ms"] == 0


def test_the_stream_is_not_asked_unless_it_is_wanted(shell: Shell, table: Table, kinesis: LocalKinesis) -> None:
    arn = kinesis.client.describe_stream_summary(StreamName="orders")["StreamDescriptionSummary"]["StreamARN"]
    table.fill(lease(0, checkpoint=TRIM_HORIZON, binding=Binding(f"{arn}@1", "billing", None)))

    assert as_json(shell)["leases"][0]["behind_ms"] is None
    assert as_json(shell, "--lag")["leases"][0]["behind_ms"] == 0


def test_looking_changes_nothing(shell: Shell, table: Table) -> None:
    table.fill(lease(1, owner=ANN), sessions=(Session(key=ANN),))
    before = table.contents

    assert shell.run("leases", "--application", "billing").exit_code == 0

    assert table.contents == before


def test_a_table_that_is_not_there_is_code_3_and_is_not_made(shell: Shell, table: Table) -> None:
    result = shell.run("leases", "--application", "billing")

    assert result.exit_code == 3
    assert result.stderr.startswith("kcl-py: error: table billing does not exist here: no worker has made it")
    assert result.stderr.count("\n") == 1
    assert table.client.list_tables()["TableNames"] == []


def test_a_table_of_something_else_is_code_3(shell: Shell, table: Table) -> None:
    table.client.create_table(
        TableName="billing",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )

    result = shell.run("leases", "--application", "billing")

    assert result.exit_code == 3
    assert "table billing is not a lease table" in result.stderr


def test_an_empty_table_says_so(shell: Shell, table: Table) -> None:
    table.fill()

    result = shell.run("leases", "--application", "billing")

    assert result.exit_code == 0
    first, second = result.stdout.splitlines()
    assert first == "lease table billing, empty"
    assert second.endswith("Z: no worker has joined yet")


def test_a_java_fleets_table_is_shown_for_what_it_is(shell: Shell, table: Table) -> None:
    table.fill()
    table.put(
        leaseKey={"S": "shardId-000000000000"},
        leaseOwner={"S": "java-worker-7"},
        leaseCounter={"N": "4"},
        ownerSwitchesSinceCheckpoint={"N": "1"},
        checkpoint={"S": "100"},
        checkpointSubSequenceNumber={"N": "0"},
    )

    result = shell.run("leases", "--application", "billing", "--lag")

    assert result.stdout.startswith("lease table billing, written by KCL 1.x or 2.x\n")
    assert line_about(result.stdout, "shard 0") == ["shard", "0", "held", "java-worker-7", "100", "?"]
    assert "behind is not known everywhere: the rows name no stream; name it with --stream" in result.stdout


def test_rows_that_do_not_parse_are_named_beside_those_that_do(shell: Shell, table: Table) -> None:
    table.fill(lease(1, owner=HOSTILE, held_by=HOSTILE))
    table.put(leaseKey={"S": "shardId-000000000002"}, entityType={"S": "LEASE"}, leaseCounter={"S": "\x1b[2J"})

    result = shell.run("leases", "--application", "billing")

    assert result.exit_code == 0
    assert "does not parse: shardId-000000000002: " in result.stdout
    assert "\\x1b[2Jeve" in result.stdout
    assert "\x1b" not in result.stdout
    (odd,) = as_json(shell)["odd_rows"]
    assert odd["key"] == "shardId-000000000002"


def test_the_table_may_be_named_apart_from_the_application(shell: Shell, table: Table) -> None:
    table.fill(lease(1))

    result = shell.run("leases", "--table-name", "billing")

    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "warning"),
    [
        (("--application", "printing"), "belong to application billing, not printing"),
        (("--stream", "orders-2"), "belong to stream orders, not orders-2"),
        (("--stream", BINDING.stream.removesuffix("@1").replace("us-east-1", "eu-west-1")), ", not arn:aws:kinesis:eu"),
        (("--application", "billing", "--stream", "orders"), ""),
        (("--stream", BINDING.stream.removesuffix("@1")), ""),
    ],
)
def test_rows_of_something_else_than_was_asked_for_are_told(
    shell: Shell, table: Table, words: tuple[str, ...], warning: str
) -> None:
    table.fill(lease(1))

    # the table is here, whatever region an ARN names
    result = shell.run("leases", "--table-name", "billing", *words, "--region", "eu-west-1")

    assert result.exit_code == 0
    assert "shard 1" in result.stdout
    assert result.stderr.count("\n") == bool(warning)
    assert warning in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no application is given; use --application, or --table-name"),
        (("--application", "f1"), "application, which names the table too, is 'f1'; expected 3 to 255 of"),
        (("--application", "billing", "--table-name", "t"), "table_name is 't'; expected 3 to 255 of"),
        (("--application", "billing", "--watch", "0"), "--watch"),
        (("--application", "billing", "--stream", "two words"), "--stream is 'two words'"),
        (("--application", "billing", "--endpoint-url", "http://dynamodb.example"), "plain http"),
    ],
)
def test_wrong_usage_is_one_line(shell: Shell, words: tuple[str, ...], message: str) -> None:
    result = shell.run("leases", *words)

    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_watch_looks_again_until_it_is_interrupted(shell: Shell, table: Table) -> None:
    table.fill(lease(1, owner=ANN, held_by=ANN), sessions=(Session(key=ANN),))
    command = [sys.executable, "-c", "from kcl_py.cli import main; main()", "leases"]
    words = ["--application", "billing", "--json", "--watch", "0.5"]
    with subprocess.Popen([*command, *words], stdout=subprocess.PIPE, text=True, env=os.environ) as watching:
        assert watching.stdout is not None
        first, second = (json.loads(watching.stdout.readline()) for _ in range(2))
        watching.send_signal(signal.SIGINT)
        rest = watching.stdout.read()

    assert watching.returncode == 0
    assert first["sessions"][0]["beat_unchanged_seconds"] is None
    assert second["sessions"][0]["beat_unchanged_seconds"] >= 0.4
    assert all(json.loads(line) for line in rest.splitlines())


def test_on_a_terminal_a_watch_draws_over_what_it_drew(shell: Shell, table: Table) -> None:
    table.fill(lease(1, owner=HOSTILE, held_by=HOSTILE))
    command = [sys.executable, "-c", "from kcl_py.cli import main; main()", "leases"]
    words = ["--application", "billing", "--watch", "0.5"]
    ours, theirs = os.openpty()
    terminal = os.environ | {"TERM": "xterm", "COLUMNS": "200", "LINES": "50"}
    drawn = b""
    with subprocess.Popen([*command, *words], stdout=theirs, env=terminal) as watching:
        os.close(theirs)
        while b"\x1b[1A" not in drawn:  # up a line: the second look
            drawn += os.read(ours, 65_536)
        watching.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # how a terminal without processes is read on Linux
            while os.read(ours, 65_536):
                pass
    os.close(ours)

    assert watching.returncode == 0
    assert b"shard 1" in drawn
    assert b"\\x1b[2Jeve" in drawn
    assert b"\x1b[2J" not in drawn
