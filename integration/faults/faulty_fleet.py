"""A fleet whose workers each reach the services through proxies of their own."""

import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Literal, NamedTuple

from integration import laws, owner_changes
from integration.application import QUICK, Application
from integration.faults.effects import Effect
from integration.faults.proxy import FaultProxy
from integration.faults.rule import Rule
from integration.fleet import LOOK_SECONDS, Fleet
from integration.lease_items import Sampler
from integration.load import Load
from integration.program import eventually
from integration.services import Services
from integration.worker_program import WorkerProgram
from kcl_py import host

UNCHECKPOINTED_MAX = 100
PAGE_RECORDS_MAX = 50
# three in each quarter of the hash range: with more of them in one, the bound on records without checkpoint may stop
# its shard before the deadline does
KEYS = [f"key-{number}" for number in (1, 12, 17, 3, 7, 10, 0, 2, 4, 8, 13, 14)]
OPTIONS = (
    "--uncheckpointed-records-max", str(UNCHECKPOINTED_MAX), "--read-limit", str(PAGE_RECORDS_MAX),
    "--shard-listing-interval", "2s",
)  # fmt: skip


class Lines(NamedTuple):
    """One worker's ways to the services."""

    kinesis: FaultProxy
    dynamodb: FaultProxy

    @property
    def services(self) -> Services:
        return Services(self.kinesis.url, self.dynamodb.url)


class FaultyFleet(Fleet):
    """Workers whose services fail when told to.

    Args:
        app: whose workers they are.
        stack: ends the proxies, after the workers.
        options: more words of every command line.
        failover_seconds: of every worker.
        processor: what they run.
        pause_seconds: how long each batch takes.
    """

    def __init__(
        self,
        app: Application,
        stack: ExitStack,
        *options: str,
        failover_seconds: float = 3.0,
        processor: str = "Recording",
        pause_seconds: float = 0.0,
    ) -> None:
        super().__init__(app, *OPTIONS, "--failover", f"{failover_seconds:g}s", *options, pause_seconds=pause_seconds)
        self.failover_seconds = failover_seconds
        self._stack = stack
        self._processor = processor
        self._lines: dict[int, Lines] = {}
        self.cut_short: set[int] = set()  # the ids of processes that were to stop in order and could not
        self._sampler = stack.enter_context(Sampler(app.leases))

    def start(
        self,
        *options: str,
        block_seconds: float = 0.0,
        workers: int = 1,
        environment: Mapping[str, str] | None = None,
        shell: str = "",
        worker_id: str = "",
    ) -> WorkerProgram:
        """Start a worker, and do not wait for it.

        Args:
            options: more words of its command line alone.
            block_seconds: how long its first batch takes.
            workers: how many in the one process.
            environment: more of its environment.
            shell: see `WorkerProgram`.
            worker_id: one of its own if absent.
        """
        urls = (self.app.services.kinesis_url, self.app.services.dynamodb_url)
        lines = Lines(*(self._stack.enter_context(FaultProxy(url)) for url in urls))
        name = worker_id or f"worker-{next(self._numbers)}"
        worker = WorkerProgram(
            self._processor,
            stream=self.app.name,
            application=self.app.name,
            services=lines.services,
            options=(*QUICK, "--worker-id", name, *self._options, *options),
            environment={
                "INTEGRATION_JOURNAL": str(self.app.folder / "journal"),
                "INTEGRATION_PAUSE": str(self._pause_seconds),
                "INTEGRATION_BLOCK": str(block_seconds),
                **(environment or {}),
            },
            directory=self.app.folder,
            workers=workers,
            shell=shell,
        )
        self._stack.enter_context(worker)
        self._lines[worker.pid] = lines
        self.workers.append(worker)
        return worker

    def _started(self, workers: int) -> WorkerProgram:
        return self.start(workers=workers)

    def lines(self, worker: WorkerProgram) -> Lines:
        """A worker's ways to the services."""
        return self._lines[worker.pid]

    # -- faults -------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def under(
        self,
        effect: Effect,
        *operations: str,
        service: Literal["kinesis", "dynamodb"] | None = None,
        workers: Collection[WorkerProgram] | None = None,
        **which: Any,
    ) -> Iterator[Rule]:
        """A fault for the time of a `with` block.

        Args:
            effect, operations, which: see `Rule`.
            service: of both, if absent.
            workers: between these and the services; all that run, if absent.
        """
        rule = Rule(effect, *operations, **which)
        lines = [self.lines(worker) for worker in (self.running if workers is None else workers)]
        chosen = [getattr(of_worker, name) for of_worker in lines for name in Lines._fields if service in (None, name)]
        for proxy in chosen:
            proxy.add(rule)
        try:
            yield rule
        finally:
            for proxy in chosen:
                proxy.remove(rule)

    def load(self) -> Load:
        """Records that keep coming."""
        return Load(self.app.producer, KEYS)

    def last(self, failovers: float, since: float) -> None:
        """Let so many failover times pass."""
        time.sleep(max(0.0, since + failovers * self.failover_seconds - host.boottime()))

    # -- what came of it ----------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Put a last record of every key, and wait until everything is done; no law may be broken by then."""
        self.app.producer.put_rounds(KEYS, 1)
        self.wait_until_done()
        self.check()

    def wait_until_done(self) -> None:
        """Wait until nothing is left of what was put so far."""

        def is_done() -> bool:
            return not laws.missing(self.app.producer.puts, self.app.journal)

        eventually(is_done, "all to be done", of=self, pause_seconds=2 * LOOK_SECONDS)

    def check(self) -> None:
        """The laws that hold in every cell."""
        self.app.samples = list(self._sampler.samples)
        assert self.app.broken_laws() == {}
        assert owner_changes.redelivered_after_order(self.app.journal, self.killed | self.cut_short) == {}
        assert owner_changes.redelivered_beyond(self.app.journal, UNCHECKPOINTED_MAX + PAGE_RECORDS_MAX) == {}

    def counts(self, event: str) -> dict[int, int]:
        """How often each running worker has logged an event."""
        return {worker.pid: len(worker.events(event)) for worker in self.running}

    def wait_for_each(self, event: str, before: dict[int, int]) -> None:
        """Wait until each running worker has logged an event once more than before."""
        for worker in self.running:
            worker.wait_for(event, count=before[worker.pid] + 1)

    def epochs_since(self, at: float) -> list[tuple[str, int]]:
        """Epochs that began after an instant, as shards and tokens: nothing where every lease was kept."""
        return [(fact.shard, fact.token) for fact in self.app.journal.facts("initialize") if fact.at > at]


MakeFleet = Callable[..., FaultyFleet]
"""Takes what `FaultyFleet` does, and the number of shards; makes an application as well."""
