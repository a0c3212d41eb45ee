"""A lease row as a search keeps it: five small integers, and the way to the shipped `Lease` and back.

Counters are relative: the row that stands in the table has counter 0, and everything that was seen of it is shifted
along when it moves. Only differences of counters mean anything to the shipped code, so lives of any length fold into
one graph. `owner_switches`, throughput, hash ranges and pending checkpoints decide nothing here and are left out.
"""

from typing import NamedTuple

from kcl_py.core.checkpoint import SHARD_END, TRIM_HORIZON, Checkpoint
from kcl_py.core.lease import RECREATED_COUNTER_STEP, Binding, Change, Lease

KEY = "shardId-000000000000"
BINDING = Binding("stream@1", "app", None)
NOBODY = -1
OUTSIDER = -2
"""Who writes without holding anything: a leader."""
CHILDREN = ("shardId-000000000001", "shardId-000000000002")
RECORDS = 2
"""In the shard: two make a batch in flight behind a checkpoint possible, and a checkpoint that lies between."""
END = RECORDS + 1
OUTDATED = -4
"""A counter so low is never the row's again, nor is one that was counted on from it: how low does not matter."""
NUMBERS = (TRIM_HORIZON, *(Checkpoint(str(number)) for number in range(1, END)), SHARD_END)


class Row(NamedTuple):
    """The columns that decide. Sessions are numbered; checkpoints count records, `END` is SHARD_END."""

    owner: int
    giver: int  # checkpointOwner
    held: int
    counter: int
    checkpoint: int

    @property
    def holder(self) -> int:
        """The effective owner."""
        return self.owner if self.giver == NOBODY else self.giver


class Write(NamedTuple):
    """A shipped `Change`, and whether it takes the lease for a new epoch."""

    before: Row
    after: Row
    is_counter_free: bool
    is_pick_up: bool


def session_key(number: int) -> str | None:
    """All workers share one worker id: what tells them apart is the suffix that each session draws."""
    return None if number == NOBODY else f"worker@{number:08x}"


def lease_of(row: Row) -> Lease:
    return Lease(
        key=KEY,
        owner=session_key(row.owner),
        checkpoint_owner=session_key(row.giver),
        held_by=session_key(row.held),
        counter=row.counter,
        checkpoint=NUMBERS[row.checkpoint],
        child_shard_ids=CHILDREN if row.checkpoint == END else (),
        binding=BINDING,
    )


def row_of(lease: Lease) -> Row:
    return Row(
        _number(lease.owner),
        _number(lease.checkpoint_owner),
        _number(lease.held_by),
        lease.counter,
        NUMBERS.index(lease.checkpoint),
    )


def change_of(write: Write) -> Change:
    return Change(lease_of(write.before), lease_of(write.after), write.is_counter_free)


def write_of(change: Change, *, is_pick_up: bool = False) -> Write:
    return Write(row_of(change.before), row_of(change.after), change.is_counter_free, is_pick_up)


def shifted(row: Row, by: int, floor: int | None) -> Row:
    """The row as seen from a table whose counter moved on by `by`."""
    counter = row.counter - by
    if floor is not None and counter < floor and counter != -RECREATED_COUNTER_STEP:
        counter = floor
    return Row(row.owner, row.giver, row.held, counter, row.checkpoint)


def _number(key: str | None) -> int:
    return NOBODY if key is None else int(key.rpartition("@")[2], 16)
