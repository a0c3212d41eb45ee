"""The model in the shape of a boto3 client."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
from botocore.exceptions import ClientError, EventStreamError

from kcl_py.local.kinesis_error import KinesisError
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.operations import perform, request_from_members
from kcl_py.local.subscription_model import SubscriptionModel
from tests.local.ticking_clock import TickingClock

_TIMESTAMPS = ("StreamCreationTimestamp", "ConsumerCreationTimestamp", "ApproximateArrivalTimestamp")


class ModelClient:
    """The model with boto3's method names, keywords and errors."""

    def __init__(self, model: KinesisModel, clock: TickingClock) -> None:
        self._model = model
        self._clock = clock

    def __getattr__(self, method: str) -> Callable[..., dict[str, Any]]:
        operation = "".join(part.capitalize() for part in method.split("_"))

        def call(**members: object) -> dict[str, Any]:
            try:
                request = request_from_members(operation, _on_the_wire(members))
                answer = perform(self._model, request, self._clock())
            except KinesisError as error:
                said = {"Error": {"Code": error.code, "Message": error.message}}
                raise ClientError(said, operation) from error
            if isinstance(answer, SubscriptionModel):
                return {"EventStream": ModelEventStream(answer, self._clock)}
            return _shown(answer)

        return call


class ModelEventStream:
    """The events of a subscription of the model in the shape of botocore's."""

    def __init__(self, subscription: SubscriptionModel, clock: TickingClock) -> None:
        self._subscription = subscription
        self._clock = clock

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while True:
            try:
                event = self._subscription.take(self._clock())
            except KinesisError as error:
                said = {"Error": {"Code": error.code, "Message": error.message}}
                raise EventStreamError(said, "SubscribeToShard") from error
            if event is not None:
                yield {"SubscribeToShardEvent": _shown(event)}
            elif self._subscription.is_over:
                return
            else:
                assert self._clock.tick_ms, "nothing is due, and the clock stands still"

    def close(self) -> None:
        self._subscription.close()


def _shown(answer: object) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(answer, builtin_types=(bytes,)) or {}
    shown: dict[str, Any] = _as_boto3_shows_it(plain)
    return shown


def _on_the_wire(value: Any) -> Any:
    if isinstance(value, datetime):
        return int(value.timestamp())  # botocore cuts timestamps down to whole seconds
    if isinstance(value, dict):
        return {name: _on_the_wire(member) for name, member in value.items()}
    return value


def _as_boto3_shows_it(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_as_boto3_shows_it(member) for member in value]
    if isinstance(value, dict):
        return {
            name: datetime.fromtimestamp(member, UTC) if name in _TIMESTAMPS else _as_boto3_shows_it(member)
            for name, member in value.items()
            if member is not None
        }
    return value
