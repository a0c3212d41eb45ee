"""LATEST: nothing that was put after the worker said that it is ready is lost, whatever comes next."""

import time

from integration import laws
from integration.conftest import MakeApplication
from integration.program import eventually

KEYS = [f"key-{number}" for number in range(10)]
LATEST_REACHES_BACK_SECONDS = 3.0  # 2 s on purpose, and a Date header has whole seconds


def test_a_split_and_a_merge_right_after_ready_lose_nothing(make_application: MakeApplication) -> None:
    app = make_application(shards=2)
    app.producer.put_rounds(KEYS, 2)
    old = len(app.producer.puts)
    time.sleep(LATEST_REACHES_BACK_SECONDS)
    worker = app.worker("--start", "LATEST").ready()
    app.producer.put_rounds(KEYS, 1)
    app.operator.split("shardId-000000000000")
    app.producer.put_rounds(KEYS, 1)
    app.operator.merge("shardId-000000000003", "shardId-000000000001")
    app.producer.put_rounds(KEYS, 2)

    new = {put.payload for put in app.producer.puts[old:]}
    eventually(lambda: new <= app.journal.payloads, f"{len(new)} records", of=worker)
    assert worker.drained() == 0
    assert app.journal.payloads == new
    app.producer.puts = app.producer.puts[old:]
    assert app.broken_laws() == {}


def test_a_kill_before_the_first_checkpoint_loses_nothing(make_application: MakeApplication) -> None:
    app = make_application(shards=2)
    app.producer.put_rounds(KEYS, 2)
    old = len(app.producer.puts)
    time.sleep(LATEST_REACHES_BACK_SECONDS)
    never_in_time = ("--start", "LATEST", "--checkpoint-interval", "10m")
    first = app.worker(*never_in_time).ready()
    app.producer.put_rounds(KEYS, 2)
    first.killed()
    assert {str(one) for one in app.leases.checkpoints().values()} == {"LATEST"}
    app.operator.split("shardId-000000000001")
    app.producer.put_rounds(KEYS, 2)
    time.sleep(LATEST_REACHES_BACK_SECONDS)  # the second worker's LATEST would be behind all of this

    second = app.worker(*never_in_time)
    new = {put.payload for put in app.producer.puts[old:]}
    eventually(lambda: new <= app.journal.payloads, f"{len(new)} records", of=second)
    second.killed()  # its parent shard has ended, and its other two still have no checkpoint
    third = app.worker(*never_in_time)
    third.wait_for("lease picked up", count=3)
    assert third.drained() == 0
    assert app.journal.payloads == new
    assert {fact.pid for fact in laws.repeats(app.journal)} <= {second.pid, third.pid}
    app.producer.puts = app.producer.puts[old:]
    assert app.broken_laws() == {}
