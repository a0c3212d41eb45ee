"""One stream: its life, its retention, and what may be done to it in which state."""

from collections import deque
from collections.abc import Callable

from kcl_py.core.shard import HASH_KEY_MAX
from kcl_py.local.consumer_registry import ConsumerRegistry
from kcl_py.local.kinesis_error import KinesisError
from kcl_py.local.limits import HOUR_MS, Limits
from kcl_py.local.requests import StreamMode
from kcl_py.local.shard_map import ShardMap
from kcl_py.local.shard_model import ShardModel

DAY_MS = 24 * HOUR_MS


class StreamModel:
    """A stream from its creation to its deletion.

    A change of state takes effect when `settle` is called at or after the moment it is due.
    """

    def __init__(
        self,
        *,
        name: str,
        arn: str,
        account_id: str,
        created_ms: int,
        shard_count: int,
        mode: StreamMode,
        record_kib_max: int,
        limits: Limits,
    ) -> None:
        self.name = name
        self.arn = arn
        self.account_id = account_id
        self.created_ms = created_ms
        self.mode: StreamMode = mode
        self.record_kib_max = record_kib_max
        self.retention_hours = limits.retention_hours_default
        self.shards = ShardMap(shard_count, created_ms, limits)
        self.consumers = ConsumerRegistry(arn, limits)
        self.status = "CREATING"
        self.is_deleted = False
        self._limits = limits
        self._horizon_floor_ms = created_ms
        self._scaled_ms: deque[int] = deque()
        self._due: tuple[int, Callable[[int], object]] | None = None
        self._begin("CREATING", limits.creating_ms, created_ms, lambda _: None)

    def __str__(self) -> str:
        return f"stream {self.name} under account {self.account_id}"

    def settle(self, now_ms: int) -> None:
        """Let the change under way take effect if it is due."""
        if self._due is None or now_ms < self._due[0]:
            return
        due_ms, change = self._due
        self._due = None
        self.status = "ACTIVE"
        change(due_ms)
        self.consumers.wake()

    def _begin(self, status: str, duration_ms: int, now_ms: int, change: Callable[[int], object]) -> None:
        self.status = status
        self._due = (now_ms + duration_ms, change)
        self.settle(now_ms)

    @property
    def is_served(self) -> bool:
        """True while records can be put and read."""
        return not self.is_deleted and self.status in ("ACTIVE", "UPDATING")

    def check_active(self) -> None:
        """Refuse a change while another one is under way."""
        if self.status != "ACTIVE":
            raise KinesisError("ResourceInUseException", f"The {self} is not ACTIVE, instead in state {self.status}.")

    def horizon_ms(self, now_ms: int) -> int:
        """What arrived before this moment is gone, for good: a longer retention brings nothing back."""
        return max(self._horizon_floor_ms, now_ms - self.retention_hours * HOUR_MS)

    def trim(self, now_ms: int) -> None:
        """Forget closed shards that the retention has passed."""
        self.shards.trim(self.horizon_ms(now_ms))

    def shard(self, shard_id: str, now_ms: int) -> ShardModel:
        """The shard of this id, its old records trimmed."""
        self.trim(now_ms)
        shard = self.shards.get(shard_id)
        if shard is None:
            raise KinesisError("ResourceNotFoundException", f"Shard {shard_id} in {self} does not exist.")
        shard.log.trim(self.horizon_ms(now_ms))
        return shard

    def shard_of(self, hash_key: int, now_ms: int) -> ShardModel:
        """The open shard that takes this hash key, its old records trimmed."""
        shard = self.shards.of_hash(hash_key)
        shard.log.trim(self.horizon_ms(now_ms))
        return shard

    def split(self, shard_id: str, at: int, now_ms: int) -> None:
        """SplitShard."""
        shard = self._reshardable(shard_id, now_ms)
        if not shard.hash_range.start + 1 < at < shard.hash_range.end:
            raise KinesisError(
                "InvalidArgumentException",
                f"NewStartingHashKey {at} used in SplitShard() on shard {shard_id} in {self} is not both greater than "
                f"one plus the shard's StartingHashKey {shard.hash_range.start} and less than the shard's "
                f"EndingHashKey {shard.hash_range.end}.",
            )
        self.check_active()
        self._begin("UPDATING", self._limits.updating_ms, now_ms, lambda at_ms: self.shards.split(shard, at, at_ms))

    def merge(self, shard_id: str, adjacent_id: str, now_ms: int) -> None:
        """MergeShards. The shard that is named first must be the lower one (kinesalite saw AWS refuse the reverse)."""
        shard = self._reshardable(shard_id, now_ms)
        adjacent = self._reshardable(adjacent_id, now_ms)
        if shard.hash_range.end + 1 != adjacent.hash_range.start:
            raise KinesisError(
                "InvalidArgumentException",
                f"Shards {shard_id} and {adjacent_id} in {self} are not an adjacent pair of shards eligible for "
                "merging.",
            )
        self.check_active()
        self._begin(
            "UPDATING", self._limits.updating_ms, now_ms, lambda at_ms: self.shards.merge(shard, adjacent, at_ms)
        )

    def scale(self, target: int, now_ms: int) -> None:
        """UpdateShardCount with UNIFORM_SCALING."""
        if self.mode != "PROVISIONED":
            raise KinesisError("ValidationException", f"UpdateShardCount is not for ON_DEMAND streams such as {self}.")
        self.check_active()
        current = len(self.shards.open_shards)
        for is_wrong, bound in ((target > current * 2, "up over double"), (target * 2 < current, "down below half")):
            if is_wrong:
                raise KinesisError(
                    "InvalidArgumentException",
                    f"UpdateShardCount cannot scale {bound} your current open shard count. Current open shard count: "
                    f"{current} Target shard count: {target}",
                )
        while self._scaled_ms and self._scaled_ms[0] <= now_ms - DAY_MS:
            self._scaled_ms.popleft()
        if len(self._scaled_ms) >= self._limits.scalings_per_day:
            raise KinesisError(
                "LimitExceededException",
                f"The {self} was scaled {len(self._scaled_ms)} times within 24 hours, which is the limit.",
            )
        self._scaled_ms.append(now_ms)
        self._begin("UPDATING", self._limits.updating_ms, now_ms, lambda at_ms: self.shards.scale(target, at_ms))

    def retain(self, hours: int, now_ms: int) -> None:
        """Change the retention. Records that it has already passed stay gone."""
        self._horizon_floor_ms = self.horizon_ms(now_ms)
        self.retention_hours = hours

    def delete(self, now_ms: int) -> None:
        """DeleteStream, its consumers included."""
        for consumer in self.consumers.all(now_ms):
            consumer.delete(now_ms)
        self._begin("DELETING", self._limits.deleting_ms, now_ms, self._vanish)

    def _vanish(self, _: int) -> None:
        self.is_deleted = True

    def _reshardable(self, shard_id: str, now_ms: int) -> ShardModel:
        if self.mode != "PROVISIONED":
            raise KinesisError("ValidationException", f"ON_DEMAND streams such as {self} are not resharded by hand.")
        shard = self.shard(shard_id, now_ms)
        if not shard.is_open:
            raise KinesisError(
                "InvalidArgumentException",
                f"Shard {shard_id} in {self} has already been merged or split, and thus is not eligible for merging "
                "or splitting.",
            )
        return shard


def check_hash_key(hash_key: str) -> int:
    """Read a hash key of a request."""
    value = int(hash_key)
    if value > HASH_KEY_MAX:
        raise KinesisError(
            "InvalidArgumentException", f"Invalid hash key {hash_key}: it must be in the range [0, 2^128-1]."
        )
    return value
