"""A log written by hand: what a few workers did, as a law would see it."""

import msgspec

from kcl_py.core.checkpoint import SHARD_END, TRIM_HORIZON
from kcl_py.core.lease import Lease
from tests.simulation import facts
from tests.simulation.facts import Log, Put
from tests.simulation.laws.history import History, worker_of


class Tale:
    """Two workers, a with the leader lock and b as its standby; rows change hands as told."""

    def __init__(self, standby: str | None = "b@00000000") -> None:
        self.log = Log()
        self._rows: dict[str, Lease] = {}
        self._dead: set[str] = set()
        for at, worker in ((0.0, "a"), (1.0, "b")):
            self.log.note(worker, facts.Joined(rate=1.0), at)
            self.log.note(worker, facts.EntryWritten(key=f"{worker}@00000000", beat=0), at)
        self.log.note("a", facts.LockWritten(owner="a@00000000", standby=standby), 1.0)

    def owned(self, at: float, shard_id: str, by: str | None) -> None:
        """The row changes hands; to nobody for None. Who held it hands it over, unless it is dead."""
        owner = None if by is None else f"{by}@00000000"
        row = self._rows.get(shard_id)
        holder = worker_of(row.held_by) if row is not None and row.held_by else None
        if holder is not None and holder not in self._dead:
            self._written(at, holder, shard_id, owner=owner, held_by=None)
        if by is not None:
            self._written(at, by, shard_id, owner=owner, held_by=owner)
        elif holder is None:
            self._written(at, "a", shard_id)

    def created(self, at: float, shard_id: str) -> None:
        """The row of a shard that nobody owns yet."""
        self._written(at, "a", shard_id)

    def ended(self, at: float, shard_id: str, by: str, *children: str) -> None:
        """All of the shard is done."""
        self._written(at, by, shard_id, owner=None, held_by=None, checkpoint=SHARD_END, child_shard_ids=children)

    def put(self, at: float, shard_id: str) -> Put:
        """A record."""
        record = Put(shard_id=shard_id, position=(int(at), 0), key=shard_id, number=0)
        self.log.note("", record, at)
        return record

    def told(self, at: float, worker: str, what: facts.What) -> None:
        """Whatever else there is to say."""
        self.log.note(worker, what, at)

    def revoked(self, at: float, worker: str) -> None:
        self._dead.add(worker)
        self.log.note("a", facts.EntryWritten(key=f"{worker}@00000000", beat=9, is_revoked=True), at)

    def crashed(self, at: float, worker: str) -> None:
        self.log.note(worker, facts.Crashed(), at)

    def trouble(self, at: float, until: float, what: str = "throttle", worker: str = "") -> None:
        self.log.note(worker, facts.Trouble(what=what, until=until), at)

    def drained(self, at: float, **told: float) -> History:
        """The end: everybody is told to stop."""
        self.log.note("", facts.Drained(), at)
        return History(self.log, **told)  # type: ignore[arg-type]

    def _written(self, at: float, worker: str, shard_id: str, **values: object) -> None:
        stood = self._rows.get(shard_id)
        before = stood or Lease(key=shard_id, checkpoint=TRIM_HORIZON)
        stands = msgspec.structs.replace(before, counter=before.counter + (stood is not None), **values)
        self._rows[shard_id] = stands
        self.log.note(worker, facts.RowWritten(key=shard_id, claimed=stood, stood=stood, stands=stands), at)
