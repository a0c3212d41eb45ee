"""How fast one shard may be read: the service's 5 calls and 2 MB a second, and less at the tip of an idle shard."""

from collections import deque

READS_PER_SECOND = 5  # per shard, shared by everybody who polls it (Kinesis quotas)
BYTES_PER_SECOND = 2_000_000
_IDLE_FIRST_SECONDS = 0.25


class Pace:
    """When the next read may begin. Pure: the caller's clock comes in, a waiting time goes out.

    A read is counted when its answer arrived, which is later than when the service counted it: so the fifth read after
    any other reaches the service at least a second after that one did, however the network bunches them.
    """

    def __init__(self, idle_seconds_max: float) -> None:
        self._idle_seconds_max = idle_seconds_max
        self._answered: deque[float] = deque(maxlen=READS_PER_SECOND)
        self._not_before = float("-inf")
        self._idle_seconds = 0.0

    def answered(self, began: float, ended: float, size_bytes: int, *, is_idle: bool) -> None:
        """Note a read.

        Args:
            began: when it was sent.
            ended: when its answer arrived.
            size_bytes: what it brought; a page of 10 MiB spends five seconds' worth.
            is_idle: it was empty and at the tip.
        """
        self._answered.append(ended)
        self._idle_seconds = (
            min(max(_IDLE_FIRST_SECONDS, self._idle_seconds * 2), self._idle_seconds_max) if is_idle else 0
        )
        self._not_before = max(
            began + 1 / READS_PER_SECOND, ended + size_bytes / BYTES_PER_SECOND, ended + self._idle_seconds
        )

    def seconds_to_wait(self, now: float) -> float:
        """How long to wait before the next read, 0 if it may begin."""
        window_opens = self._answered[0] + 1.0 if len(self._answered) == READS_PER_SECOND else float("-inf")
        return max(0.0, self._not_before - now, window_opens - now)
