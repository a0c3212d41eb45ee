"""A claim on a shard, and every way it may change.

Each transition returns a `Change`: the row as last seen, which guards the write, and the row as it shall be. Whoever
writes it changes only the attributes that differ, on condition that both owners and the counter are still as seen
(fleet.md, section 3); two steps of a hand-off leave the counter out. The same values settle an answer that got lost:
see `settle`.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Self

import msgspec

from kcl_py.core.checkpoint import AT_TIMESTAMP, LATEST, SHARD_END, Checkpoint
from kcl_py.core.session import is_native_owner
from kcl_py.core.shard import ChildShard, HashRange, Shard

RECREATED_COUNTER_STEP = 1_000_000
"""A row that its holder writes anew starts this far above the counter it remembers: no old writer can match it."""

RESTORED_COUNTER_STEP = 1_000_000_000
"""A row of a restored table leaps so far, above every counter that the lost table can have reached since its backup."""


class Binding(msgspec.Struct, frozen=True):
    """What a lease row belongs to. A row that names another stream, application or table is refused."""

    stream: str  # ARN@creation epoch in seconds: a stream deleted and made again is another stream
    application: str
    table_id: str | None  # DynamoDB's TableId; a restored table has another. None where the endpoint has none


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """One lease row, columns as in the protocol reference, section 1.1; from `held_by` to `binding` they are ours."""

    key: str  # the shard id
    owner: str | None = None
    checkpoint_owner: str | None = None  # during a hand-off: who still holds it, while `owner` is to receive it
    counter: int = 0  # every guarded write adds one
    checkpoint: Checkpoint
    owner_switches: int = 0
    pending_checkpoint: Checkpoint | None = None
    pending_checkpoint_state: bytes | None = None
    parent_shard_ids: tuple[str, ...] = ()  # sorted
    child_shard_ids: tuple[str, ...] = ()  # sorted; written when the shard is finished
    hash_range: HashRange | None = None
    held_by: str | None = None  # absent = assigned but not picked up
    start_at_ms: int | None = None  # what LATEST or a start time meant when the row was made
    caught_up_at_ms: int | None = None  # idle at the tip then, with everything checkpointed
    binding: Binding | None = None  # absent = unbound
    throughput_kbps: float | None = None  # KiB/s delivered, smoothed, when progress was last written

    @classmethod
    def for_shard(cls, shard: Shard | ChildShard, checkpoint: Checkpoint, start_at_ms: int | None = None) -> "Lease":
        """The new row of a shard that nobody owns yet."""
        return cls(
            key=shard.shard_id,
            checkpoint=checkpoint,
            parent_shard_ids=tuple(sorted(shard.parent_shard_ids)),
            hash_range=shard.hash_range,
            start_at_ms=start_at_ms,
        )

    @property
    def effective_owner(self) -> str | None:
        """Who may deliver: the giver while a hand-off is open, else the owner."""
        return self.checkpoint_owner if self.checkpoint_owner is not None else self.owner

    @property
    def is_finished(self) -> bool:
        """True once the whole shard is done."""
        return self.checkpoint.is_shard_end

    @property
    def is_owner_native(self) -> bool:
        """True unless somebody other than a kcl_py session is the effective owner."""
        return self.effective_owner is None or is_native_owner(self.effective_owner)

    def picked_up(self, by: str, binding: Binding, start_at_ms: int | None = None) -> "Change":
        """Take the lease for a new epoch; the new counter is the epoch's fencing token.

        `by` must have read the row consistently, and may do this only to a row that is its own, unowned, or owned by a
        session that is revoked or has no entry.

        Args:
            by: the session's key.
            binding: adopted along with the lease.
            start_at_ms: what a start sentinel means from now on, if the row does not say it yet.
        """
        switched = self.effective_owner not in (None, by)
        is_unresolved = self.checkpoint in (LATEST, AT_TIMESTAMP) and self.start_at_ms is None
        return self._to(
            owner=by,
            checkpoint_owner=None,
            held_by=by,
            owner_switches=self.owner_switches + switched,
            binding=binding,
            start_at_ms=start_at_ms if is_unresolved else self.start_at_ms,
        )

    def checkpointed(self, position: Checkpoint, throughput_kbps: float | None = None) -> "Change":
        """Record progress, and how much flows if that is known.

        Raises:
            ValueError: `position` is behind the row's checkpoint (law S5), or is no place in the shard; SHARD_END is
                written by `ended`.
        """
        if position < self.checkpoint or not (position.is_number or position == self.checkpoint) or self.is_finished:
            raise ValueError(f"{self.key}: {position} does not follow the checkpoint {self.checkpoint}")
        return self._to(
            checkpoint=position,
            owner_switches=0,
            pending_checkpoint=None,
            pending_checkpoint_state=None,
            caught_up_at_ms=None,
            throughput_kbps=self.throughput_kbps if throughput_kbps is None else throughput_kbps,
        )

    def prepared(self, position: Checkpoint, state: bytes | None) -> "Change":
        """Note a checkpoint that is to follow, and what the user needs to finish it."""
        if position < self.checkpoint:
            raise ValueError(f"{self.key}: {position} does not follow the checkpoint {self.checkpoint}")
        return self._to(pending_checkpoint=position, pending_checkpoint_state=state)

    def caught_up(self, at_ms: int) -> "Change":
        """Note that at `at_ms`, by the service's clock, the tip was reached and everything was checkpointed."""
        return self._to(caught_up_at_ms=at_ms)

    def ended(self, child_shard_ids: Sequence[str]) -> "Change":
        """The whole shard is done, and its children's rows exist; nobody need own it any more."""
        return self._to(
            owner=None,
            checkpoint_owner=None,
            held_by=None,
            checkpoint=SHARD_END,
            owner_switches=0,
            pending_checkpoint=None,
            pending_checkpoint_state=None,
            caught_up_at_ms=None,
            child_shard_ids=tuple(sorted(child_shard_ids)),
        )

    def released(self) -> "Change":
        """Give the lease up, so that whoever asks first may have it."""
        return self._to(owner=None, checkpoint_owner=None, held_by=None)

    def assigned(self, to: str) -> "Change":
        """Name a new owner, who is yet to pick the lease up.

        A leader may do this only to a row that is unowned, not picked up, or owned by a session that is revoked or has
        no entry; a leaving holder may do it to its own row.
        """
        switched = self.effective_owner not in (None, to)
        return self._to(owner=to, checkpoint_owner=None, held_by=None, owner_switches=self.owner_switches + switched)

    def offered(self, to: str) -> "Change":
        """Open a hand-off: the holder goes on until it completes, then `to` follows.

        Raises:
            ValueError: nobody holds the row, or a hand-off is open: then `readdressed` or `assigned` is meant.
        """
        if self.held_by is None or self.held_by != self.owner or self.checkpoint_owner is not None:
            raise ValueError(f"{self.key}: only a lease that its owner holds is handed off")
        return self._beside_the_holder(owner=to, checkpoint_owner=self.owner)

    def readdressed(self, to: str) -> "Change":
        """Name another receiver in an open hand-off, whose first one died or left.

        Raises:
            ValueError: no hand-off is open.
        """
        if self.checkpoint_owner is None:
            raise ValueError(f"{self.key}: no hand-off is open")
        return self._beside_the_holder(owner=to)

    def handed_over(self) -> "Change":
        """Complete a hand-off: the holder has finished its last batch, and the receiver may pick the lease up.

        Raises:
            ValueError: no hand-off is open.
        """
        if self.checkpoint_owner is None:
            raise ValueError(f"{self.key}: no hand-off is open")
        return self._to(checkpoint_owner=None, held_by=None)

    def taken_back(self) -> "Change":
        """Call a hand-off off, because the receiver is dead or leaving: the holder goes on in the same epoch.

        Raises:
            ValueError: no hand-off is open.
        """
        if self.checkpoint_owner is None:
            raise ValueError(f"{self.key}: no hand-off is open")
        return self._to(owner=self.checkpoint_owner, checkpoint_owner=None)

    def bound(self, binding: Binding, counter_min: int | None = None) -> "Change":
        """Adopt a row that belongs to nobody yet, or to a table that was restored with the operator's consent.

        A restored counter lies in the past. It leaps, to `counter_min` at least, so that tokens grow.
        """
        table_ids = {None if bound is None else bound.table_id for bound in (self.binding, binding)} - {None}
        change = self._to(binding=binding)
        if len(table_ids) < 2:
            return change
        counter = max(self.counter + RESTORED_COUNTER_STEP, counter_min or self.counter)
        return Change(self, msgspec.structs.replace(change.after, counter=counter))

    def taken_over(self, binding: Binding) -> "Change":
        """Take the row from a Java fleet that has been silent, for whoever asks first."""
        return self._to(owner=None, checkpoint_owner=None, held_by=None, binding=binding)

    def recreated(self) -> "Lease":
        """The row its holder writes again after it vanished."""
        return msgspec.structs.replace(self, counter=self.counter + RECREATED_COUNTER_STEP)

    def _to(self, **values: object) -> "Change":
        return Change(self, msgspec.structs.replace(self, counter=self.counter + 1, **values))

    def _beside_the_holder(self, **values: object) -> "Change":
        """A change to a row that somebody else holds: it leaves the counter alone, which is the holder's to move."""
        return Change(self, msgspec.structs.replace(self, **values), is_counter_free=True)


class Change(msgspec.Struct, frozen=True):
    """One conditional write: `before` as last seen guards it, `after` is what the row becomes.

    Attributes:
        before: the row as last seen.
        after: the row as it shall be.
        is_counter_free: guarded by both owners and by who holds the row, not by the counter: the start of a hand-off
            and the naming of another receiver, which others write while the holder goes on.
    """

    before: Lease
    after: Lease
    is_counter_free: bool = False

    def with_checkpoint(self, position: Checkpoint | None) -> Self:
        """The same change, carrying progress along in the one write."""
        if position is None or position == self.before.checkpoint:
            return self
        progressed = self.before.checkpointed(position).after
        fields = ("checkpoint", "owner_switches", "pending_checkpoint", "pending_checkpoint_state", "caught_up_at_ms")
        return type(self)(
            self.before, msgspec.structs.replace(self.after, **{name: getattr(progressed, name) for name in fields})
        )

    def guarded_by(self, row: Lease) -> Self:
        """The same change, tried against the owners that `row` names; its counter is the one that was tried before.

        A change that is not about the owners leaves them as `row` has them: a hand-off that was opened meanwhile stays.
        """
        before = msgspec.structs.replace(self.before, owner=row.owner, checkpoint_owner=row.checkpoint_owner)
        if {"owner", "checkpoint_owner"}.intersection(self.changed_fields):
            return type(self)(before, self.after)
        after = msgspec.structs.replace(self.after, owner=row.owner, checkpoint_owner=row.checkpoint_owner)
        return type(self)(before, after)

    @property
    def changed_fields(self) -> tuple[str, ...]:
        """The names of what differs, and so is written; all else in the row is left as it is."""
        return tuple(
            name for name in Lease.__struct_fields__ if getattr(self.before, name) != getattr(self.after, name)
        )

    def has_made(self, row: Lease) -> bool:
        """True if `row` is what this change makes: its counter, its effective owner and every other value it sets.

        The two owner attributes are compared as one, because a hand-off may have been opened on top of it since.
        """
        others = (name for name in self.changed_fields if name not in ("owner", "checkpoint_owner"))
        return row.effective_owner == self.after.effective_owner and all(
            getattr(row, name) == getattr(self.after, name) for name in others
        )


class Settlement(Enum):
    """What became of writes whose answers were lost."""

    LANDED = "one of them landed"
    NOT_LANDED = "none landed: try again"
    LOST = "somebody else wrote the row: the epoch is over"


def settle(attempts: Sequence[Change], row: Lease | None) -> Settlement:
    """Judge attempts at one counter by a consistent read of the row, taken after the last of them was sent.

    Args:
        attempts: every change tried at this counter, in order; never empty.
        row: what the read found, None if the row is gone.
    """
    before = attempts[0].before
    if row is None:
        return Settlement.LOST
    if any(attempt.has_made(row) for attempt in attempts):
        return Settlement.LANDED
    if row.counter == before.counter and row.effective_owner == before.effective_owner:
        return Settlement.NOT_LANDED
    return Settlement.LOST
