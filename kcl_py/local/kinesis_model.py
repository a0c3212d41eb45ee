"""The model of the whole service: the streams of one account in one region.

It is pure: time is passed in, nothing waits, equal calls give equal answers.
"""

from kcl_py.local.kinesis_error import KinesisError
from kcl_py.local.limits import Limits
from kcl_py.local.requests import CreateStream, StreamRequest
from kcl_py.local.stream_model import StreamModel


class KinesisModel:
    """All streams of one account and region. Operations are called through `operations.perform`."""

    def __init__(
        self, *, limits: Limits | None = None, account_id: str = "123456789012", region: str = "us-east-1"
    ) -> None:
        self.limits = limits or Limits()
        self.account_id = account_id
        self.region = region
        self._streams: dict[str, StreamModel] = {}
        self._last_created_ms: dict[str, int] = {}

    def arn_of(self, stream_name: str) -> str:
        """The ARN of a stream of this name in this account and region."""
        return f"arn:aws:kinesis:{self.region}:{self.account_id}:stream/{stream_name}"

    def streams(self, now_ms: int) -> list[StreamModel]:
        """All streams, by name."""
        for stream in list(self._streams.values()):
            stream.settle(now_ms)
            if stream.is_deleted:
                del self._streams[stream.name]
        return [self._streams[name] for name in sorted(self._streams)]

    def create(self, request: CreateStream, now_ms: int) -> StreamModel:
        """CreateStream. A stream of a name that was used before is created in a later second than that one."""
        name = request.stream_name
        if any(stream.name == name for stream in self.streams(now_ms)):
            raise KinesisError(
                "ResourceInUseException", f"Stream {name} under account {self.account_id} already exists."
            )
        mode = request.stream_mode_details.stream_mode if request.stream_mode_details else "PROVISIONED"
        if (mode == "PROVISIONED") != (request.shard_count is not None):
            raise KinesisError(
                "ValidationException", f"ShardCount is required for PROVISIONED streams and for no others; mode: {mode}"
            )
        shard_count = request.shard_count or self.limits.on_demand_shards
        self.check_room(shard_count, now_ms)
        created_ms = max(now_ms, self._last_created_ms.get(name, now_ms - 1_000) + 1_000)
        self._last_created_ms[name] = created_ms
        self._streams[name] = StreamModel(
            name=name,
            arn=self.arn_of(name),
            account_id=self.account_id,
            created_ms=created_ms,
            shard_count=shard_count,
            mode=mode,
            record_kib_max=request.max_record_size_in_kib or self.limits.record_kib_max,
            limits=self.limits,
        )
        return self._streams[name]

    def check_room(self, additional_shards: int, now_ms: int) -> None:
        """Refuse to have more open shards than the account may."""
        held = sum(len(stream.shards.open_shards) for stream in self.streams(now_ms))
        if held + additional_shards > self.limits.shards_max:
            raise KinesisError(
                "LimitExceededException",
                f"This request would exceed the shard limit for the account {self.account_id} in {self.region}. "
                f"Current shard count: {held}. Limit: {self.limits.shards_max}. "
                f"Additional shards: {additional_shards}.",
            )

    def stream_of(self, request: StreamRequest, now_ms: int) -> StreamModel:
        """The stream that a request names, in whatever state."""
        return self.stream(request.stream_name, request.stream_arn, now_ms)

    def served(self, request: StreamRequest, now_ms: int) -> StreamModel:
        """The stream that a request names, which can be put to and read from."""
        stream = self.stream_of(request, now_ms)
        if not stream.is_served:
            raise self._not_found(stream.name)
        return stream

    def stream(self, name: str | None, arn: str | None, now_ms: int) -> StreamModel:
        """The stream of this name, ARN or both.

        Raises:
            KinesisError: neither is given, they do not agree, or there is no such stream.
        """
        if arn is not None:
            named = arn.partition(":stream/")[2]
            if name is not None and name != named:
                raise KinesisError(
                    "InvalidArgumentException", f"StreamName {name} and StreamARN {arn} are not of the same stream."
                )
            if arn != self.arn_of(named):
                raise KinesisError("ResourceNotFoundException", f"Stream {arn} not found.")
            name = named
        if name is None:
            raise KinesisError("InvalidArgumentException", "Either StreamName or StreamARN must be specified.")
        stream = self._streams.get(name)
        if stream is not None:
            stream.settle(now_ms)
            if not stream.is_deleted:
                return stream
            del self._streams[name]
        raise self._not_found(name)

    def incarnation(self, name: str, created_ms: int, now_ms: int) -> StreamModel:
        """The stream that an iterator or a token was made for, and none that took its name later."""
        stream = self.stream(name, None, now_ms)
        if stream.created_ms != created_ms or not stream.is_served:
            raise self._not_found(name)
        return stream

    def _not_found(self, name: str) -> KinesisError:
        return KinesisError("ResourceNotFoundException", f"Stream {name} under account {self.account_id} not found.")
