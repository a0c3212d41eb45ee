"""SIGTERM, and hand-offs before it, while the services are in trouble."""

import signal
import time
from contextlib import ExitStack

from integration import laws
from integration.faults import effects
from integration.faults.cells import cell
from integration.faults.faulty_fleet import KEYS, FaultyFleet, MakeFleet
from integration.program import eventually
from integration.worker_program import WorkerProgram

HARD_EXIT_CODE = 130
AT_ONCE_SECONDS = 5.0
BOUND_SECONDS = 20.0  # a grace of two for the drain, four to leave, and DynamoDB's threads end


def _busy(fleet: FaultyFleet) -> WorkerProgram:
    """A worker in the middle of its work."""
    worker = fleet.start("--read-limit", "5").ready()
    fleet.app.producer.put_rounds(KEYS, 10)
    eventually(lambda: len(fleet.app.journal.facts("done")) > 2, "some batches", of=worker)
    return worker


def _is_followed(fleet: FaultyFleet) -> int:
    """Another worker does the rest; how many records it repeated."""
    fleet.join()
    fleet.settle()
    fleet.drain()
    return len(laws.repeats(fleet.app.journal))


@cell("DynamoDB throttles everything", "shutdown", "exit 0 with a warning")
def a_stop_while_dynamodb_throttles_ends_in_time_and_says_what_it_left_behind(make_fleet: MakeFleet) -> None:
    _stops_without_its_table(make_fleet, effects.throttle)


@cell("DynamoDB gone", "shutdown", "bounded duplicates")
@cell("half-open socket", "shutdown", "bounded")
def a_stop_while_dynamodb_is_half_open_ends_in_time_and_says_what_it_left_behind(make_fleet: MakeFleet) -> None:
    _stops_without_its_table(make_fleet, effects.half_open)


def _stops_without_its_table(make_fleet: MakeFleet, effect: effects.Effect) -> None:
    fleet = make_fleet("--shutdown-grace", "2s", pause_seconds=0.1, failover_seconds=10)
    worker = _busy(fleet)
    fleet.cut_short.add(worker.pid)
    with fleet.under(effect, service="dynamodb") as rule:
        rule.wait_for_hits()
        worker.signal(signal.SIGTERM)
        assert worker.ended(within=BOUND_SECONDS) == 0, worker
    assert worker.events("service trouble", operation="leave")
    _is_followed(fleet)


@cell("Kinesis gone", "shutdown", "D0")
@cell("Kinesis 500/503/throttle", "shutdown", "D0")
def a_stop_while_kinesis_fails_repeats_nothing(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(pause_seconds=0.1)
    worker = _busy(fleet)
    with fleet.under(effects.drop, service="kinesis", every=2), fleet.under(effects.fail, service="kinesis") as rule:
        rule.wait_for_hits()
        assert worker.drained() == 0
    assert _is_followed(fleet) == 0


@cell("write applied, response lost", "shutdown", "C")
def a_stop_whose_last_writes_get_no_answer_repeats_nothing(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(pause_seconds=0.1, failover_seconds=10)
    worker = _busy(fleet)
    with ExitStack() as stack:
        lost = [("UpdateItem", "shardId-"), ("UpdateItem", "worker-"), ("DeleteItem", "worker-")]
        rules = [
            stack.enter_context(fleet.under(effects.lose_answer, write, place=place, times=1)) for write, place in lost
        ]
        assert worker.drained() == 0
    assert [len(rule.hits) for rule in rules] == [1, 1, 1]
    assert worker.events("service trouble", operation="leave") == []
    assert fleet.app.leases.worker_entries() == []
    assert _is_followed(fleet) == 0


@cell("SIGTERM", "shutdown", "second one exits at once")
def a_second_signal_does_not_wait_for_a_table_that_does_not_answer(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(pause_seconds=0.1)
    worker = _busy(fleet)
    fleet.cut_short.add(worker.pid)
    with fleet.under(effects.half_open, service="dynamodb") as rule:
        rule.wait_for_hits()
        worker.signal(signal.SIGTERM)
        worker.wait_for("worker draining")
        time.sleep(0.6)  # two within half a second are one wish
        worker.signal(signal.SIGTERM)
        assert worker.ended(within=AT_ONCE_SECONDS) == HARD_EXIT_CODE
    _is_followed(fleet)


@cell("write applied, response lost", "hand-off", "C")
def a_worker_that_joins_and_leaves_repeats_nothing_though_half_of_its_writes_get_no_answer(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet(failover_seconds=6)
    (first,) = fleet.join()
    second = fleet.start()
    with fleet.load(), ExitStack() as stack:
        rules = [
            stack.enter_context(fleet.under(effects.lose_answer, write, place=place, every=2, times=times))
            # an entry whose write got no answer is left alone, and the next one is another: that has to end once
            for write, place, times in (
                ("PutItem", "worker-", 1),
                ("UpdateItem", "shardId-", None),
                ("UpdateItem", "worker-", None),
            )
        ]
        second.ready()
        fleet.evened()
        rules.append(stack.enter_context(fleet.under(effects.lose_answer, "DeleteItem", place="worker-")))
        assert second.drained() == 0
        fleet.owned()
    assert all(rule.hits for rule in rules)
    assert len(second.events("lease picked up")) == len(second.events("lease handed over")) == 1
    fleet.settle()
    fleet.drain()
    assert laws.repeats(fleet.app.journal) == []
    assert [worker.events("session lost") for worker in (first, second)] == [[], []]
