"""Operations that put records."""

from typing import Final

from kcl_py.local import requests
from kcl_py.local.answers import PutRecordAnswer, PutRecordsAnswer, PutRecordsEntryAnswer
from kcl_py.local.hash_key import hash_of
from kcl_py.local.kinesis_error import KinesisError
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.sequence_number import SequenceNumber
from kcl_py.local.stream_model import StreamModel, check_hash_key

_TOO_FAST: Final = "ProvisionedThroughputExceededException"


def put_record(model: KinesisModel, request: requests.PutRecord, now_ms: int) -> PutRecordAnswer:
    """A record that comes too fast is an error here."""
    stream = model.served(request, now_ms)
    _check_size(stream, request)
    if request.sequence_number_for_ordering is not None:
        _check_ordering(stream, request.sequence_number_for_ordering)
    entry = _put(stream, request, _hash_key_of(request), now_ms)
    if entry.error_code is not None:
        raise KinesisError(_TOO_FAST, entry.error_message or "")
    return PutRecordAnswer(
        shard_id=entry.shard_id or "", sequence_number=entry.sequence_number or "", encryption_type="NONE"
    )


def put_records(model: KinesisModel, request: requests.PutRecords, now_ms: int) -> PutRecordsAnswer:
    """Nothing is put if one record is malformed; a record that comes too fast fails alone."""
    stream = model.served(request, now_ms)
    if len(request.records) > model.limits.put_records_max:
        raise KinesisError(
            "ValidationException",
            "1 validation error detected: Value at 'records' failed to satisfy constraint: Member must have length "
            f"less than or equal to {model.limits.put_records_max}",
        )
    hash_keys = []
    size_bytes = 0
    for entry in request.records:
        size_bytes += _check_size(stream, entry)
        hash_keys.append(_hash_key_of(entry))
    if size_bytes > model.limits.put_request_bytes_max:
        raise KinesisError(
            "InvalidArgumentException",
            f"Records size of {size_bytes} bytes exceeds {model.limits.put_request_bytes_max} bytes.",
        )
    results = [
        _put(stream, entry, hash_key, now_ms) for entry, hash_key in zip(request.records, hash_keys, strict=True)
    ]
    failed = sum(1 for result in results if result.error_code is not None)
    return PutRecordsAnswer(failed_record_count=failed, records=results, encryption_type="NONE")


def _put(
    stream: StreamModel, entry: requests.PutRecord | requests.PutRecordsEntry, hash_key: int, now_ms: int
) -> PutRecordsEntryAnswer:
    shard = stream.shard_of(hash_key, now_ms)
    if not shard.admits(len(entry.data) + len(entry.partition_key.encode()), now_ms):
        return PutRecordsEntryAnswer(
            error_code=_TOO_FAST, error_message=f"Rate exceeded for shard {shard.shard_id} in {stream}."
        )
    record = shard.append(entry.data, entry.partition_key, now_ms)
    stream.consumers.wake(shard.shard_id)
    return PutRecordsEntryAnswer(sequence_number=record.sequence_number, shard_id=shard.shard_id)


def _hash_key_of(entry: requests.PutRecord | requests.PutRecordsEntry) -> int:
    if entry.explicit_hash_key is not None:
        return check_hash_key(entry.explicit_hash_key)
    return hash_of(entry.partition_key)


def _check_size(stream: StreamModel, entry: requests.PutRecord | requests.PutRecordsEntry) -> int:
    """The bytes that count: payload and key, which together stay within the stream's record size."""
    size_bytes = len(entry.data) + len(entry.partition_key.encode())
    if size_bytes > stream.record_kib_max * 1_024:
        raise KinesisError(
            "ValidationException",
            "1 validation error detected: Value at 'data' failed to satisfy constraint: Member must have length less "
            f"than or equal to {stream.record_kib_max * 1_024}, the partition key included; it has {size_bytes}",
        )
    return size_bytes


def _check_ordering(stream: StreamModel, text: str) -> None:
    """Every put gets a greater number than the ones before it, so a number from this stream asks for nothing more."""
    try:
        number = SequenceNumber.parse(text)
    except ValueError:
        number = None
    if number is None or number.shard_created_seconds < stream.created_ms // 1_000:
        raise KinesisError(
            "InvalidArgumentException",
            f"ExclusiveMinimumSequenceNumber {text} used in PutRecord on {stream} is invalid.",
        )
