"""Events about leases that this worker holds, gets or gives."""

from kcl_py.events.event import Level, ShardEvent


class LeaseCreated(ShardEvent, frozen=True, kw_only=True):
    """A row was made for a shard."""

    checkpoint: str


class LeasePickedUp(ShardEvent, frozen=True, kw_only=True):
    """A new epoch began: from here on this worker may deliver."""

    fencing_token: int
    checkpoint: str


class LeaseGivenUp(ShardEvent, frozen=True, kw_only=True):
    """The row has no owner any more."""

    checkpoint: str


class HandOffBegun(ShardEvent, frozen=True, kw_only=True):
    """This worker is to hand the lease over: it begins no other batch of the shard."""

    to: str


class HandOffCalledOff(ShardEvent, frozen=True, kw_only=True):
    """The receiver is dead or leaving: this worker goes on."""

    to: str


class LeaseRestarted(ShardEvent, frozen=True, kw_only=True):
    """The epoch was ended because its consumer stalled; the same worker picks the lease up again."""

    checkpoint: str


class LeaseHandedOver(ShardEvent, frozen=True, kw_only=True):
    """The row names another worker, who goes on right after the checkpoint.

    Attributes:
        to: its session.
        checkpoint: what is done.
        is_forced: a batch was still in flight after the grace; what it did not checkpoint is delivered again.
    """

    to: str
    checkpoint: str
    is_forced: bool = False


class LeaseWasLost(ShardEvent, frozen=True, kw_only=True):
    """The epoch is over without our will."""

    level: Level = "warning"
    reason: str


class LeaseRecreated(ShardEvent, frozen=True, kw_only=True):
    """The row had vanished; it was written again from memory."""

    level: Level = "warning"
    checkpoint: str


class CheckpointWritten(ShardEvent, frozen=True, kw_only=True):
    """Progress is durable."""

    level: Level = "debug"
    checkpoint: str
    fencing_token: int
