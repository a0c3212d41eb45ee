"""A stream, an application that consumes it, its workers, and what is known about all of them."""

from contextlib import ExitStack
from pathlib import Path

from integration import laws, owner_changes
from integration.journal import Journal
from integration.lease_items import LeaseItems, Sample
from integration.produced import Producer
from integration.program import eventually
from integration.resharding import Operator
from integration.services import Services
from integration.worker_program import WorkerProgram

QUICK = ("--failover", "3s", "--checkpoint-interval", "1s", "--idle-read-interval", "300ms")


class Application:
    """One stream with one application. Workers are processes; everything else is seen and done with plain boto3."""

    def __init__(self, name: str, services: Services, folder: Path, programs: ExitStack, *, shards: int) -> None:
        """Create the stream.

        Args:
            name: of the stream, the application and so of the lease table.
            services: where both are.
            folder: for the journal; also the workers' current directory.
            programs: ends the workers that still run.
            shards: how many the stream begins with.
        """
        self.name = name
        self.services = services
        self.folder = folder
        self._programs = programs
        self.kinesis = programs.enter_context(services.client("kinesis"))
        self.dynamodb = programs.enter_context(services.client("dynamodb"))
        self.kinesis.create_stream(StreamName=name, ShardCount=shards)
        self.operator = Operator(self.kinesis, name)
        eventually(lambda: self._status() == "ACTIVE", f"stream {name}")
        self.producer = Producer(self.kinesis, name)
        self.leases = LeaseItems(self.dynamodb, name)
        (folder / "journal").mkdir()
        self.journal = Journal(folder / "journal")
        self.samples: list[Sample] = []

    def _status(self) -> str:
        summary = self.kinesis.describe_stream_summary(StreamName=self.name)["StreamDescriptionSummary"]
        return str(summary["StreamStatus"])

    def worker(
        self,
        *options: str,
        processor: str = "Recording",
        stream: str | None = None,
        services: Services | None = None,
        pause_seconds: float = 0.0,
        block_seconds: float = 0.0,
        is_quick: bool = True,
        workers: int = 1,
    ) -> WorkerProgram:
        """Start a worker.

        Args:
            options: more words of the command line; a later one outweighs an earlier one.
            processor: what it runs.
            stream: another stream than the application's own.
            services: other endpoints.
            pause_seconds: how long each batch takes.
            block_seconds: how long the first batch of the process takes.
            is_quick: with short intervals.
            workers: how many in the one process.
        """
        program = WorkerProgram(
            processor,
            stream=stream or self.name,
            application=self.name,
            services=services or self.services,
            options=(*(QUICK if is_quick else ()), *options),
            environment={
                "INTEGRATION_JOURNAL": str(self.folder / "journal"),
                "INTEGRATION_PAUSE": str(pause_seconds),
                "INTEGRATION_BLOCK": str(block_seconds),
            },
            directory=self.folder,
            workers=workers,
        )
        return self._programs.enter_context(program)

    def wait_until_delivered(self, worker: WorkerProgram | None = None) -> None:
        """Wait until everything that was put so far was delivered at least once."""
        wanted = {put.payload for put in self.producer.puts}

        def is_all_there() -> bool:
            assert worker is None or worker.is_running, f"the worker ended; {worker}"
            return wanted <= self.journal.payloads

        eventually(is_all_there, f"{len(wanted)} records", of=worker or "")

    def broken_laws(self) -> dict[str, object]:
        """What breaks the laws that hold whatever happened to the workers, once everything was delivered."""
        puts, journal = self.producer.puts, self.journal
        found: dict[str, object] = {
            "missing": laws.missing(puts, journal),
            "altered": laws.altered(puts, journal),
            "out of order": laws.out_of_order(journal),
            "started elsewhere": laws.started_elsewhere(puts, journal),
            "keys out of order": laws.keys_out_of_order(puts, journal),
            "early children": laws.early_children(self.operator.parents(), journal),
            "begun by zombies": laws.begun_by_zombies(journal),
            "overlapping": owner_changes.overlapping(journal),
            "went back": laws.went_back(self.samples),
            "skipped": laws.skipped(puts, self.samples, journal),
        }
        return {law: breaches for law, breaches in found.items() if breaches}
