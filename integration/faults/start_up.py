"""Faults while a worker starts on nothing: no table, no rows, no session."""

import signal
from contextlib import ExitStack

from integration.faults import effects
from integration.faults.cells import cell
from integration.faults.faulty_fleet import KEYS, MakeFleet
from integration.program import eventually

FIRST_CALLS = (
    "DescribeStreamSummary", "ListShards", "GetShardIterator", "GetRecords", "DescribeTable", "CreateTable", "PutItem",
    "UpdateItem", "GetItem", "BatchGetItem", "Query", "Scan",
)  # fmt: skip
AT_ONCE_SECONDS = 10.0  # promised: one; a call in flight may hold a thread for four


@cell("write applied, response lost", "start-up", "C")
def a_cold_start_survives_that_the_first_answer_of_every_kind_is_lost(make_fleet: MakeFleet) -> None:
    _starts_in_spite_of(effects.lose_answer, make_fleet)


@cell("malformed answers", "start-up", "R")
def a_cold_start_survives_that_the_first_answer_of_every_kind_is_garbled(make_fleet: MakeFleet) -> None:
    _starts_in_spite_of(effects.garble, make_fleet)


@cell("DynamoDB throttles everything", "start-up", "R")
@cell("Kinesis 500/503/throttle", "start-up", "R")
def a_cold_start_survives_that_the_first_call_of_every_kind_is_throttled(make_fleet: MakeFleet) -> None:
    _starts_in_spite_of(effects.throttle, make_fleet)


def _starts_in_spite_of(effect: effects.Effect, make_fleet: MakeFleet) -> None:
    fleet = make_fleet()
    fleet.app.producer.put_rounds(KEYS, 2)
    worker = fleet.start()
    with ExitStack() as stack:
        rules = [stack.enter_context(fleet.under(effect, operation, times=1)) for operation in FIRST_CALLS]
        worker.ready()
        for rule in rules:
            rule.wait_for_hits()
    fleet.settle()
    fleet.drain()


@cell("SIGKILL", "start-up", "R")
def a_worker_that_is_killed_when_it_made_the_table_is_followed_by_the_next(make_fleet: MakeFleet) -> None:
    _is_followed(make_fleet, "CreateTable", "")


@cell("SIGKILL", "start-up", "R")
def a_worker_that_is_killed_when_it_wrote_its_entry_is_followed_by_the_next(make_fleet: MakeFleet) -> None:
    _is_followed(make_fleet, "PutItem", "worker-")


@cell("SIGKILL", "start-up", "R")
def a_worker_that_is_killed_when_it_wrote_its_first_row_is_followed_by_the_next(make_fleet: MakeFleet) -> None:
    _is_followed(make_fleet, "PutItem", "shardId-")


def _is_followed(make_fleet: MakeFleet, operation: str, place: str) -> None:
    """What the first worker asks for is done, and it is killed before it hears of that."""
    fleet = make_fleet()
    fleet.app.producer.put_rounds(KEYS, 2)
    first = fleet.start()
    with fleet.under(effects.apply_and_hold, operation, place=place, times=1) as rule:
        exchange = rule.wait_for_hits()
        eventually(lambda: exchange.has_reached_the_service, "the call to reach the service")
        first.killed()
    second = fleet.start().ready()
    fleet.settle()
    assert {fact.pid for fact in fleet.app.journal.delivered} == {second.pid}
    fleet.drain()


@cell("SIGTERM", "start-up", "exits")
def a_stop_while_dynamodb_does_not_answer_at_start_up_is_quick(make_fleet: MakeFleet) -> None:
    fleet = make_fleet()
    worker = fleet.start()
    with fleet.under(effects.half_open, service="dynamodb") as rule:
        rule.wait_for_hits()
        worker.signal(signal.SIGTERM)
        assert worker.ended(within=AT_ONCE_SECONDS) == 0, worker
    assert not any("Traceback" in line for line in worker.errors), worker
    assert fleet.app.journal.facts() == []
