"""SIGKILL at the worst instants of a batch, a hand-off and a shard's end, chosen by what the worker asks for."""

from integration.faults import effects
from integration.faults.cells import cell
from integration.faults.faulty_fleet import KEYS, MakeFleet
from integration.program import eventually

PARENT = "shardId-000000000000"


@cell("SIGKILL", "hand-off", "T")
@cell("SIGKILL", "steady", "T")
def a_giver_that_is_killed_with_a_batch_in_flight_leaves_it_to_the_receiver(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(shards=2)
    giver = fleet.start(block_seconds=60.0).ready()
    fleet.app.producer.put_rounds(KEYS, 2)
    eventually(lambda: fleet.app.journal.delivered, "a delivery", of=giver)
    (receiver,) = fleet.join()
    handed = giver.wait_for("hand off begun")["shard"]
    giver.killed()
    fleet.settle()
    begun = [fact.pid for fact in fleet.app.journal.facts("initialize") if fact.shard == handed]
    assert begun == [giver.pid, receiver.pid]
    fleet.drain()


@cell("SIGKILL", "hand-off", "T")
def a_giver_that_is_killed_before_its_last_write_lands_costs_nothing(make_fleet: MakeFleet) -> None:
    _is_killed_at_the_completing_write(make_fleet, effects.half_open)


@cell("SIGKILL", "hand-off", "T")
def a_giver_that_is_killed_when_its_last_write_has_landed_costs_nothing(make_fleet: MakeFleet) -> None:
    _is_killed_at_the_completing_write(make_fleet, effects.apply_and_hold)


def _is_killed_at_the_completing_write(make_fleet: MakeFleet, effect: effects.Effect) -> None:
    fleet = make_fleet(shards=2)
    giver = fleet.start().ready()
    fleet.app.producer.put_rounds(KEYS, 2)
    fleet.app.wait_until_delivered(giver)
    # the first write that names the receiver is the leader's, and the giver leads; the second completes the hand-off
    with fleet.under(effect, "UpdateItem", place="shardId-", containing="worker-2@", first=2, times=1) as rule:
        (receiver,) = fleet.join()
        shard = rule.wait_for_hits().place
        assert giver.events("hand off begun", shard=shard)
        if effect is effects.apply_and_hold:
            receiver.wait_for("lease picked up", shard=shard)
        giver.killed()
    fleet.settle()
    begun = [fact.pid for fact in fleet.app.journal.facts("initialize") if fact.shard == shard]
    assert begun == [giver.pid, receiver.pid]
    fleet.drain()


@cell("SIGKILL", "reshard", "L5")
def an_ender_that_is_killed_before_any_child_has_a_row_loses_no_child(make_fleet: MakeFleet) -> None:
    _is_killed_at_shard_end(make_fleet, effects.half_open, "PutItem", "")


@cell("SIGKILL", "reshard", "L5")
def an_ender_that_is_killed_when_one_child_has_a_row_loses_no_child(make_fleet: MakeFleet) -> None:
    _is_killed_at_shard_end(make_fleet, effects.apply_and_hold, "PutItem", "")


@cell("SIGKILL", "reshard", "L5")
def an_ender_that_is_killed_before_its_shard_end_is_written_loses_no_child(make_fleet: MakeFleet) -> None:
    _is_killed_at_shard_end(make_fleet, effects.half_open, "UpdateItem", "SHARD_END")


@cell("SIGKILL", "reshard", "L5")
def an_ender_that_is_killed_when_its_shard_end_is_written_loses_no_child(make_fleet: MakeFleet) -> None:
    _is_killed_at_shard_end(make_fleet, effects.apply_and_hold, "UpdateItem", "SHARD_END")


def _is_killed_at_shard_end(make_fleet: MakeFleet, effect: effects.Effect, operation: str, containing: str) -> None:
    fleet = make_fleet(shards=1)
    ender = fleet.start().ready()
    fleet.app.producer.put_rounds(KEYS, 2)
    with fleet.under(effect, operation, place="shardId-", containing=containing, times=1) as rule:
        fleet.app.operator.split(PARENT)
        exchange = rule.wait_for_hits()
        if effect is effects.apply_and_hold:
            eventually(lambda: exchange.has_reached_the_service, "the write to land")
        ender.killed()
    fleet.join()
    fleet.settle()
    assert set(fleet.holders()) == {"shardId-000000000001", "shardId-000000000002"}
    fleet.drain()
