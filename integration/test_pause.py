"""Workers that are silent for three failover times, or only seem to be."""

import signal
import time

import pytest

from integration.conftest import MakeApplication
from integration.program import eventually
from kcl_py import host

KEYS = [f"key-{number}" for number in range(20)]
FAILOVER_SECONDS = 3.0
TAKE_OVER_SECONDS_MAX = 15.0  # promised: the failover time and 3 s; the rest is for a busy machine


def test_a_worker_that_is_suspended_loses_its_leases_begins_no_other_batch_and_joins_again(
    make_application: MakeApplication,
) -> None:
    app = make_application(shards=1)  # one, so that the second worker is given nothing while the first one lives
    first = app.worker("--read-limit", "10", pause_seconds=0.3).ready()
    first.wait_for("lease picked up")
    second = app.worker("--read-limit", "10").ready()
    app.producer.put_rounds(KEYS, 10)
    eventually(lambda: len(app.journal.by_process(first.pid)) > 30, "some deliveries", of=first)

    first.signal(signal.SIGSTOP)
    suspended_at = host.boottime()
    second.wait_for("lease picked up")
    took_over_after = host.boottime() - suspended_at
    app.producer.put_rounds(KEYS, 2)
    app.wait_until_delivered(second)
    time.sleep(max(0.0, suspended_at + 3 * FAILOVER_SECONDS - host.boottime()))
    woken_at = host.boottime()
    first.signal(signal.SIGCONT)

    first.wait_for("lease was lost")
    eventually(lambda: len(app.journal.facts("lease_lost")) == 1, "lease_lost to be called", of=first)
    first.wait_for("session started", count=2)
    assert [fact for fact in app.journal.facts("batch") if fact.pid == first.pid and fact.at > woken_at] == []
    assert len(second.events("lease was lost")) == 0

    # it has joined again: what the other one leaves behind is taken by it
    assert second.drained() == 0
    app.producer.put_rounds(KEYS, 2)
    app.wait_until_delivered(first)
    assert first.drained() == 0
    assert {fact.pid for fact in app.journal.delivered if fact.at > woken_at} >= {first.pid}
    assert app.broken_laws() == {}
    print(f"taken over after {took_over_after:.1f} s")
    # silence counts from the last beat, which was sent up to a third of the failover time before the suspension
    assert FAILOVER_SECONDS / 2 < took_over_after < TAKE_OVER_SECONDS_MAX


@pytest.mark.parametrize("processor", ["Recording", "BlockingRecording"])
def test_a_processor_that_blocks_for_three_failover_times_keeps_its_leases(
    make_application: MakeApplication, processor: str
) -> None:
    """One in its own thread, and one in the loop that all shards share: the session is kept elsewhere."""
    app = make_application(shards=1)
    first = app.worker(processor=processor, block_seconds=3 * FAILOVER_SECONDS).ready()
    first.wait_for("lease picked up")
    second = app.worker().ready()
    app.producer.put_rounds(KEYS, 2)

    app.wait_until_delivered(first)
    eventually(lambda: len(app.journal.facts("done")) == len(app.journal.facts("batch")), "the end of it", of=first)
    app.producer.put_rounds(KEYS, 1)
    app.wait_until_delivered(first)

    assert first.drained() == 0
    assert {fact.pid for fact in app.journal.delivered} == {first.pid}
    assert second.events("session revoked") == []
    assert first.events("session lost") == []
    assert app.broken_laws() == {}
    assert second.drained() == 0
