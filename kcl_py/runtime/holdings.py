"""The leases that this worker holds, and everything that the data plane may ask about them."""

import asyncio
from collections.abc import Callable
from functools import partial

from kcl_py.core import audit
from kcl_py.core.checkpoint import Checkpoint
from kcl_py.core.lease import Change, Lease
from kcl_py.core.lineage import Lineage
from kcl_py.core.shard import ChildShard
from kcl_py.core.table import TableSnapshot
from kcl_py.errors import CheckpointError, LeaseLost
from kcl_py.events import (
    CheckpointWritten,
    LeaseGivenUp,
    LeasePickedUp,
    LeaseRecreated,
    LeaseWasLost,
    RecordsMissing,
    ServiceTrouble,
    ShardFinished,
)
from kcl_py.interfaces import LeaseTable
from kcl_py.retrying import Sleep
from kcl_py.runtime.discovery import Discovery
from kcl_py.runtime.held_lease import HeldLease, Transition
from kcl_py.runtime.mailbox import (
    Box,
    ConfirmEnd,
    EndShard,
    FromKeeper,
    LetGo,
    Lost,
    NoteCaughtUp,
    PrepareCheckpoint,
    Request,
    SaveCheckpoint,
    Yours,
)
from kcl_py.runtime.user_code import Emitter


class Holdings:
    """One `HeldLease` per held shard, and which epochs the data plane has not closed yet."""

    def __init__(
        self,
        table: LeaseTable,
        discovery: Discovery,
        to_data_plane: Box[FromKeeper],
        *,
        is_session_live: Callable[[], bool],
        is_session: Callable[[str], bool],
        on_trouble: Callable[[BaseException], None],
        emit: Emitter,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._table = table
        self._discovery = discovery
        self._to_data_plane = to_data_plane
        self._is_session_live = is_session_live
        self._is_session = is_session
        self._on_trouble = on_trouble
        self._emit = emit
        self._sleep = sleep
        self._held: dict[str, HeldLease] = {}
        self._epochs: dict[str, int] = {}  # fencing tokens that the data plane was given and has not closed
        self._missing: set[str] = set()  # held shards that the service says it does not know

    def __len__(self) -> int:
        return len(self._held)

    def has_room_for(self, shard_id: str) -> bool:
        """True if the shard is not held, and no call of an earlier epoch of it can still be running here."""
        return shard_id not in self._held and shard_id not in self._epochs

    async def pick_up(self, seen: Lease, owner: str) -> None:
        """Take a lease and hand it to the data plane; if somebody else was first, nothing happens."""
        held = HeldLease(
            self._table,
            seen,
            is_session_live=self._is_session_live,
            on_retry=self._note_trouble,
            on_recreated=lambda lease: self._emit(LeaseRecreated(shard_id=lease.key, checkpoint=str(lease.checkpoint))),
            sleep=self._sleep,
        )
        if not self._is_session(owner):
            return  # it ended while this pick-up waited for its turn
        self._held[seen.key] = held
        start_at_ms = self._discovery.start_at_ms(seen)
        try:
            lease = await held.pick_up(lambda row: row.picked_up(owner, self._discovery.binding, start_at_ms))
        except LeaseLost:
            self._forget(held)
            return
        if self._held.get(seen.key) is not held:
            return  # the session ended meanwhile
        self._epochs[lease.key] = lease.counter
        self._emit(LeasePickedUp(shard_id=lease.key, fencing_token=lease.counter, checkpoint=str(lease.checkpoint)))
        self._to_data_plane.put(Yours(lease, self._discovery.horizon_ms))

    async def serve(self, request: Request) -> object:
        """Do what the data plane asks.

        Raises:
            LeaseLost: the epoch of the request is over.
            CheckpointError: the position is behind the row's.
        """
        held = self._held.get(request.shard_id)
        if held is None or held.fencing_token != request.fencing_token:
            raise LeaseLost(f"{request.shard_id}: this worker does not hold it any more")
        try:
            return await self._serve(held, request)
        except LeaseLost as lost:
            self._lose(held, str(lost))
            raise

    async def _serve(self, held: HeldLease, request: Request) -> object:
        match request.matter:
            case SaveCheckpoint() as save:
                await self._save(held, lambda row: row.checkpointed(save.position))
            case PrepareCheckpoint() as prepare:
                await self._change(held, lambda row: row.prepared(prepare.position, prepare.state))
            case NoteCaughtUp(at):
                at_ms = self._discovery.service_time_at_ms(at)
                await self._change(held, lambda row: row.caught_up(at_ms))
            case ConfirmEnd():
                return await self._discovery.confirm_end(held.lease, lambda: held.is_over)
            case EndShard(children):
                await self._end(held, children)
            case LetGo(position):
                await self._let_go(held, position)
        return None

    def closed(self, shard_id: str, fencing_token: int) -> None:
        """The data plane runs no call of this epoch any more."""
        if self._epochs.get(shard_id) == fencing_token:
            del self._epochs[shard_id]

    def is_missing(self, shard_id: str) -> None:
        """The service does not know the shard."""
        self._missing.add(shard_id)

    def lose_all(self, reason: str) -> None:
        """The session is over, and every lease with it."""
        for held in tuple(self._held.values()):
            self._lose(held, reason)

    async def give_up_all(self) -> None:
        """Clear the owner of whatever is still held, with no progress beyond what was written."""
        await asyncio.gather(*(self._give_up(held) for held in tuple(self._held.values())))

    async def look_for_rows(self, snapshot: TableSnapshot) -> None:
        """Touch the rows of held leases that are gone or somebody else's: the one is written again, the other lost."""
        present = {odd.key for odd in snapshot.odd_rows}
        present |= {lease.key for lease in snapshot.leases if self._is_session(lease.effective_owner or "")}
        for held in tuple(self._held.values()):
            if held.fencing_token and held.lease.key not in present:
                try:
                    await self._change(held, lambda row: row.bound(self._discovery.binding))
                except LeaseLost as lost:
                    self._lose(held, str(lost))

    async def end_trimmed(self, lineage: Lineage) -> None:
        """Finish the held shards that the service has trimmed away unread: a published gap, never a silent one."""
        for lease in audit.trimmed(lineage):
            held = self._held.get(lease.key)
            if held is None or lease.key not in self._missing:
                continue
            end = audit.end_of_trimmed(held.lease, lineage)
            self._emit(
                RecordsMissing(
                    shard_id=lease.key,
                    after=str(held.lease.checkpoint),
                    before="SHARD_END",
                    reason="the whole shard passed out of the stream's retention before it was read",
                )
            )
            await self._discovery.create(end.children)
            child_ids = end.child_shard_ids
            try:
                await self._change(held, partial(Lease.ended, child_shard_ids=child_ids))
            except (LeaseLost, CheckpointError) as lost:
                self._lose(held, str(lost))
                continue
            self._emit(ShardFinished(shard_id=lease.key, children=child_ids))
            self._lose(held, "the shard was trimmed")

    # -- one lease ------------------------------------------------------------------------------------------------

    async def _end(self, held: HeldLease, children: tuple[ChildShard, ...]) -> None:
        end = await self._discovery.end_of(held.lease, children, lambda: held.is_over)
        await self._discovery.create(end.children)
        await self._save(held, lambda row: row.ended(end.child_shard_ids))
        self._forget(held)
        self._emit(ShardFinished(shard_id=held.lease.key, children=end.child_shard_ids))

    async def _let_go(self, held: HeldLease, position: Checkpoint | None) -> None:
        def released(row: Lease) -> Change:
            return row.released().with_checkpoint(position)

        lease = await (self._save(held, released) if position is not None else self._change(held, released))
        self._forget(held)
        self._emit(LeaseGivenUp(shard_id=lease.key, checkpoint=str(lease.checkpoint)))

    async def _give_up(self, held: HeldLease) -> None:
        try:
            await self._let_go(held, None)
        except LeaseLost:
            self._forget(held)

    async def _save(self, held: HeldLease, transition: Transition) -> Lease:
        lease = await self._change(held, transition)
        self._emit(
            CheckpointWritten(shard_id=lease.key, checkpoint=str(lease.checkpoint), fencing_token=held.fencing_token)
        )
        return lease

    async def _change(self, held: HeldLease, transition: Transition) -> Lease:
        try:
            return await held.change(transition)
        except ValueError as refused:
            raise CheckpointError(str(refused)) from None

    def _lose(self, held: HeldLease, reason: str) -> None:
        if self._forget(held) and held.fencing_token:
            self._emit(LeaseWasLost(shard_id=held.lease.key, reason=reason))
            self._to_data_plane.put(Lost(held.lease.key, held.fencing_token))

    def _forget(self, held: HeldLease) -> bool:
        held.end()
        self._missing.discard(held.lease.key)
        if self._held.get(held.lease.key) is not held:
            return False
        del self._held[held.lease.key]
        return True

    def _note_trouble(self, shard_id: str, error: BaseException) -> None:
        self._emit(ServiceTrouble(operation="write lease", reason=str(error), shard_id=shard_id))
        self._on_trouble(error)
