"""The whole story once more, on a Kinesis and a DynamoDB that are not ours."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from integration import laws, owner_changes
from integration.application import Application
from integration.fleet import Fleet
from integration.independent_services import independent_services
from integration.lease_items import Sampler
from integration.lease_row_shape import flaws
from integration.load import Load
from integration.program import eventually
from integration.services import Services
from kcl_py import host

KEYS = [f"key-{number}" for number in range(25)]


@pytest.fixture(scope="module")
def independent() -> Iterator[Services]:
    with independent_services() as services:
        yield services


def test_a_stream_is_read_across_a_split_a_merge_a_kill_and_a_stop(
    independent: Services, tmp_path: Path, programs: ExitStack
) -> None:
    app = Application("orders", independent, tmp_path, programs, shards=3)
    put = app.producer.put_rounds
    with Sampler(app.leases) as sampler:
        first = app.worker("--read-limit", "20", pause_seconds=0.1).ready()
        put(KEYS, 4)
        app.operator.split("shardId-000000000000")
        put(KEYS, 2)
        first.wait_for("lease picked up", shard="shardId-000000000004")
        eventually(lambda: any(one.is_number for one in app.leases.checkpoints().values()), "a checkpoint")
        first.killed()
        unfinished = laws.beyond(app.journal.delivered, app.leases.checkpoints())

        second = app.worker("--read-limit", "20", pause_seconds=0.1)
        app.operator.merge("shardId-000000000004", "shardId-000000000001")
        put(KEYS, 2)
        second.wait_for("lease picked up", shard="shardId-000000000005")
        assert second.drained() == 0

        third = app.worker()
        put(KEYS, 2)
        app.wait_until_delivered(third)
        assert third.drained() == 0
    app.samples = sampler.samples

    assert app.broken_laws() == {}
    repeated = {(fact.shard, fact.position) for fact in laws.repeats(app.journal)}
    assert repeated <= {(fact.shard, fact.position) for fact in unfinished}
    items = app.leases.leases()
    assert {shard: found for shard, item in items.items() if (found := flaws(item))} == {}
    assert sorted(shard for shard, item in items.items() if item["checkpoint"] == {"S": "SHARD_END"}) == [
        "shardId-000000000000",
        "shardId-000000000001",
        "shardId-000000000004",
    ]
    assert sorted(items["shardId-000000000005"]["parentShardId"]["SS"]) == [
        "shardId-000000000001",
        "shardId-000000000004",
    ]
    print(f"{len(app.producer.puts)} records, {len(repeated)} repeated")


def test_latest_loses_nothing_after_ready(independent: Services, tmp_path: Path, programs: ExitStack) -> None:
    app = Application("latest", independent, tmp_path, programs, shards=2)
    first = app.worker("--start", "LATEST", "--checkpoint-interval", "10m").ready()
    app.producer.put_rounds(KEYS, 1)
    app.operator.split("shardId-000000000001")
    app.producer.put_rounds(KEYS, 1)
    first.killed()
    second = app.worker("--start", "LATEST")
    app.wait_until_delivered(second)
    assert second.drained() == 0
    assert app.broken_laws() == {}


def test_a_fleet_shares_hands_over_and_takes_over(independent: Services, tmp_path: Path, programs: ExitStack) -> None:
    app = Application("fleet", independent, tmp_path, programs, shards=6)
    fleet = Fleet(app, "--uncheckpointed-records-max", "100", "--read-limit", "50", pause_seconds=0.05)
    with Sampler(app.leases) as sampler:
        with Load(app.producer, KEYS):
            fleet.join(2)
            fleet.evened()
            joined_at = host.boottime()
            fleet.join()
            assert sorted(fleet.evened().values()) == [2, 2, 2]
            assert owner_changes.moved_again(app.journal, joined_at) == {}

            stopping = fleet.ordinary()
            shards = fleet.shards_of(stopping)
            handed_over = fleet.gone_on(shards, stopping, stopping.terminated())
            assert stopping.ended() == 0
            assert owner_changes.redelivered(app.journal) == {}

            killed = fleet.leader()
            fleet.owned()
            shards = fleet.shards_of(killed)
            killed_at = host.boottime()
            killed.killed()
            taken_over = fleet.gone_on(shards, killed, killed_at)
        app.wait_until_delivered()
        fleet.drain()
    app.samples = sampler.samples

    assert app.broken_laws() == {}
    assert owner_changes.redelivered_after_order(app.journal, fleet.killed) == {}
    assert owner_changes.redelivered_beyond(app.journal, 100 + 50) == {}
    assert {shard: found for shard, item in app.leases.leases().items() if (found := flaws(item))} == {}
    print(f"handed over in {max(handed_over.values()):.1f} s, taken over in {max(taken_over.values()):.1f} s")
