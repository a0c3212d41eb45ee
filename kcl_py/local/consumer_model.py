"""One enhanced fan-out consumer: its life, and its subscriptions."""

from kcl_py.local.kinesis_error import KinesisError
from kcl_py.local.limits import Limits
from kcl_py.local.subscription_model import SubscriptionModel
from kcl_py.local.throughput import Allowance


class ConsumerModel:
    """A consumer from its registration until it is gone. It has the state that `settle` saw last."""

    def __init__(self, *, name: str, stream_arn: str, created_ms: int, limits: Limits) -> None:
        self.name = name
        self.arn = f"{stream_arn}/consumer/{name}:{created_ms // 1_000}"
        self.created_ms = created_ms
        self.status = "CREATING"
        self.is_gone = False
        self._limits = limits
        self._due_ms = created_ms + limits.consumer_creating_ms
        self._latest: dict[str, SubscriptionModel] = {}  # by shard, over or not: their beginnings count

    def settle(self, now_ms: int) -> None:
        """Let the change under way take effect if it is due."""
        if self.status == "CREATING" and now_ms >= self._due_ms:
            self.status = "ACTIVE"
        elif self.status == "DELETING" and now_ms >= self._due_ms:
            self.is_gone = True

    def delete(self, now_ms: int) -> None:
        """Begin to go. One that goes already goes on."""
        if self.status != "DELETING":
            self.status = "DELETING"
            self._due_ms = now_ms + self._limits.consumer_deleting_ms
        self.settle(now_ms)
        self.wake()

    def check_vacant(self, shard_id: str, now_ms: int) -> None:
        """Refuse a subscription that comes too soon after the last one to this shard."""
        latest = self._latest.get(shard_id)
        if latest is not None and now_ms - latest.began_ms < self._limits.takeover_ms:
            raise KinesisError(
                "ResourceInUseException",
                f"Another active subscription exists for this consumer: {self.arn}, shard {shard_id}, since "
                f"{now_ms - latest.began_ms} ms.",
            )

    def allowance(self, shard_id: str) -> Allowance:
        """What of this shard may be pushed to this consumer."""
        latest = self._latest.get(shard_id)
        return Allowance(self._limits.subscription_bytes_per_second) if latest is None else latest.allowance

    def hand_to(self, subscription: SubscriptionModel, shard_id: str) -> None:
        """Let the shard's latest subscription, which is ended if it lasts, be this one."""
        former = self._latest.get(shard_id)
        self._latest[shard_id] = subscription
        if former is not None:
            former.fail(
                KinesisError(
                    "ResourceInUseException",
                    f"Another subscription took over this one of consumer {self.arn} to shard {shard_id}.",
                )
            )

    def wake(self, shard_id: str | None = None) -> None:
        """Have the subscription to a shard, or every one, look at what there is."""
        if shard_id is None:
            for subscription in list(self._latest.values()):
                subscription.wake()
        elif shard_id in self._latest:
            self._latest[shard_id].wake()
