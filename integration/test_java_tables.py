"""Tables that a real Java KCL 3.1.3 wrote: refused and left alone, or taken over and continued exactly.

The golden tables name shards 0 to 8 of one history of splits and merges. The same history is made on a local stream,
and the checkpoints of the open shards are put in the middle of what these hold.
"""

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from integration.application import Application
from integration.conftest import MakeApplication
from integration.test_refusals import REFUSED, table_as_it_stands, told

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "tests" / "golden" / "kcl-3.1.3-tables.json").read_text()
)
KEYS = [f"key-{number}" for number in range(40)]
OPEN = [f"shardId-00000000000{number}" for number in (5, 6, 7, 8)]
THEIRS = {"costCenter": {"S": "billing"}, "notedBy": {"M": {"somebody": {"N": "7"}}}}  # nobody's that we know
SILENCE = ("--failover", "2s")  # three of them are waited for


@pytest.fixture
def app(make_application: MakeApplication) -> Application:
    """A stream with the history of the golden tables, and records before and after each of their checkpoints."""
    app = make_application(shards=2)
    app.producer.put_rounds(KEYS, 1)
    app.operator.split("shardId-000000000000")
    app.producer.put_rounds(KEYS, 1)
    app.operator.merge("shardId-000000000002", "shardId-000000000003")
    app.operator.split("shardId-000000000001")
    app.operator.split("shardId-000000000004")
    app.producer.put_rounds(KEYS, 4)
    assert sorted(shard["ShardId"] for shard in app.operator.open_shards()) == OPEN
    return app


def load(
    app: Application, tables: tuple[str, ...] = tuple(GOLDEN), *, has_index: bool = True
) -> dict[str, tuple[int, int]]:
    """Put the golden tables there; the positions of their checkpoints, which are now real ones."""
    ranges = {shard["ShardId"]: shard["HashKeyRange"] for shard in app.operator.shards()}
    checkpoints = {}
    for name in tables:
        described = GOLDEN[name]
        table_name = name.replace("<app>", app.name)
        create(app, table_name, described, has_index=has_index)
        for item in described["Items"]:
            shard = item.get("leaseKey", {}).get("S")
            if shard is not None:
                item = item | {
                    "startingHashKey": {"S": ranges[shard]["StartingHashKey"]},
                    "endingHashKey": {"S": ranges[shard]["EndingHashKey"]},
                    **THEIRS,
                }
            if shard in OPEN:
                there = sorted(put.position for put in app.producer.puts if put.shard == shard)
                checkpoints[shard] = there[len(there) // 2]
                item["checkpoint"] = {"S": str(checkpoints[shard][0])}
            app.dynamodb.put_item(TableName=table_name, Item=item)
    return checkpoints


def create(app: Application, table_name: str, described: dict[str, Any], *, has_index: bool) -> None:
    index = {}
    keys = described["KeySchema"]
    attributes = [{"AttributeName": keys[0]["AttributeName"], "AttributeType": "S"}]
    if has_index and described.get("GSI"):
        attributes = described["AttributeDefinitions"]
        index = {"GlobalSecondaryIndexes": [dict(one) for one in described["GSI"]]}
    app.dynamodb.create_table(
        TableName=table_name, KeySchema=keys, AttributeDefinitions=attributes, BillingMode="PAY_PER_REQUEST", **index
    )


@pytest.mark.parametrize(
    ("tables", "has_index", "kind"),
    [
        pytest.param(tuple(GOLDEN), True, "Java KCL 3.0 to 3.4, or an upgraded one", id="3.1"),
        pytest.param(("<app>",), False, "KCL 1.x or 2.x", id="2.x"),
    ],
)
def test_without_take_over_a_java_table_is_refused_and_left_alone(
    app: Application, tables: tuple[str, ...], has_index: bool, kind: str
) -> None:
    load(app, tables, has_index=has_index)
    before = table_as_it_stands(app)
    worker = app.worker()
    assert worker.ended() == REFUSED
    assert told(worker) == (
        f"lease table {app.name} belongs to {kind}: stop its workers and say --take-over to go on from their "
        "checkpoints, or choose another table with --table-name"
    )
    assert table_as_it_stands(app) == before
    assert app.journal.facts() == []


def test_a_java_fleet_that_is_alive_is_not_taken_over(app: Application) -> None:
    load(app)
    before = table_as_it_stands(app)
    is_over = threading.Event()

    def lead() -> None:
        number = 0
        while not is_over.wait(0.5):
            number += 1
            app.dynamodb.update_item(
                TableName=f"{app.name}-CoordinatorState",
                Key={"key": {"S": "Leader"}},
                UpdateExpression="SET recordVersionNumber = :v",
                ExpressionAttributeValues={":v": {"S": str(number)}},
            )

    leader = threading.Thread(target=lead, daemon=True)
    leader.start()
    try:
        worker = app.worker("--take-over", *SILENCE)
        assert worker.ended() == REFUSED
    finally:
        is_over.set()
        leader.join()
    assert "is in use by Java KCL 3.0 to 3.4" in told(worker)
    assert table_as_it_stands(app) == before


@pytest.mark.parametrize(
    ("tables", "has_index"), [pytest.param(tuple(GOLDEN), True, id="3.1"), pytest.param(("<app>",), False, id="2.x")]
)
def test_with_take_over_a_worker_goes_on_exactly_after_their_checkpoints(
    app: Application, tables: tuple[str, ...], has_index: bool
) -> None:
    checkpoints = load(app, tables, has_index=has_index)
    expected = {put.payload for put in app.producer.puts if put.position > checkpoints.get(put.shard, (2**256, 0))}
    began = time.monotonic()
    worker = app.worker("--take-over", *SILENCE).ready()
    print(f"ready after {time.monotonic() - began:.1f} s")
    assert len(worker.events("table taken over")) == 1
    for shard in OPEN:
        worker.wait_for("lease picked up", shard=shard)
    app.producer.put_rounds(KEYS, 1)
    expected |= {put.payload for put in app.producer.puts[-len(KEYS) :]}
    app.operator.split(OPEN[0])
    app.producer.put_rounds(KEYS, 1)
    expected |= {put.payload for put in app.producer.puts[-len(KEYS) :]}
    app.producer.puts = [put for put in app.producer.puts if put.payload in expected]
    app.wait_until_delivered(worker)
    assert worker.drained() == 0
    assert app.journal.payloads == expected

    items = app.leases.leases()
    golden = {item["leaseKey"]["S"]: item for item in GOLDEN["<app>"]["Items"]}
    for shard, item in golden.items():
        assert {name: items[shard].get(name) for name in THEIRS} == THEIRS, "attributes of others survive"
        assert items[shard]["throughputKBps"].keys() == item["throughputKBps"].keys()
        assert int(items[shard]["leaseCounter"]["N"]) > int(item["leaseCounter"]["N"])
    finished = {shard for shard, item in items.items() if item["checkpoint"] == {"S": "SHARD_END"}}
    assert finished == {f"shardId-00000000000{number}" for number in range(6)}
    assert [shard for shard in items.keys() - finished if "leaseOwner" in items[shard]] == []

    again = app.worker()  # the table is native now: nothing has to be said again
    again.ready()
    again.wait_for("lease picked up", count=5)
    assert again.drained() == 0
    assert app.broken_laws() == {}
