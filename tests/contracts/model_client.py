"""The model in the shape of a boto3 client."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
from botocore.exceptions import ClientError

from kcl_py.local.kinesis_error import KinesisError
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.operations import perform, request_from_members
from tests.local.ticking_clock import TickingClock

_TIMESTAMPS = ("StreamCreationTimestamp", "ApproximateArrivalTimestamp")


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
            plain: dict[str, Any] = msgspec.to_builtins(answer, builtin_types=(bytes,)) or {}
            shown: dict[str, Any] = _as_boto3_shows_it(plain)
            return shown

        return call


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
