"""Sees to it that no lease outlives a consumer that makes no attempt (law L4).

    moving ─ no attempt for `stall_timeout` ─→ stalled: it begins no call any more, and the one that runs is cancelled
                                                 │
      the call has ended ────────────────────────┼─→ restarted: a new epoch begins here, behind the checkpoint
      it has ended, and this is the second stall ┼─→ given up: the lease goes to another worker
      it cannot be cancelled (a thread), or will ┴─→ given up at once, or at the next look; until the call has ended
      not end (it swallows the cancellation)          this worker does not pick the shard up again

A second stall is one of a consumer that was restarted and has finished no batch since. What was done is saved on the
way out, nothing else. A stopped shard waits for its next attempt, so it is not stalled; who drains has its grace.

That the loop itself is blocked this watch cannot see, because it lives there: it tells the keeper that it lives, and
the keeper draws the conclusion when it does not (`plane_watch`).
"""

from collections.abc import Callable, Iterable

from kcl_py.events import ShardStalled
from kcl_py.runtime.data.shard_consumer import ShardConsumer
from kcl_py.runtime.data.workplace import Workplace
from kcl_py.runtime.mailbox import LOOKS_PER_STALL, Alive, Mailbox


class StallWatch:
    """Looks at all consumers of a data plane, so often that a verdict is at most a twentieth late."""

    def __init__(self, place: Workplace, mailbox: Mailbox) -> None:
        self._place = place
        self._mailbox = mailbox
        self._restarted: set[str] = set()  # shards that have finished no batch since

    async def run(self, consumers: Callable[[], Iterable[ShardConsumer]]) -> None:
        """Look for ever.

        Args:
            consumers: those that are to be judged now.
        """
        look_seconds = self._place.config.stall_timeout_seconds / LOOKS_PER_STALL
        while True:
            self._mailbox.to_keeper.put(Alive())
            await self._place.sleep(look_seconds)
            for consumer in tuple(consumers()):
                self._look_at(consumer)

    def ended(self, consumer: ShardConsumer) -> None:
        """A consumer is gone: unless it stalled, it has no past."""
        if not consumer.is_stalled:
            self._restarted.discard(consumer.shard_id)

    def _look_at(self, consumer: ShardConsumer) -> None:
        call, silent_looks = consumer.pulse.call, consumer.pulse.looked_at()
        if consumer.is_stalled:
            if call is not None and not consumer.is_abandoned:
                consumer.abandon()
                self._tell(consumer, call, is_restarted=False)
        elif silent_looks > LOOKS_PER_STALL:
            is_first = consumer.has_progressed or consumer.shard_id not in self._restarted
            is_restarted = consumer.stall(may_restart=is_first)
            (self._restarted.add if is_restarted else self._restarted.discard)(consumer.shard_id)
            self._tell(consumer, call, is_restarted=is_restarted)

    def _tell(self, consumer: ShardConsumer, call: str | None, *, is_restarted: bool) -> None:
        self._place.emit(
            ShardStalled(
                shard_id=consumer.shard_id,
                method=call,
                stall_timeout_seconds=self._place.config.stall_timeout_seconds,
                is_restarted=is_restarted,
            )
        )
