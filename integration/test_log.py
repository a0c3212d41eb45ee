"""The log of a worker that has seen a lot: every line parses, says who it is about, and holds no secret."""

import json

import pytest

from integration.conftest import MakeApplication
from integration.services import SECRET_KEY

PLANTED_PAYLOAD = "planted-payload-7f3a"
PLANTED_KEY = "planted-partition-key-91bc"
OF_SHARDS = ("lease created", "lease picked up", "shard started", "batch delivered", "batch done", "checkpoint written",
             "shard finished", "lease given up", "processor failed", "malformed aggregate")  # fmt: skip


@pytest.mark.parametrize("processor", ["Recording", "AsyncRecording"])
def test_json_lines_name_application_stream_worker_and_shard_and_never_what_was_in_a_record(
    make_application: MakeApplication, processor: str
) -> None:
    app = make_application(shards=2)
    worker = app.worker("--verbose", "--worker-id", "ann", processor=processor).ready()
    app.producer.put_rounds([f"{PLANTED_KEY}-{number}" for number in range(10, 20)], 1)
    app.producer.put_one(PLANTED_KEY, PLANTED_PAYLOAD)
    app.wait_until_delivered(worker)
    app.producer.put_aggregate([f"{PLANTED_KEY}-{number}" for number in range(3)], key=PLANTED_KEY)
    # begins like an aggregate and is none; nor is it text, so that the processor raises and quotes it
    torn = b"\xf3\x89\x9a\xc2" + PLANTED_PAYLOAD.encode()
    app.kinesis.put_record(StreamName=app.name, Data=torn, PartitionKey=PLANTED_KEY)
    app.operator.split("shardId-000000000000")
    app.operator.split("shardId-000000000001")
    worker.wait_for("shard finished")
    worker.wait_for("processor failed", count=2)
    worker.wait_for("checkpoint written")
    assert worker.drained() == 0

    assert worker.output == []
    entries = [json.loads(line) for line in worker.errors]
    who = {"application": app.name, "stream": app.name, "worker": "ann", "logger": "kcl_py"}
    assert [entry for entry in entries if not who.items() <= entry.items()] == []
    assert [entry for entry in entries if not {"time", "level", "message", "event"} <= entry.keys()] == []
    assert {entry["event"] for entry in entries} >= set(OF_SHARDS)
    assert [entry for entry in entries if entry["event"] in OF_SHARDS and "shard" not in entry] == []
    everything = "\n".join(worker.errors)
    assert {secret for secret in (PLANTED_PAYLOAD, PLANTED_KEY, SECRET_KEY) if secret in everything} == set()


def test_a_level_that_the_processor_s_module_sets_for_all_does_not_open_the_sdk(
    make_application: MakeApplication,
) -> None:
    app = make_application(shards=1)
    worker = app.worker(processor="LoggingEverything").ready()
    app.producer.put_one(PLANTED_KEY, PLANTED_PAYLOAD)
    app.wait_until_delivered(worker)
    assert worker.drained() == 0
    everything = "\n".join(worker.errors + worker.output)
    assert "everything is logged" in everything
    assert {secret for secret in (PLANTED_PAYLOAD, PLANTED_KEY, SECRET_KEY) if secret in everything} == set()
