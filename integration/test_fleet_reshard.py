"""Splits and merges under load, while workers join, leave and are killed."""

import random

from integration import owner_changes
from integration.conftest import MakeApplication
from integration.fleet import Fleet
from integration.lease_items import Sampler
from integration.lease_row_shape import flaws
from integration.load import Load
from integration.program import eventually

KEYS = [f"key-{number}" for number in range(48)]
GENERATIONS = 3
CHANGES = ("join", "stop", "join", "kill")  # one after every second step; two workers at least go on


def test_no_reshard_is_lost_on_a_fleet_that_changes_all_the_time(make_application: MakeApplication) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    app = make_application(shards=4)
    fleet = Fleet(app, "--uncheckpointed-records-max", "100", "--read-limit", "50", pause_seconds=0.1)
    changes = 0
    with Sampler(app.leases) as sampler:
        with Load(app.producer, KEYS):
            fleet.join(2)
            for _ in range(GENERATIONS):
                for number, step in enumerate(app.operator.reshard_at_random(dice)):
                    print(step)
                    if number % 2 == 1:
                        changed(fleet, CHANGES[changes % len(CHANGES)], dice)
                        changes += 1
        app.wait_until_delivered()
        leaves = {shard["ShardId"] for shard in app.operator.open_shards()}
        everything = {shard["ShardId"] for shard in app.operator.shards()}
        eventually(lambda: set(fleet.holders()) == leaves, f"SHARD_END of {sorted(everything - leaves)}", of=fleet)
        fleet.owned()
        fleet.drain()
    app.samples = sampler.samples

    assert app.broken_laws() == {}
    assert owner_changes.redelivered_after_order(app.journal, fleet.killed) == {}
    assert owner_changes.redelivered_beyond(app.journal, 100 + 50) == {}
    items = app.leases.leases()
    assert set(items) == everything
    assert {shard: found for shard, item in items.items() if (found := flaws(item))} == {}
    print(f"{len(app.producer.puts)} records, {len(everything)} shards, {changes} changes of the fleet")


def changed(fleet: Fleet, change: str, dice: random.Random) -> None:
    """A worker joins, stops in order, or is killed."""
    print(change)
    if change == "join":
        fleet.join()
        return
    worker = dice.choice(fleet.running)
    if change == "stop":
        assert worker.drained() == 0, worker
    else:
        worker.killed()
