"""Services in trouble, and one fleet that lives through all of it: no lease changes hands unless it has to."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest

from integration import laws
from integration.application import Application
from integration.faults import effects
from integration.faults.cells import cell
from integration.faults.faulty_fleet import FaultyFleet
from integration.faults.rule import Rule
from integration.program import eventually
from integration.services import Services
from kcl_py import host

Content = dict[str, Any]


class SlowCalls(NamedTuple):
    """A worker of its own whose calls hang: on which shards, since when, by which rules."""

    fleet: FaultyFleet
    shards: list[str]
    began: float
    rules: dict[str, Rule]


@pytest.fixture(scope="module", autouse=True)
def slow(local: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlowCalls]:
    """Reads of two shards hang; so do a checkpoint of each of two others, a beat, and one that drips."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("slow")
        app = Application(folder.name, local, folder, stack, shards=4)
        fleet = FaultyFleet(app, stack, failover_seconds=10)
        (worker,) = fleet.join()
        shards = sorted(shard["ShardId"] for shard in app.operator.open_shards())
        eventually(lambda: len(app.journal.facts("initialize")) == len(shards), "all shards", of=worker)
        rules = {
            f"{effect.__name__} {operation} {place}": stack.enter_context(
                fleet.under(effect, operation, place=place, times=1)
            )
            for effect, operation, place in (
                (effects.half_open, "GetRecords", shards[0]),
                (effects.drip, "GetRecords", shards[1]),
                (effects.half_open, "UpdateItem", shards[2]),
                (effects.drip, "UpdateItem", shards[3]),
                (effects.half_open, "UpdateItem", "worker-"),
            )
        }
        for reads in list(rules.values())[:2]:
            reads.wait_for_hits()
        began = host.boottime()
        fleet.app.producer.put_rounds([f"key-{number}" for number in range(40)], 2)
        yield SlowCalls(fleet, shards, began, rules)


@pytest.fixture(autouse=True)
def _is_even(shared: FaultyFleet) -> None:
    """Every cell finds every worker with a shard. Each settles in the end, which leaves no law broken."""
    shared.evened()


WRITES = {"a checkpoint": "shardId-", "a beat": "worker-", "the leader lock": "Leader"}


@cell("write applied, response lost", "steady", "C")
def test_writes_whose_answers_are_lost_go_unnoticed(shared: FaultyFleet) -> None:
    began = host.boottime()
    with shared.load(), ExitStack() as stack:
        lost = effects.lose_answer
        rules = [
            stack.enter_context(shared.under(lost, "UpdateItem", place=place, times=2)) for place in WRITES.values()
        ]
        for rule in rules:
            rule.wait_for_hits(2)
    shared.settle()
    assert all(exchange.has_reached_the_service for rule in rules for exchange in rule.hits)
    assert shared.epochs_since(began) == []


READS = ("GetItem", "Query", "BatchGetItem", "Scan", "GetRecords", "ListShards")


@cell("write applied, response lost", "steady", "C")
def test_reads_whose_answers_are_lost_are_made_again(shared: FaultyFleet) -> None:
    began = host.boottime()
    with shared.load(), ExitStack() as stack:
        rules = [stack.enter_context(shared.under(effects.lose_answer, read, times=2)) for read in READS]
        for rule in rules:
            rule.wait_for_hits(2)
    shared.settle()
    assert shared.epochs_since(began) == []


@cell("DynamoDB throttles everything", "steady", "no mass migration")
def test_a_throttled_table_pauses_deliveries_and_moves_nothing(shared: FaultyFleet) -> None:
    began = host.boottime()
    paused, resumed, revoked = map(shared.counts, ("delivery paused", "delivery resumed", "session revoked"))
    with shared.load():
        with shared.under(effects.throttle, service="dynamodb") as rule:
            shared.wait_for_each("delivery paused", paused)
            shared.last(2, since=began)
        assert not any(exchange.has_reached_the_service for exchange in rule.hits)
        shared.wait_for_each("delivery resumed", resumed)
    shared.settle()
    assert shared.epochs_since(began) == []
    assert shared.counts("session revoked") == revoked


@cell("Kinesis gone", "steady", "C, lease kept")
def test_kinesis_that_is_gone_costs_nobody_a_lease(shared: FaultyFleet) -> None:
    began = host.boottime()
    paused = shared.counts("delivery paused")
    with shared.load(), shared.under(effects.drop, service="kinesis") as rule:
        shared.last(2, since=began)
    assert len(rule.hits) >= 4
    shared.settle()
    assert shared.epochs_since(began) == []
    assert shared.counts("delivery paused") == paused


@cell("DynamoDB gone", "steady", "all: pause, R")
def test_dynamodb_that_is_gone_for_all_pauses_deliveries_and_moves_nothing(shared: FaultyFleet) -> None:
    began = host.boottime()
    paused, resumed, revoked = map(shared.counts, ("delivery paused", "delivery resumed", "session revoked"))
    with shared.load():
        with shared.under(effects.drop, service="dynamodb") as rule:
            shared.wait_for_each("delivery paused", paused)
            shared.last(2, since=began)
        assert len(rule.hits) >= 10
        shared.wait_for_each("delivery resumed", resumed)
    shared.settle()
    assert shared.epochs_since(began) == []
    assert shared.counts("session revoked") == revoked


@cell("DynamoDB gone", "steady", "one worker: T")
def test_dynamodb_that_is_gone_for_one_worker_costs_it_its_shards_until_it_is_back(shared: FaultyFleet) -> None:
    cut_off = shared.ordinary()
    shards = shared.shards_of(cut_off)
    assert shards
    lost, joined = len(cut_off.events("session lost")), len(cut_off.events("session started"))
    began = host.boottime()
    with shared.load():
        with shared.under(effects.half_open, service="dynamodb", workers=[cut_off]) as rule:
            shared.gone_on(shards, cut_off, began)
            taken_at = host.boottime()
        assert rule.hits
        cut_off.wait_for("session lost", count=lost + 1)
        cut_off.wait_for("session started", count=joined + 1)
    shared.settle()
    by_it = [fact for fact in shared.app.journal.facts("batch") if fact.pid == cut_off.pid and fact.shard in shards]
    assert [fact for fact in by_it if began + 2 * shared.failover_seconds < fact.at < taken_at] == []


@cell("Kinesis 500/503/throttle", "steady", "R, ≤ 5 calls/s/shard")
def test_kinesis_that_throttles_and_fails_a_third_of_the_time_is_asked_no_faster(shared: FaultyFleet) -> None:
    began = host.boottime()
    failing, throttling = (
        shared.under(effects.fail, every=6, service="kinesis"),
        shared.under(effects.throttle, every=5, service="kinesis"),
    )
    with shared.load(), failing as failed, throttling as throttled:
        failed.wait_for_hits(6)
        throttled.wait_for_hits(6)
        ended = host.boottime()
    shared.settle()
    assert shared.epochs_since(began) == []
    for shard in shared.holders():
        reads = sorted(
            exchange.at
            for worker in shared.running
            for exchange in shared.lines(worker).kinesis.requests("GetRecords", place=shard, since=began)
            if exchange.at < ended
        )
        # five a second are allowed: no sixth comes within a second of the first, but for the proxy's own jitter
        assert [later - first for first, later in zip(reads, reads[5:], strict=False) if later - first < 0.9] == []


@cell("iterator expired", "steady", "R from the last delivered record, D0")
def test_an_iterator_that_has_expired_is_replaced_after_the_last_record(shared: FaultyFleet) -> None:
    began = host.boottime()
    repeated = len(laws.repeats(shared.app.journal))
    with shared.load(), shared.under(effects.expire_iterator, "GetRecords", every=3) as rule:
        rule.wait_for_hits(8)
    opened = [
        json.loads(exchange.request.body)["ShardIteratorType"]
        for worker in shared.running
        for exchange in shared.lines(worker).kinesis.requests("GetShardIterator", since=began)
    ]
    assert "AT_SEQUENCE_NUMBER" in opened
    shared.settle()
    assert shared.epochs_since(began) == []
    assert len(laws.repeats(shared.app.journal)) == repeated


@cell("malformed answers", "steady", "R")
def test_garbled_answers_of_both_services_are_not_believed(shared: FaultyFleet) -> None:
    began = host.boottime()
    with shared.load(), ExitStack() as stack:
        kinds = [*READS, "UpdateItem"]
        rules = [stack.enter_context(shared.under(effects.garble, kind, every=2, times=2)) for kind in kinds]
        for rule in rules:
            rule.wait_for_hits(2)
    shared.settle()
    assert shared.epochs_since(began) == []


@cell("malformed answers", "steady", "R")
def test_pages_that_end_an_open_shard_or_are_of_another_one_are_not_believed(shared: FaultyFleet) -> None:
    began = host.boottime()

    def ends(content: Content) -> Content:
        return {name: value for name, value in content.items() if name not in ("NextShardIterator", "ChildShards")}

    def foreign(content: Content) -> Content:
        return content | {"Records": [_of_another_shard(record) for record in content["Records"]]}

    def told(reason: str) -> list[Any]:
        troubles = [entry for worker in shared.running for entry in worker.events("service trouble")]
        return [entry for entry in troubles if reason in entry["reason"]]

    with shared.load():
        with shared.under(effects.alter(ends), "GetRecords", every=3, times=2) as rule:
            rule.wait_for_hits(2)
        with shared.under(effects.alter(foreign), "GetRecords", every=2) as rule:
            eventually(lambda: told("records of shardId-"), f"a refusal of another shard's records, {rule}")
    shared.settle()
    assert shared.epochs_since(began) == []
    assert {str(one) for one in shared.app.leases.checkpoints().values()} & {"SHARD_END"} == set()


def _of_another_shard(record: Content) -> Content:
    index = 1 << 4 + 30  # some shard that this stream does not have
    return record | {"SequenceNumber": str(int(record["SequenceNumber"]) ^ index)}


@cell("credentials expire", "steady", "R")
def test_credentials_that_expire_for_a_while_cost_nobody_a_lease(shared: FaultyFleet) -> None:
    began = host.boottime()
    with shared.load():
        with shared.under(effects.expire_credentials) as rule:
            shared.last(2, since=began)
        assert len(rule.hits) >= 10
        for worker in shared.running:
            assert any("credentials" in entry["reason"] for entry in worker.events("service trouble"))
    shared.settle()
    assert shared.epochs_since(began) == []


@cell("lease row deleted", "steady", "re-created from memory")
def test_a_lease_row_that_is_deleted_is_written_again_by_its_holder(shared: FaultyFleet) -> None:
    began = host.boottime()
    shard, holder = next((shard, holder) for shard, holder in shared.holders().items() if holder is not None)
    owner = shared.sessions[holder]
    before = len(owner.events("lease recreated"))
    checkpoint = shared.app.leases.checkpoints()[shard]
    shared.app.dynamodb.delete_item(TableName=shared.app.name, Key={"leaseKey": {"S": shard}})
    with shared.load():
        told = owner.wait_for("lease recreated", count=before + 1)
    assert told["shard"] == shard
    shared.settle()
    assert shared.epochs_since(began) == []
    assert shared.app.leases.checkpoints()[shard] >= checkpoint


STALE = ("ListShards", "Query", "BatchGetItem", "Scan")


@cell("listing stale", "reshard", "child never before parent")
def test_a_reshard_under_stale_listings_and_stale_reads_keeps_order(shared: FaultyFleet) -> None:
    """Nothing that is asked the same way again is told the truth for a while: the stream, the index and the scans."""
    parent = shared.app.operator.open_shards()[0]["ShardId"]
    with shared.load():
        with ExitStack() as stack:
            rules = [stack.enter_context(shared.under(effects.replay, read)) for read in STALE]
            shared.app.operator.split(parent)
            for rule in rules:
                rule.wait_for_hits(2 if rule is not rules[-1] else 1)
            shared.last(1, since=host.boottime())
        assert any(not exchange.has_reached_the_service for exchange in rules[0].hits)
        leaves = {shard["ShardId"] for shard in shared.app.operator.open_shards()}
        eventually(lambda: set(shared.holders()) == leaves, "the children's leases", of=shared)
        shared.owned()
    shared.settle()
    assert str(shared.app.leases.checkpoints()[parent]) == "SHARD_END"


@cell("write applied, response lost", "reshard", "C")
def test_a_reshard_whose_writes_get_no_answer_at_first_loses_no_child(shared: FaultyFleet) -> None:
    parent = shared.app.operator.open_shards()[-1]["ShardId"]
    with shared.load(), ExitStack() as stack:
        rules = [
            stack.enter_context(shared.under(effects.lose_answer, write, place=place, containing=said, times=1))
            for write, place, said in (("PutItem", "shardId-", ""), ("UpdateItem", parent, "SHARD_END"))
        ]
        shared.app.operator.split(parent)
        for rule in rules:
            rule.wait_for_hits()
        leaves = {shard["ShardId"] for shard in shared.app.operator.open_shards()}
        eventually(lambda: set(shared.holders()) == leaves, "the children's leases", of=shared)
        shared.owned()
    shared.settle()
    enders = [fact.pid for fact in shared.app.journal.facts("shard_ended") if fact.shard == parent]
    assert len(enders) == 1


@cell("half-open socket", "steady", "R")
def test_answers_that_never_come_or_drip_hold_up_one_shard_until_the_deadline_of_the_call(slow: SlowCalls) -> None:
    """This began before all others of this module, because a call to Kinesis may take half a minute."""
    fleet = slow.fleet
    fleet.wait_until_done()
    fleet.check()
    (worker,) = fleet.running
    assert [len(rule.hits) for rule in slow.rules.values()] == [1] * len(slow.rules)
    assert worker.events("session lost") + worker.events("lease was lost") == []
    assert len(fleet.app.journal.facts("initialize")) == len(slow.shards)
    # the reads that were held up went on after their deadlines; the shards beside them did not wait
    records = [fact for fact in fleet.app.journal.delivered if fact.at > slow.began]
    first = {shard: min(fact.at for fact in records if fact.shard == shard) for shard in slow.shards}
    held_up, others = slow.shards[:2], slow.shards[2:]
    assert all(first[other] < first[slowed] for other in others for slowed in held_up)
    fleet.drain()
