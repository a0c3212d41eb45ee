"""Processes that stand still: suspended, stuck in native code, or with a callback that does not come back."""

import signal
import threading

from integration.faults import effects
from integration.faults.cells import cell
from integration.faults.faulty_fleet import KEYS, FaultyFleet, MakeFleet
from integration.program import eventually
from integration.worker_program import WorkerProgram
from kcl_py import host

PARENT = "shardId-000000000000"
FAILOVER_SECONDS = 2.0
HELD_SECONDS = 10 * FAILOVER_SECONDS  # a machine that is busy makes the other one doubt its own looks, and begin again


def _owner_and_other(fleet: FaultyFleet, block_seconds: float = 0.0) -> tuple[WorkerProgram, WorkerProgram]:
    """Two workers; the first one has the only shard, and records wait in it or come."""
    owner = fleet.start(block_seconds=block_seconds).ready()
    owner.wait_for("lease picked up")
    (other,) = fleet.join()
    fleet.app.producer.put_rounds(KEYS, 2)
    eventually(lambda: fleet.app.journal.delivered, "a delivery", of=owner)
    return owner, other


def _goes_on(fleet: FaultyFleet, owner: WorkerProgram) -> None:
    """The one that stood still has joined again; all is delivered, and everybody stops in order."""
    owner.wait_for("session lost")
    owner.wait_for("session started", count=2)
    fleet.settle()
    fleet.drain()


@cell("SIGSTOP", "reshard", "F, no SHARD_END by the zombie")
def an_owner_that_is_suspended_through_a_reshard_ends_nothing(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(shards=1, failover_seconds=FAILOVER_SECONDS)
    owner, other = _owner_and_other(fleet)
    owner.signal(signal.SIGSTOP)
    suspended_at = host.boottime()
    fleet.app.operator.split(PARENT)
    fleet.app.producer.put_rounds(KEYS, 2)
    other.wait_for("shard finished", shard=PARENT)
    fleet.last(3, since=suspended_at)
    woken_at = host.boottime()
    owner.signal(signal.SIGCONT)
    _goes_on(fleet, owner)
    assert owner.events("shard finished", shard=PARENT) == []
    ended = [fact.pid for fact in fleet.app.journal.facts("shard_ended") if fact.shard == PARENT]
    assert ended == [other.pid]
    late = [fact for fact in fleet.app.journal.facts("batch") if fact.pid == owner.pid and fact.at > woken_at]
    assert [fact for fact in late if fact.shard == PARENT] == []


@cell("SIGSTOP", "reshard", "F, no SHARD_END by the zombie")
def a_shard_end_that_reaches_the_table_after_another_worker_took_over_changes_nothing(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(shards=1, failover_seconds=FAILOVER_SECONDS)
    owner, other = _owner_and_other(fleet)
    fleet.app.wait_until_delivered(owner)
    gate = threading.Event()
    with fleet.under(effects.hold(gate), "UpdateItem", place=PARENT, containing="SHARD_END", times=1) as rule:
        fleet.app.operator.split(PARENT)
        late = rule.wait_for_hits()
        owner.signal(signal.SIGSTOP)
        suspended_at = host.boottime()
        other.wait_for("shard finished", shard=PARENT)  # its own write is the second one
    row = fleet.app.leases.leases()[PARENT]
    gate.set()
    answer = eventually(lambda: late.outcome, "the late write to reach the table")
    assert answer.content["__type"].endswith("ConditionalCheckFailedException")
    assert fleet.app.leases.leases()[PARENT] == row
    fleet.last(3, since=suspended_at)
    owner.signal(signal.SIGCONT)
    _goes_on(fleet, owner)


@cell("SIGSTOP", "hand-off", "F")
def a_giver_that_is_suspended_in_a_hand_off_gives_up_what_it_had(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(shards=2, failover_seconds=FAILOVER_SECONDS)
    giver = fleet.start(block_seconds=12.0).ready()
    fleet.app.producer.put_rounds(KEYS, 2)
    (receiver,) = fleet.join()
    giver.wait_for("hand off begun")
    giver.signal(signal.SIGSTOP)
    suspended_at = host.boottime()
    receiver.wait_for("lease picked up", count=2)
    fleet.last(3, since=suspended_at)
    giver.signal(signal.SIGCONT)
    _goes_on(fleet, giver)


@cell("native code holds the GIL", "steady", "F")
def a_worker_whose_interpreter_is_held_by_native_code_is_replaced_and_joins_again(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(shards=1, failover_seconds=FAILOVER_SECONDS, processor="GilRecording")
    owner, other = _owner_and_other(fleet, block_seconds=HELD_SECONDS)
    held_at = fleet.app.journal.facts("batch")[0].at
    other.wait_for("lease picked up")
    assert fleet.app.journal.facts("done") == [] or fleet.app.journal.facts("done")[0].pid == other.pid
    assert host.boottime() - held_at < HELD_SECONDS, "it was to be replaced while it was held"
    _goes_on(fleet, owner)


@cell("callback blocks the loop", "steady", "C")
def a_callback_that_sleeps_for_three_failover_times_costs_no_lease(make_fleet: MakeFleet) -> None:
    _keeps_its_lease(make_fleet, "Recording")


@cell("callback blocks the loop", "steady", "C")
def a_callback_that_blocks_the_loop_for_three_failover_times_costs_no_lease(make_fleet: MakeFleet) -> None:
    _keeps_its_lease(make_fleet, "BlockingRecording")


def _keeps_its_lease(make_fleet: MakeFleet, processor: str) -> None:
    fleet = make_fleet(shards=1, failover_seconds=FAILOVER_SECONDS, processor=processor)
    owner, other = _owner_and_other(fleet, block_seconds=3 * FAILOVER_SECONDS)
    fleet.settle()
    done = fleet.app.journal.facts("done")[0]
    assert done.at - fleet.app.journal.facts("batch")[0].at >= 3 * FAILOVER_SECONDS
    assert [fact.pid for fact in fleet.app.journal.facts("initialize")] == [owner.pid]
    assert [worker.events("session revoked") + worker.events("session lost") for worker in (owner, other)] == [[], []]
    fleet.drain()


@cell("callback blocks the loop", "hand-off", "F")
def a_giver_whose_callback_blocks_the_loop_hands_over_by_force_when_its_grace_is_over(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("--shutdown-grace", "1s", shards=2, processor="BlockingRecording")
    giver = fleet.start(block_seconds=14.0).ready()
    fleet.app.producer.put_rounds(KEYS, 2)
    (receiver,) = fleet.join()
    receiver.wait_for("lease picked up")
    assert fleet.app.journal.facts("done") == [] or fleet.app.journal.facts("done")[0].pid == receiver.pid
    giver.wait_for("lease handed over", is_forced=True)
    fleet.settle()
    fleet.drain()
