"""Little memory, few descriptors, nowhere to write; and two processes that think they are the same worker."""

from pathlib import Path

from botocore.exceptions import ClientError

from integration import laws
from integration.faults.cells import cell
from integration.faults.faulty_fleet import KEYS, MakeFleet
from integration.produced import Producer
from integration.program import eventually

MEMORY_KIB = 512 * 1024
DESCRIPTORS = 28
PADDED_BYTES = 900_000
LARGE_RECORDS = 33  # ten megabytes of each shard, which is what a page holds
AGGREGATED = 12_000


@cell("175,000 user records in one aggregate", "steady", "C")
def full_pages_and_a_large_aggregate_fit_into_512_megabytes(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("--buffer", "16MiB", "--read-limit", "10000", shards=3, processor="PaddedRecording")
    producer = fleet.app.producer
    for number in range(LARGE_RECORDS):
        _put_large(producer, f"large {number}")
    producer.put_aggregate([f"packed-{number % 500}" for number in range(AGGREGATED)], key="packed")
    # what is limited is address space, of which glibc reserves 64 MiB for each thread's heap, however little is used
    worker = fleet.start(shell=f'ulimit -v {MEMORY_KIB}; exec "$@"', environment={"MALLOC_ARENA_MAX": "2"})
    limits = Path(f"/proc/{worker.pid}/limits")
    worker.ready()
    assert f"Max address space         {MEMORY_KIB * 1024}" in limits.read_text()
    fleet.wait_until_done()
    fleet.check()
    assert laws.repeats(fleet.app.journal) == []
    assert worker.drained() == 0


def _put_large(producer: Producer, payload: str) -> None:
    """A record that the shard has room for, sooner or later: it takes a megabyte a second."""

    def is_taken() -> bool:
        try:
            put = producer.put_one(payload, payload.ljust(PADDED_BYTES))
        except ClientError as refused:
            if refused.response["Error"]["Code"] != "ProvisionedThroughputExceededException":
                raise
            return False
        producer.puts[-1] = put._replace(payload=payload)
        return True

    eventually(is_taken, "room for a record", pause_seconds=0.1)


@cell("few file descriptors", "steady", "R")
def few_descriptors_are_waited_for(make_fleet: MakeFleet) -> None:
    """A failure to connect is like a service that is gone."""
    fleet = make_fleet(shards=12)
    worker = fleet.start(shell=f'ulimit -n {DESCRIPTORS}; exec "$@"').ready()
    fleet.app.producer.put_rounds([f"key-{number}" for number in range(40)], 5)
    fleet.settle()
    refused = [entry for entry in worker.events("service trouble") if "EndpointConnectionError" in str(entry["reason"])]
    print(f"{len(refused)} connections that could not be made for want of a descriptor")
    assert refused
    assert worker.drained() == 0


@cell("disk full, closed stdout", "steady", "observability never blocks data")
def a_full_disk_costs_lines_and_no_records(make_fleet: MakeFleet) -> None:
    _works_in_silence(make_fleet, ">/dev/full 2>/dev/full", {1: "/dev/full", 2: "/dev/full"})


@cell("disk full, closed stdout", "steady", "observability never blocks data")
def closed_standard_streams_cost_lines_and_no_records(make_fleet: MakeFleet) -> None:
    _works_in_silence(make_fleet, ">&- 2>&-", {})


def _works_in_silence(make_fleet: MakeFleet, redirection: str, expected: dict[int, str]) -> None:
    fleet = make_fleet(processor="PrintingRecording")
    worker = fleet.start("--verbose", shell=f'exec "$@" {redirection}')
    fleet.app.producer.put_rounds(KEYS, 5)
    fleet.app.wait_until_delivered(worker)
    streams = {number: Path(f"/proc/{worker.pid}/fd/{number}") for number in (1, 2)}
    places = {number: str(path.readlink()) for number, path in streams.items() if path.exists()}
    assert {number: places.get(number) for number in expected} == expected
    assert not any("pipe" in place for place in places.values()), places
    fleet.settle()
    assert worker.drained() == 0
    assert worker.output + worker.errors == []
    assert fleet.app.leases.worker_entries() == []


@cell("two processes with one worker id", "start-up", "both run, warn")
def two_processes_with_one_worker_id_share_the_work_and_both_warn(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(shards=2)
    both = [fleet.start(worker_id="same") for _ in range(2)]
    with fleet.load():
        for worker in both:
            worker.ready()
            worker.wait_for("same worker id")
        fleet.evened()
    fleet.settle()
    assert {fact.pid for fact in fleet.app.journal.facts("initialize")} >= {worker.pid for worker in both}
    fleet.drain()
