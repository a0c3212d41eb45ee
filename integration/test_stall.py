"""A processor that blocks its event loop for ever: its process leaves the fleet and ends, and another goes on."""

import time

from integration.conftest import MakeApplication
from integration.program import eventually

STALL_SECONDS = 10.0
STUCK_EXIT_CODE = 1
AT_ONCE_SECONDS = 5.0  # generous: other tests may be running beside this one
KEYS = [f"key-{number}" for number in range(20)]


def test_a_worker_whose_loop_is_blocked_for_ever_ends_and_another_one_takes_its_shards_over(
    make_application: MakeApplication,
) -> None:
    app = make_application(shards=2)
    options = ("--stall-timeout", f"{STALL_SECONDS:g}s", "--failover", "60s")
    blocked = app.worker(*options, processor="BlockingRecording", block_seconds=3600.0).ready()
    blocked.wait_for("lease picked up", count=2)
    app.producer.put_rounds(KEYS, 2)
    eventually(lambda: app.journal.delivered, "a delivery", of=blocked)
    began = time.monotonic()
    other = app.worker(*options).ready()

    everything = {put.payload for put in app.producer.puts}
    eventually(
        lambda: {fact.payload for fact in app.journal.by_process(other.pid)} == everything,
        "all of it, far sooner than the failover time",
        of=other,
        within=STALL_SECONDS * 1.1 + 2 * AT_ONCE_SECONDS,
    )
    assert blocked.ended(within=2 * AT_ONCE_SECONDS) == STUCK_EXIT_CODE
    assert time.monotonic() - began > STALL_SECONDS - AT_ONCE_SECONDS, "not before its time"
    (told,) = blocked.events("event loop blocked")
    assert told["level"].lower() == "error"
    assert "must not call what blocks" in told["advice"]
    assert len(app.leases.worker_entries()) == 1, "its entry is gone"
    assert other.events("session revoked") == [], "nobody had to declare it dead"
    assert other.drained() == 0
    assert app.broken_laws() == {}
