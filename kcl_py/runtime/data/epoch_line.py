"""What one epoch says to the keeper."""

from kcl_py.core.lease import Lease
from kcl_py.runtime.data.pulse import Pulse
from kcl_py.runtime.mailbox import KeeperLine, Matter


class EpochLine:
    """The line of one epoch: everything said on it carries the shard and the fencing token."""

    def __init__(self, line: KeeperLine, lease: Lease, pulse: Pulse) -> None:
        self._line = line
        self._pulse = pulse
        self.shard_id = lease.key
        self.fencing_token = lease.counter

    async def ask(self, matter: Matter) -> object:
        """See `KeeperLine.ask`. The keeper answers, or the epoch ends: to wait for that is no stall."""
        with self._pulse.waiting():
            return await self._line.ask(self.shard_id, self.fencing_token, matter)

    def tell(self, matter: Matter) -> None:
        """See `KeeperLine.tell`."""
        self._line.tell(self.shard_id, self.fencing_token, matter)
