"""The workers of one application: who leads, who has which shard, and how long a shard waits for another worker."""

import itertools
from collections.abc import Collection, Mapping, Sequence

from integration.application import Application
from integration.lease_items import Item
from integration.program import eventually
from integration.worker_program import WorkerProgram
from kcl_py import host

LOOK_SECONDS = 0.15  # between two looks at a table that the workers need too


class Fleet:
    """Workers of one application that come and go."""

    def __init__(self, app: Application, *options: str, pause_seconds: float = 0.0) -> None:
        """Begin without any.

        Args:
            app: whose workers they are.
            options: more words of every command line.
            pause_seconds: how long each batch takes.
        """
        self.app = app
        self._options = options
        self._pause_seconds = pause_seconds
        self._numbers = itertools.count(1)
        self.workers: list[WorkerProgram] = []

    def join(self, count: int = 1) -> list[WorkerProgram]:
        """Start workers, each in a process of its own, and wait until they are ready."""
        new = [self._started(1) for _ in range(count)]
        for worker in new:
            worker.ready()
        return new

    def join_crowds(self, counts: Sequence[int]) -> list[WorkerProgram]:
        """Start processes of several workers each, and wait until these are ready."""
        new = [self._started(count) for count in counts]
        for worker in new:
            worker.ready()
        return new

    def _started(self, workers: int) -> WorkerProgram:
        worker_id = f"worker-{next(self._numbers)}"
        self.workers.append(
            self.app.worker(
                "--worker-id", worker_id, *self._options, pause_seconds=self._pause_seconds, workers=workers
            )
        )
        return self.workers[-1]

    @property
    def running(self) -> list[WorkerProgram]:
        return [worker for worker in self.workers if worker.is_running]

    @property
    def killed(self) -> set[int]:
        """The ids of the processes that SIGKILL has ended."""
        return {worker.pid for worker in self.workers if worker.is_killed}

    @property
    def sessions(self) -> dict[str, WorkerProgram]:
        """The session of every worker that runs, as far as it has one."""
        return {session: worker for worker in self.running for session in worker.sessions}

    # -- who leads ----------------------------------------------------------------------------------------------------

    def leader(self) -> WorkerProgram:
        """The running worker that has the leader lock."""
        return eventually(lambda: self._named_by_lock("ownerName"), "a leader", pause_seconds=LOOK_SECONDS)

    def standby(self) -> WorkerProgram:
        """The running worker that the leader has named, once it did."""
        return eventually(lambda: self._named_by_lock("kclPyStandby"), "a standby", pause_seconds=LOOK_SECONDS)

    def ordinary(self) -> WorkerProgram:
        """A running worker that is neither."""
        special = {self.leader().pid, self.standby().pid}
        return next(worker for worker in self.running if worker.pid not in special)

    def _named_by_lock(self, attribute: str) -> WorkerProgram | None:
        lock = self.app.leases.leader_lock() or {}
        return self.sessions.get(lock.get(attribute, {"S": ""})["S"])

    # -- who has what -------------------------------------------------------------------------------------------------

    def holders(self) -> dict[str, str | None]:
        """By unfinished shard: the session that picked it up and is to keep it; None while it changes hands."""
        rows = self.app.leases.leases()
        return {shard: _holder(row) for shard, row in rows.items() if row["checkpoint"] != {"S": "SHARD_END"}}

    def shards_of(self, worker: WorkerProgram) -> set[str]:
        """What a worker has picked up."""
        return {shard for shard, holder in self.holders().items() if holder is not None and holder == worker.session}

    def shares(self) -> dict[str, int]:
        """How many shards each running worker has; empty while any shard is with none of them, or changes hands."""
        sessions, holders = self.sessions, self.holders()
        if len(sessions) < sum(worker.workers for worker in self.running) or not set(holders.values()) <= set(sessions):
            return {}
        begun = self.app.journal.newest_owners()
        if {shard: str(holder).rpartition("@")[0] for shard, holder in holders.items()}.items() <= begun.items():
            return {session: list(holders.values()).count(session) for session in sessions}
        return {}  # a processor has still to hear of it

    def owned(self) -> dict[str, int]:
        """Wait until every shard is with a running worker; their shares."""
        return eventually(self.shares, "an owner for every shard", of=self, pause_seconds=LOOK_SECONDS)

    def evened(self) -> dict[str, int]:
        """Wait until no share is more than one larger than another as well."""

        def look() -> dict[str, int]:
            shares = self.shares()
            return shares if shares and max(shares.values()) - min(shares.values()) <= 1 else {}

        return eventually(look, "even shares", of=self, pause_seconds=LOOK_SECONDS)

    # -- how long it takes --------------------------------------------------------------------------------------------

    def gone_on(self, shards: Collection[str], worker: WorkerProgram, since: float) -> Mapping[str, float]:
        """Wait until each of the shards was delivered from by another worker than this one.

        Args:
            shards: which; records must keep coming into each.
            worker: who had them.
            since: an instant of the boot clock.

        Returns:
            The seconds from `since` to the first of these deliveries, by shard.
        """

        def look() -> dict[str, float]:
            elsewhere: dict[str, float] = {}
            for fact in self.app.journal.facts("record"):
                if fact.shard in shards and fact.pid != worker.pid and fact.at > since:
                    elsewhere.setdefault(fact.shard, fact.at - since)
            return elsewhere if len(elsewhere) == len(shards) else {}

        return eventually(look, f"deliveries elsewhere of {sorted(shards)}", of=self) if shards else {}

    def drain(self) -> None:
        """Stop all at once, and in order."""
        running = self.running
        for worker in running:
            worker.terminated()
        for worker in running:
            assert worker.ended() == 0, worker

    def __str__(self) -> str:
        holders = "\n".join(f"{shard}: {holder}" for shard, holder in self.holders().items())
        lock = self.app.leases.leader_lock()
        return "\n".join([f"{host.boottime():.1f} lock {lock}", holders, *map(str, self.running)])


def _holder(row: Item) -> str | None:
    owner = row.get("checkpointOwner", row.get("leaseOwner", {})).get("S")
    is_held = owner is not None and row.get("kclPyHeld") == {"S": owner}
    return str(owner) if is_held and "checkpointOwner" not in row else None
