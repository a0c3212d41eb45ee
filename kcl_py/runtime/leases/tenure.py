"""One lease while this worker holds it: what the data plane may ask, and every way in which it ends."""

from collections.abc import Callable
from functools import partial

import msgspec

from kcl_py.core import audit
from kcl_py.core.checkpoint import Checkpoint
from kcl_py.core.lease import Change, Lease
from kcl_py.core.lineage import Lineage
from kcl_py.core.shard import ChildShard
from kcl_py.core.throughput import Throughput
from kcl_py.errors import CheckpointError, ConditionFailed, LeaseLost
from kcl_py.events import (
    CheckpointWritten,
    LeaseGivenUp,
    LeaseHandedOver,
    LeasePickedUp,
    LeaseRecreated,
    LeaseRestarted,
    LeaseWasLost,
    RecordsMissing,
    ServiceTrouble,
    ShardFinished,
)
from kcl_py.runtime.leases.desk import Desk
from kcl_py.runtime.leases.hand_off import HandOff
from kcl_py.runtime.leases.held_lease import HeldLease, Transition
from kcl_py.runtime.leases.succession import may_receive
from kcl_py.runtime.mailbox import (
    ConfirmEnd,
    EndShard,
    HandOver,
    LetGo,
    Lost,
    Matter,
    NoteCaughtUp,
    PrepareCheckpoint,
    SaveCheckpoint,
    Stalled,
    VerifyLease,
    Yours,
)
from kcl_py.runtime.trouble import through_trouble


class Tenure:
    """From the pick-up of a lease to the end of its epoch."""

    def __init__(self, seen: Lease, desk: Desk, *, on_end: Callable[["Tenure"], None]) -> None:
        """Begin with the row as read; nothing is held before `pick_up`.

        Args:
            seen: the row, by a consistent read.
            desk: what all leases share.
            on_end: told once, when the epoch is over.
        """
        self._desk = desk
        self._emit = desk.emit
        self._on_end = on_end
        self._held = HeldLease(
            desk.table,
            seen,
            is_session_live=desk.is_session_live,
            on_retry=self._note_trouble,
            on_recreated=lambda row: self._emit(LeaseRecreated(shard_id=row.key, checkpoint=str(row.checkpoint))),
            sleep=desk.sleep,
        )
        self._flow = Throughput(seen.throughput_kbps or 0.0, desk.clock())
        self._is_handing_over = False
        self._has_ended = False
        self.is_looking = False  # a look is under way
        self.is_shard_missing = False  # the service says that it does not know the shard

    @property
    def lease(self) -> Lease:
        """The row as last known."""
        return self._held.lease

    @property
    def fencing_token(self) -> int:
        """The counter that the pick-up wrote; 0 = not picked up yet."""
        return self._held.fencing_token

    @property
    def is_over(self) -> bool:
        """True once the epoch has ended."""
        return self._held.is_over

    async def pick_up(self, owner: str) -> Lease | None:
        """Take the lease; None if somebody else was first, or the session ended meanwhile.

        Args:
            owner: the session that takes it.
        """
        discovery = self._desk.discovery
        start_at_ms = discovery.start_at_ms(self.lease)
        try:
            lease = await self._held.pick_up(lambda row: row.picked_up(owner, discovery.binding, start_at_ms))
        except LeaseLost:
            self._end()
            return None
        if self.is_over:
            return None
        self._emit(LeasePickedUp(shard_id=lease.key, fencing_token=lease.counter, checkpoint=str(lease.checkpoint)))
        self._desk.to_data_plane.put(Yours(lease, discovery.horizon_ms))
        return lease

    def abandon(self) -> None:
        """End a tenure that has not begun, or whose beginning was cut off."""
        self._end()

    async def serve(self, matter: Matter) -> object:
        """Do what the data plane asks.

        Raises:
            LeaseLost: the epoch is over.
            CheckpointError: the position is behind the row's.
        """
        try:
            return await self._serve(matter)
        except LeaseLost as lost:
            self.lose(str(lost))
            raise

    async def look(self, *, is_patient: bool = False) -> None:
        """Read the row: it is to be handed over, gone, or somebody else's. See `HeldLease.look`."""
        self.is_looking = True
        try:
            if not await self._held.look(is_patient=is_patient):
                await self._change(self._desk.discovery.bound)
        except LeaseLost as lost:
            self.lose(str(lost))
        else:
            self._heed_hand_off()
        finally:
            self.is_looking = False

    async def give_up(self) -> None:
        """Pass the lease on with no progress beyond what was written."""
        try:
            await self._let_go(None)
        except LeaseLost:
            self._end()

    async def end_trimmed(self, lineage: Lineage) -> None:
        """Finish a shard that the service has trimmed away unread: a published gap, never a silent one."""
        end = audit.end_of_trimmed(self.lease, lineage)
        self._emit(
            RecordsMissing(
                shard_id=self.lease.key,
                after=str(self.lease.checkpoint),
                before="SHARD_END",
                reason="the whole shard passed out of retention unread, and shards that followed it may have as well",
            )
        )
        discovery, child_ids = self._desk.discovery, end.child_shard_ids
        born_ms = discovery.horizon_ms - 1  # when the parent closed, at the latest: some of theirs may be gone as well
        await discovery.create(msgspec.structs.replace(child, start_at_ms=born_ms) for child in end.children)
        try:
            await self._change(partial(Lease.ended, child_shard_ids=child_ids))
        except (LeaseLost, CheckpointError) as lost:
            self.lose(str(lost))
            return
        self._emit(ShardFinished(shard_id=self.lease.key, children=child_ids))
        self.lose("the shard was trimmed")

    def lose(self, reason: str) -> None:
        """The epoch is over without our will; the data plane is told if it was given the lease."""
        if self._end() and self.fencing_token:
            self._emit(LeaseWasLost(shard_id=self.lease.key, reason=reason))
            self._desk.to_data_plane.put(Lost(self.lease.key, self.fencing_token))

    # -- what is asked --------------------------------------------------------------------------------------------

    async def _serve(self, matter: Matter) -> object:
        discovery = self._desk.discovery
        match matter:
            case SaveCheckpoint():
                flow = self._flow.progressed(matter.size_bytes, self._desk.clock())
                await self._save(lambda row: row.checkpointed(matter.position, flow.kbps))
                self._flow = flow
            case PrepareCheckpoint():
                await self._change(lambda row: row.prepared(matter.position, matter.state))
            case NoteCaughtUp(at):
                at_ms = discovery.service_time_ms - int((self._desk.clock() - at) * 1000)
                await self._change(lambda row: row.caught_up(at_ms))
            case ConfirmEnd():
                return await discovery.confirm_end(self.lease, lambda: self.is_over)
            case VerifyLease():
                await self._verify()
            case EndShard(children):
                await self._end_shard(children)
            case LetGo(position):
                await self._let_go(position)
            case Stalled(position, may_restart):
                await self._let_go(position, heir=await self._desk.heir_of_stalled(self.lease, may_restart))
        return None

    async def _verify(self) -> None:
        while not await through_trouble("verify a lease", self.look(is_patient=True), self._emit):
            await self._desk.sleep(1.0)
        if self.is_over:
            raise LeaseLost(f"{self.lease.key}: another worker has it")

    async def _end_shard(self, named: tuple[ChildShard, ...]) -> None:
        discovery = self._desk.discovery
        end = await discovery.end_of(self.lease, named, lambda: self.is_over)
        # whoever read the parent goes on with the children: nobody has to wait for the leader's next round
        is_staying = self._desk.succession is None and self._desk.config.leases_max is None
        owner = self._desk.session() if is_staying else None
        await discovery.create(msgspec.structs.replace(child, owner=owner) for child in end.children)
        await self._save(lambda row: row.ended(end.child_shard_ids))
        self._end()
        self._emit(ShardFinished(shard_id=self.lease.key, children=end.child_shard_ids))

    # -- how it leaves ----------------------------------------------------------------------------------------------

    async def _let_go(self, position: Checkpoint | None, *, heir: str | None = None, is_forced: bool = False) -> None:
        """Complete an open hand-off, or pass the lease on: if we leave, to whom the plan picks; or to nobody."""
        succession = self._desk.succession
        is_handing_over = self.lease.checkpoint_owner is not None
        if succession is not None:
            is_handing_over = is_handing_over and await succession.may_receive(self.lease.owner or "")
            heir = None if is_handing_over else await succession.heir_of(self.lease)

        def passed_on(row: Lease) -> Change:
            if is_handing_over and row.checkpoint_owner is not None:
                change = row.handed_over()
            else:
                change = row.assigned(heir) if heir is not None else row.released()
            return change.with_checkpoint(position)

        lease = await (self._save(passed_on) if position is not None else self._change(passed_on))
        self._end()
        checkpoint = str(lease.checkpoint)
        if lease.owner is not None and lease.owner == self._desk.session():
            self._emit(LeaseRestarted(shard_id=lease.key, checkpoint=checkpoint))
        elif lease.owner is None:
            self._emit(LeaseGivenUp(shard_id=lease.key, checkpoint=checkpoint))
        else:
            self._emit(LeaseHandedOver(shard_id=lease.key, to=lease.owner, checkpoint=checkpoint, is_forced=is_forced))

    def _heed_hand_off(self) -> None:
        """Begin to hand the lease over once its row names another owner."""
        if self.lease.checkpoint_owner is not None and not self.is_over and not self._is_handing_over:
            self._is_handing_over = True
            self._desk.spawn(self._hand_over())

    async def _hand_over(self) -> None:
        hand_off = HandOff(
            self._held,
            grace_seconds=self._desk.config.shutdown_grace_seconds,
            may_receive=partial(may_receive, self._desk.table),
            begin=lambda: self._desk.to_data_plane.put(HandOver(self.lease.key, self.fencing_token)),
            force=self._force_over,
            emit=self._emit,
        )
        try:
            await hand_off.run()
        except LeaseLost as lost:
            self.lose(str(lost))
        finally:
            self._is_handing_over = False

    async def _force_over(self) -> None:
        """The data plane did not finish in time: what it has in flight is the receiver's to repeat."""
        await self._let_go(None, is_forced=True)
        self._desk.to_data_plane.put(Lost(self.lease.key, self.fencing_token))

    # -- writing ----------------------------------------------------------------------------------------------------

    async def _save(self, transition: Transition) -> Lease:
        lease = await self._change(transition)
        self._emit(
            CheckpointWritten(shard_id=lease.key, checkpoint=str(lease.checkpoint), fencing_token=self.fencing_token)
        )
        return lease

    async def _change(self, transition: Transition) -> Lease:
        try:
            lease = await self._held.change(transition)
        except ValueError as refused:
            raise CheckpointError(str(refused)) from None
        self._heed_hand_off()
        return lease

    def _end(self) -> bool:
        """The epoch is over; False if that was known."""
        if self._has_ended:
            return False
        self._has_ended = True
        self._held.end()
        self._on_end(self)
        return True

    def _note_trouble(self, shard_id: str, error: BaseException) -> None:
        if not isinstance(error, ConditionFailed):  # which says that a hand-off was opened, and the next try heeds it
            self._emit(ServiceTrouble(operation="write lease", reason=str(error), shard_id=shard_id))
