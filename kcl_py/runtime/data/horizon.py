"""What a lease says about records that were trimmed before anybody read them."""

from kcl_py.core.checkpoint import AT_TIMESTAMP
from kcl_py.core.lease import Lease
from kcl_py.events import RecordsMissing


class Horizon:
    """The trim horizon, as one lease stands to it when it is picked up.

    Attributes:
        may_have_gap: records after the checkpoint may be gone, if the first one is.
        gap: what is known to be gone; None if nothing is.
    """

    def __init__(self, lease: Lease, horizon_ms: int) -> None:
        """Compare.

        Args:
            lease: as picked up.
            horizon_ms: records that arrived before it, by the service's clock, are or may be trimmed.
        """
        # a shard that was idle at its tip after the horizon has lost nothing, whatever became of its last record
        self.may_have_gap = lease.caught_up_at_ms is None or lease.caught_up_at_ms < horizon_ms
        # a user may ask for a time before the horizon; whoever comes back after it has missed something
        is_asked_for = lease.checkpoint == AT_TIMESTAMP and lease.counter == 1
        is_old = lease.start_at_ms is not None and lease.start_at_ms < horizon_ms
        self.gap: RecordsMissing | None = None
        if is_old and not lease.checkpoint.is_number and not is_asked_for:
            self.gap = RecordsMissing(
                shard_id=lease.key,
                after=str(lease.checkpoint),
                before="the oldest record",
                reason="the row is older than the stream's retention, and nothing was checkpointed since",
            )
