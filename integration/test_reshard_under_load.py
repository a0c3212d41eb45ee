"""Eight shards under load, three generations of random splits and merges, and a worker that never lives long."""

import random

from integration import laws
from integration.conftest import MakeApplication
from integration.lease_items import Sampler
from integration.lease_row_shape import flaws
from integration.load import Load
from integration.program import eventually

KEYS = [f"key-{number}" for number in range(80)]
GENERATIONS = 3


def test_first_deliveries_of_every_key_are_in_put_order_and_nothing_is_missing(
    make_application: MakeApplication,
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    app = make_application(shards=8)
    workers = [app.worker(processor="UnevenRecording", pause_seconds=0.5).ready()]
    kills = 0
    is_kill_next = dice.random() < 0.5
    may_repeat: set[tuple[str, tuple[int, int]]] = set()  # what was not checkpointed when a worker was killed
    with Sampler(app.leases) as sampler:
        with Load(app.producer, KEYS, interval_seconds=0.4):
            for _ in range(GENERATIONS):
                for number, step in enumerate(app.operator.reshard_at_random(dice)):
                    print(step)
                    if number % 3 == 1:
                        # it has come far enough to have something in hand
                        workers[-1].wait_for("shard finished", count=2)
                        if is_kill_next:
                            workers[-1].killed()
                            kills += 1
                            unfinished = laws.beyond(app.journal.delivered, app.leases.checkpoints())
                            may_repeat |= {(fact.shard, fact.position) for fact in unfinished}
                        else:
                            assert workers[-1].drained() == 0, workers[-1]
                        is_kill_next = not is_kill_next
                        workers.append(app.worker(processor="UnevenRecording", pause_seconds=0.5))
        app.wait_until_delivered(workers[-1])
        leaves = {shard["ShardId"] for shard in app.operator.open_shards()}
        everything = {shard["ShardId"] for shard in app.operator.shards()}

        def is_finished() -> bool:
            unfinished = {shard for shard, one in app.leases.checkpoints().items() if not one.is_shard_end}
            return unfinished == leaves

        eventually(is_finished, f"SHARD_END of {len(everything - leaves)} shards", of=workers[-1])
        assert workers[-1].drained() == 0
    app.samples = sampler.samples

    assert app.broken_laws() == {}
    items = app.leases.leases()
    assert set(items) == everything
    assert {shard: found for shard, item in items.items() if (found := flaws(item))} == {}
    parents = app.operator.parents()
    assert {shard: sorted(item.get("parentShardId", {"SS": []})["SS"]) for shard, item in items.items()} == {
        shard: sorted(parents.get(shard, [])) for shard in everything
    }
    again = laws.repeats(app.journal)
    print(
        f"{len(app.producer.puts)} records, {len(everything)} shards, {len(workers)} workers, {kills} of them killed, "
        f"{len(again)} repeats, {len(app.samples)} samples"
    )
    assert {(fact.shard, fact.position) for fact in again} <= may_repeat
