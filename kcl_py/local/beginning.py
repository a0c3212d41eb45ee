"""Where a read of a shard begins: the five types that GetShardIterator and SubscribeToShard share."""

import msgspec

from kcl_py.local.kinesis_error import KinesisError
from kcl_py.local.requests import IteratorType
from kcl_py.local.sequence_number import SequenceNumber
from kcl_py.local.shard_model import ShardModel, shard_id_of
from kcl_py.local.stream_model import StreamModel


class Beginning(msgspec.Struct, frozen=True):
    """A type with what belongs to it, as a request says it: not yet checked. The timestamp is in seconds."""

    kind: IteratorType
    sequence_number: str | None
    timestamp: float | None

    def place_in(self, shard: ShardModel, stream: StreamModel, now_ms: int) -> int:
        """The place in the shard's log.

        Raises:
            KinesisError: InvalidArgumentException.
        """
        self._check_members()
        if self.sequence_number is not None:
            number = _number_of(stream, shard, self.sequence_number)
            return shard.log.place_of_number(number if self.kind == "AT_SEQUENCE_NUMBER" else number + 1)
        if self.timestamp is not None:
            timestamp_ms = round(self.timestamp * 1_000)
            if timestamp_ms > now_ms:
                raise KinesisError(
                    "InvalidArgumentException",
                    "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. "
                    f"timestampInMillis: {timestamp_ms}, currentTimestampInMillis: {now_ms}",
                )
            return shard.log.place_of_time(timestamp_ms)
        return shard.log.end if self.kind == "LATEST" else shard.log.first

    def _check_members(self) -> None:
        for is_given, is_needed, member in (
            (self.sequence_number is not None, self.kind.endswith("_SEQUENCE_NUMBER"), "StartingSequenceNumber"),
            (self.timestamp is not None, self.kind == "AT_TIMESTAMP", "Timestamp"),
        ):
            if is_given != is_needed:
                raise KinesisError(
                    "InvalidArgumentException",
                    "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or "
                    "(2) AT_TIMESTAMP and Timestamp or (3) TRIM_HORIZON or LATEST and neither. Request specified "
                    f"{self.kind} and {'no' if is_needed else 'also a'} {member}.",
                )


def _number_of(stream: StreamModel, shard: ShardModel, text: str) -> int:
    """Check that a sequence number came from this shard of this incarnation of the stream."""
    where = f"StartingSequenceNumber {text} used on shard {shard.shard_id} in {stream}"
    try:
        number = SequenceNumber.parse(text)
    except ValueError:
        raise KinesisError("InvalidArgumentException", f"{where} is invalid.") from None
    if number.shard_index != shard.index:
        raise KinesisError(
            "InvalidArgumentException",
            f"Invalid StartingSequenceNumber. It encodes {shard_id_of(number.shard_index)}, while it was used in a "
            f"call to a shard with {shard.shard_id}",
        )
    if number.shard_created_seconds != shard.created_seconds:
        raise KinesisError("InvalidArgumentException", f"{where} is invalid because it did not come from this stream.")
    return int(text)
