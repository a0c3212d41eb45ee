"""kill -9 at any moment, and what the next worker makes of it."""

import time

import pytest

from integration import laws
from integration.conftest import MakeApplication
from integration.lease_items import Sampler
from integration.program import eventually
from kcl_py import host

KEYS = [f"key-{number}" for number in range(20)]
RESTART_SECONDS_MAX = 10.0  # measured: about two; waiting for the failover time would take a minute


@pytest.mark.parametrize("processor", ["Recording", "AsyncRecording", "ManualRecording"])
def test_a_worker_that_is_killed_is_replaced_at_once_and_only_what_was_not_checkpointed_repeats(
    make_application: MakeApplication, processor: str
) -> None:
    app = make_application(shards=3)
    options = ("--failover", "60s", "--read-limit", "10")
    with Sampler(app.leases) as sampler:
        first = app.worker(*options, processor=processor, pause_seconds=0.15).ready()
        app.producer.put_rounds(KEYS, 10)
        app.producer.put_aggregate([f"packed-{number}" for number in range(20)], key="packed")
        # in the middle: some is checkpointed, and some is not
        eventually(lambda: any(one.is_number for one in app.leases.checkpoints().values()), "a first checkpoint")
        delivered_then = len(app.journal.delivered)
        eventually(lambda: len(app.journal.delivered) > delivered_then + 15, "more deliveries", of=first)
        killed_at = host.boottime()
        first.killed()
        checkpoints = app.leases.checkpoints()
        uncheckpointed = {(fact.shard, fact.position) for fact in laws.beyond(app.journal.delivered, checkpoints)}

        second = app.worker(*options, processor=processor)
        app.wait_until_delivered(second)
        assert second.drained() == 0
    app.samples = sampler.samples

    assert app.broken_laws() == {}
    repeated = {(fact.shard, fact.position) for fact in laws.repeats(app.journal)}
    assert repeated
    assert repeated <= uncheckpointed
    (revoked,) = second.events("session revoked")
    assert revoked["reason"] == "its process is gone"
    seconds = app.journal.by_process(second.pid)[0].at - killed_at
    print(f"{processor}: {len(repeated)} of {len(app.producer.puts)} repeated, first delivery after {seconds:.1f} s")
    assert seconds < RESTART_SECONDS_MAX


@pytest.mark.parametrize("processor", ["Recording", "AsyncRecording"])
def test_a_batch_in_flight_is_never_checkpointed_and_comes_again_after_a_kill(
    make_application: MakeApplication, processor: str
) -> None:
    app = make_application(shards=1)
    app.producer.put_rounds(KEYS, 2)
    options = ("--failover", "60s", "--checkpoint-interval", "500ms")
    first = app.worker(*options, processor=processor, block_seconds=60.0)
    eventually(lambda: app.journal.delivered, "a delivery", of=first)
    time.sleep(2.0)  # four times the interval, in which nothing is to happen
    assert {str(one) for one in app.leases.checkpoints().values()} == {"TRIM_HORIZON"}
    first.killed()

    second = app.worker(*options, processor=processor)
    second.wait_for("lease picked up", checkpoint="TRIM_HORIZON")
    eventually(lambda: len(app.journal.by_process(second.pid)) == len(app.producer.puts), "all of it", of=second)
    assert second.drained() == 0
    assert app.broken_laws() == {}
