"""SIGTERM and SIGINT: in order the first time, at once the second time, and quickly before anything has begun."""

import signal
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from integration import laws
from integration.conftest import MakeApplication
from integration.program import eventually
from integration.services import Services
from integration.worker_program import WorkerProgram

KEYS = [f"key-{number}" for number in range(20)]
HARD_EXIT_CODE = 130
STUCK_EXIT_CODE = 1
AT_ONCE_SECONDS = 5.0  # generous: other tests may be running beside this one


@pytest.mark.parametrize(
    ("processor", "number"),
    [
        pytest.param("Recording", signal.SIGTERM, id="SIGTERM"),
        pytest.param("Recording", signal.SIGINT, id="SIGINT"),
        pytest.param("AsyncRecording", signal.SIGTERM, id="SIGTERM, async"),
        pytest.param("ManualRecording", signal.SIGTERM, id="SIGTERM, manual"),
    ],
)
def test_a_worker_that_is_told_to_stop_finishes_its_batches_and_its_successor_repeats_nothing(
    make_application: MakeApplication, processor: str, number: signal.Signals
) -> None:
    app = make_application(shards=2)
    options = ("--failover", "60s", "--checkpoint-interval", "60s", "--read-limit", "10")
    first = app.worker(*options, processor=processor, pause_seconds=0.1).ready()
    app.producer.put_rounds(KEYS, 6)
    eventually(lambda: len(app.journal.delivered) > 20, "some deliveries", of=first)

    assert first.drained(number) == 0
    assert len(app.journal.delivered) < len(app.producer.puts), "it was to be stopped in the middle"
    left_behind = app.leases.leases()
    assert [item for item in left_behind.values() if {"leaseOwner", "kclPyHeld"} & item.keys()] == []
    assert app.leases.worker_entries() == []
    assert len(app.journal.facts("batch")) == len(app.journal.facts("done"))

    second = app.worker(*options, processor=processor)
    app.wait_until_delivered(second)
    assert second.drained(number) == 0
    assert laws.repeats(app.journal) == []
    assert app.broken_laws() == {}
    assert [second.events(event) for event in ("session revoked", "lease was lost")] == [[], []]


@pytest.mark.parametrize("processor", ["Recording", "AsyncRecording", "BlockingRecording"])
def test_a_second_signal_does_not_wait_for_the_batch_in_flight(
    make_application: MakeApplication, processor: str
) -> None:
    app = make_application(shards=1)
    worker = app.worker(processor=processor, block_seconds=60.0).ready()
    app.producer.put_one("key")
    eventually(lambda: app.journal.delivered, "a delivery", of=worker)

    worker.signal(signal.SIGTERM)
    worker.signal(signal.SIGTERM)  # delivered twice, as `timeout` does: one wish
    time.sleep(1.0)  # nothing is to happen
    assert worker.is_running
    worker.signal(signal.SIGTERM)
    assert worker.ended(within=AT_ONCE_SECONDS) == HARD_EXIT_CODE
    assert app.journal.facts("done") == []


@pytest.mark.parametrize(("processor", "code"), [("AsyncRecording", 0), ("BlockingRecording", STUCK_EXIT_CODE)])
def test_a_batch_that_outlasts_the_grace_is_left_to_the_successor(
    make_application: MakeApplication, processor: str, code: int
) -> None:
    app = make_application(shards=1)
    options = ("--shutdown-grace", "1s", "--failover", "60s")
    worker = app.worker(*options, processor=processor, block_seconds=60.0).ready()
    app.producer.put_rounds(KEYS, 1)
    eventually(lambda: app.journal.delivered, "a delivery", of=worker)

    worker.signal(signal.SIGTERM)
    assert worker.ended(within=1.0 + 3 * AT_ONCE_SECONDS) == code
    assert [item for item in app.leases.leases().values() if "leaseOwner" in item] == []

    second = app.worker(*options)
    everything = {put.payload for put in app.producer.puts}
    eventually(lambda: {fact.payload for fact in app.journal.by_process(second.pid)} == everything, "all", of=second)
    assert second.drained() == 0
    assert app.broken_laws() == {}


def test_a_stop_during_start_up_is_quick_at_every_moment(make_application: MakeApplication) -> None:
    app = make_application(shards=2)
    for event in (None, "worker starting", "session started", "worker ready", "lease picked up"):
        worker = app.worker()
        if event is not None:
            worker.wait_for(event)
        began = time.monotonic()
        worker.signal(signal.SIGTERM)
        code = worker.ended(within=AT_ONCE_SECONDS)
        print(f"stopped at {event}: code {code} after {time.monotonic() - began:.1f} s")
        # before the program has begun, the signal ends the interpreter itself
        assert code in ((0,) if event is not None else (0, -signal.SIGTERM)), worker
        assert not any("Traceback" in line for line in worker.errors), worker
        if event is not None:
            assert app.leases.worker_entries() == []
            assert [item for item in app.leases.leases().values() if "leaseOwner" in item] == []


def test_a_stop_while_the_services_do_not_answer_is_quick(tmp_path: Path, programs: ExitStack) -> None:
    """A load balancer without anything behind it: connections are taken, and nothing ever comes back."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        worker = programs.enter_context(
            WorkerProgram(
                "Recording",
                stream="orders",
                application="billing",
                services=Services(url, url),
                environment={"INTEGRATION_JOURNAL": str(tmp_path)},
                directory=tmp_path,
            )
        )
        worker.wait_for("worker starting")
        silent.accept()[0].close()  # the worker has asked; the next attempt gets no answer at all
        connection, _ = silent.accept()
        with connection:
            worker.signal(signal.SIGTERM)
            assert worker.ended(within=AT_ONCE_SECONDS) == 0, worker
