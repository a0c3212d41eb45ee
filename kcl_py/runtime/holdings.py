"""The leases that this worker holds, and everything that the data plane may ask about them."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any

import msgspec

from kcl_py.config import Config
from kcl_py.core import audit
from kcl_py.core.checkpoint import Checkpoint
from kcl_py.core.lease import Change, Lease
from kcl_py.core.lineage import Lineage
from kcl_py.core.shard import ChildShard
from kcl_py.core.throughput import Throughput
from kcl_py.errors import CheckpointError, LeaseLost
from kcl_py.events import (
    CheckpointWritten,
    LeaseGivenUp,
    LeaseHandedOver,
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
from kcl_py.runtime.hand_off import HandOff
from kcl_py.runtime.held_lease import HeldLease, Transition
from kcl_py.runtime.mailbox import (
    Box,
    ConfirmEnd,
    EndShard,
    FromKeeper,
    HandOver,
    LetGo,
    Lost,
    NoteCaughtUp,
    PrepareCheckpoint,
    Request,
    SaveCheckpoint,
    Yours,
)
from kcl_py.runtime.succession import Succession, may_receive
from kcl_py.runtime.user_code import Emitter


class Holdings:
    """One `HeldLease` per held shard, and which epochs the data plane has not closed yet."""

    def __init__(
        self,
        table: LeaseTable,
        discovery: Discovery,
        to_data_plane: Box[FromKeeper],
        *,
        config: Config,
        session: Callable[[], str | None],
        is_session_live: Callable[[], bool],
        on_trouble: Callable[[BaseException], None],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        clock: Callable[[], float],
        emit: Emitter,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """Take what is needed; nothing is held yet.

        Args:
            table: where the rows stand.
            discovery: knows the stream's listings.
            to_data_plane: where leases, hand-offs and losses are told.
            config: the worker's.
            session: our session's key; None while there is none.
            is_session_live: whether our own deadline is still ahead.
            on_trouble: told errors of writes that are tried again.
            spawn: runs something beside.
            clock: seconds.
            emit: where events go.
            sleep: how to wait between attempts.
        """
        self._table = table
        self._discovery = discovery
        self._to_data_plane = to_data_plane
        self._config = config
        self._session = session
        self._is_session_live = is_session_live
        self._on_trouble = on_trouble
        self._spawn = spawn
        self._clock = clock
        self._emit = emit
        self._sleep = sleep
        self._held: dict[str, HeldLease] = {}
        self._epochs: dict[str, int] = {}  # fencing tokens that the data plane was given and has not closed
        self._throughputs: dict[str, Throughput] = {}
        self._missing: set[str] = set()  # held shards that the service says it does not know
        self._handing_over: set[str] = set()
        self._loose: set[str] = set()  # rows that may name us though we do not hold them: to be read without the index
        self.succession: Succession | None = None  # who gets what we let go, once we leave

    @property
    def keys(self) -> frozenset[str]:
        """The shards that are held, or about to be."""
        return frozenset(self._held)

    @property
    def leases(self) -> tuple[Lease, ...]:
        """The rows of the held leases, as last known."""
        return tuple(held.lease for held in self._held.values() if held.fencing_token)

    @property
    def loose(self) -> frozenset[str]:
        """Rows that may name us though we do not hold them."""
        return frozenset(self._loose)

    @property
    def has_missing_shards(self) -> bool:
        """True if the service does not know a shard that is held."""
        return bool(self._missing)

    def is_settled(self, shard_id: str) -> None:
        """The row of a loose lease was read, and is not ours."""
        self._loose.discard(shard_id)

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
        if self._session() != owner:
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
        self._loose.discard(lease.key)
        self._epochs[lease.key] = lease.counter
        self._throughputs[lease.key] = Throughput(lease.throughput_kbps or 0.0, self._clock())
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
                flow = self._throughputs[held.lease.key].progressed(save.size_bytes, self._clock())
                await self._save(held, lambda row: row.checkpointed(save.position, flow.kbps))
                self._throughputs[held.lease.key] = flow
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
        self._loose.clear()

    async def give_up_all(self) -> None:
        """Pass on whatever is still held, with no progress beyond what was written."""
        await asyncio.gather(*(self._give_up(held) for held in tuple(self._held.values())))

    async def look_at(self, shard_ids: Iterable[str]) -> None:
        """Read the rows of held leases: one is to be handed over, gone, or somebody else's."""
        for shard_id in sorted(shard_ids):
            held = self._held.get(shard_id)
            if held is None or not held.fencing_token:
                continue
            try:
                if not await held.look():
                    await self._change(held, lambda row: row.bound(self._discovery.binding))
            except LeaseLost as lost:
                self._lose(held, str(lost))
                continue
            self._heed(held)

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
        # whoever read the parent goes on with the children: nobody has to wait for the leader's next round
        owner = self._session() if self._has_room_for_children(end.child_shard_ids) else None
        await self._discovery.create(msgspec.structs.replace(child, owner=owner) for child in end.children)
        await self._save(held, lambda row: row.ended(end.child_shard_ids))
        self._forget(held)
        self._loose.update(end.child_shard_ids)
        self._emit(ShardFinished(shard_id=held.lease.key, children=end.child_shard_ids))

    def _has_room_for_children(self, child_ids: tuple[str, ...]) -> bool:
        leases_max = self._config.leases_max
        return self.succession is None and (leases_max is None or len(self._held) - 1 + len(child_ids) <= leases_max)

    async def _let_go(self, held: HeldLease, position: Checkpoint | None, *, is_forced: bool = False) -> None:
        """Complete an open hand-off, or pass the lease on to whom the plan picks, or to nobody."""
        receiver, heir = held.lease.owner, None
        is_open = held.lease.checkpoint_owner is not None
        if self.succession is not None and not (is_open and await self.succession.may_receive(receiver or "")):
            is_open = False
            heir = await self.succession.heir_of(held.lease)

        def passed_on(row: Lease) -> Change:
            if is_open and row.checkpoint_owner is not None:
                change = row.handed_over()
            else:
                change = row.assigned(heir) if heir is not None else row.released()
            return change.with_checkpoint(position)

        lease = await (self._save(held, passed_on) if position is not None else self._change(held, passed_on))
        self._forget(held)
        if lease.owner is None:
            self._emit(LeaseGivenUp(shard_id=lease.key, checkpoint=str(lease.checkpoint)))
        else:
            self._emit(
                LeaseHandedOver(
                    shard_id=lease.key, to=lease.owner, checkpoint=str(lease.checkpoint), is_forced=is_forced
                )
            )

    async def _give_up(self, held: HeldLease) -> None:
        try:
            await self._let_go(held, None)
        except LeaseLost:
            self._forget(held)

    def _heed(self, held: HeldLease) -> None:
        """Begin to hand a lease over once its row names another owner."""
        key = held.lease.key
        if held.lease.checkpoint_owner is not None and not held.is_over and key not in self._handing_over:
            self._handing_over.add(key)
            self._spawn(self._hand_over(held))

    async def _hand_over(self, held: HeldLease) -> None:
        hand_off = HandOff(
            held,
            grace_seconds=self._config.shutdown_grace_seconds,
            may_receive=lambda session: may_receive(self._table, session),
            begin=lambda held: self._to_data_plane.put(HandOver(held.lease.key, held.fencing_token)),
            force=self._force_over,
            emit=self._emit,
        )
        try:
            await hand_off.run()
        except LeaseLost as lost:
            self._lose(held, str(lost))
        finally:
            self._handing_over.discard(held.lease.key)

    async def _force_over(self, held: HeldLease) -> None:
        """The data plane did not finish in time: what it has in flight is the receiver's to repeat."""
        await self._let_go(held, None, is_forced=True)
        self._to_data_plane.put(Lost(held.lease.key, held.fencing_token))

    async def _save(self, held: HeldLease, transition: Transition) -> Lease:
        lease = await self._change(held, transition)
        self._emit(
            CheckpointWritten(shard_id=lease.key, checkpoint=str(lease.checkpoint), fencing_token=held.fencing_token)
        )
        return lease

    async def _change(self, held: HeldLease, transition: Transition) -> Lease:
        try:
            lease = await held.change(transition)
        except ValueError as refused:
            raise CheckpointError(str(refused)) from None
        self._heed(held)
        return lease

    def _lose(self, held: HeldLease, reason: str) -> None:
        if self._forget(held) and held.fencing_token:
            self._loose.add(held.lease.key)
            self._emit(LeaseWasLost(shard_id=held.lease.key, reason=reason))
            self._to_data_plane.put(Lost(held.lease.key, held.fencing_token))

    def _forget(self, held: HeldLease) -> bool:
        held.end()
        self._missing.discard(held.lease.key)
        self._throughputs.pop(held.lease.key, None)
        if self._held.get(held.lease.key) is not held:
            return False
        del self._held[held.lease.key]
        return True

    def _note_trouble(self, shard_id: str, error: BaseException) -> None:
        self._emit(ServiceTrouble(operation="write lease", reason=str(error), shard_id=shard_id))
        self._on_trouble(error)
