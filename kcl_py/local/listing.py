"""Operations that describe streams and list their shards."""

from kcl_py.local import answers, requests
from kcl_py.local.kinesis_error import KinesisError
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.opaque_token import ListingToken, opened, sealed
from kcl_py.local.requests import StreamModeDetails
from kcl_py.local.shard_listing import listed
from kcl_py.local.stream_model import StreamModel

_STREAMS_DEFAULT = 100
_SHARDS_OF_DESCRIBE_DEFAULT = 100


def describe_stream_summary(
    model: KinesisModel, request: requests.DescribeStreamSummary, now_ms: int
) -> answers.DescribeStreamSummaryAnswer:
    """Everything about a stream but its shards."""
    stream = model.stream_of(request, now_ms)
    return answers.DescribeStreamSummaryAnswer(
        stream_description_summary=answers.StreamDescriptionSummary(
            stream_name=stream.name,
            stream_arn=stream.arn,
            stream_status=stream.status,
            stream_mode_details=StreamModeDetails(stream.mode),
            retention_period_hours=stream.retention_hours,
            stream_creation_timestamp=stream.created_ms / 1_000,
            enhanced_monitoring=answers.NO_METRICS,
            encryption_type="NONE",
            open_shard_count=0 if stream.status == "CREATING" else len(stream.shards.open_shards),
            consumer_count=len(stream.consumers.all(now_ms)),
            max_record_size_in_kib=stream.record_kib_max,
        )
    )


def describe_stream(model: KinesisModel, request: requests.DescribeStream, now_ms: int) -> answers.DescribeStreamAnswer:
    """Pages of shards follow a shard id, not a token."""
    stream = model.stream_of(request, now_ms)
    stream.trim(now_ms)
    after = request.exclusive_start_shard_id or ""
    limit = request.limit or _SHARDS_OF_DESCRIBE_DEFAULT
    shards = [] if stream.status == "CREATING" else [shard for shard in stream.shards if shard.shard_id > after]
    return answers.DescribeStreamAnswer(
        stream_description=answers.StreamDescription(
            stream_name=stream.name,
            stream_arn=stream.arn,
            stream_status=stream.status,
            stream_mode_details=StreamModeDetails(stream.mode),
            shards=[answers.Shard.of(shard) for shard in shards[:limit]],
            has_more_shards=len(shards) > limit,
            retention_period_hours=stream.retention_hours,
            stream_creation_timestamp=stream.created_ms / 1_000,
            enhanced_monitoring=answers.NO_METRICS,
            encryption_type="NONE",
        )
    )


def list_streams(model: KinesisModel, request: requests.ListStreams, now_ms: int) -> answers.ListStreamsAnswer:
    """NextToken is the name of the last stream listed."""
    after = request.next_token or request.exclusive_start_stream_name or ""
    limit = request.limit or _STREAMS_DEFAULT
    streams = [stream for stream in model.streams(now_ms) if stream.name > after]
    page = streams[:limit]
    has_more = len(streams) > limit
    return answers.ListStreamsAnswer(
        stream_names=[stream.name for stream in page],
        has_more_streams=has_more,
        next_token=page[-1].name if has_more else None,
        stream_summaries=[
            answers.StreamSummary(
                stream_name=stream.name,
                stream_arn=stream.arn,
                stream_status=stream.status,
                stream_mode_details=StreamModeDetails(stream.mode),
                stream_creation_timestamp=stream.created_ms / 1_000,
            )
            for stream in page
        ],
    )


def list_shards(model: KinesisModel, request: requests.ListShards, now_ms: int) -> answers.ListShardsAnswer:
    """A token goes on with the filter and the stream that it began with."""
    if request.next_token is not None:
        token = _continued(model, request, request.next_token, now_ms)
        stream = model.incarnation(token.stream, token.created_ms, now_ms)
    else:
        stream = model.stream_of(request, now_ms)
        _check_creation(model, stream, request.stream_creation_timestamp)
        token = _begun(stream, request, now_ms)
    if not stream.is_served:
        raise KinesisError("ResourceInUseException", f"The {stream} is not ACTIVE, instead in state {stream.status}.")
    stream.trim(now_ms)
    shards = listed(
        stream.shards,
        token.filter_kind,
        horizon_ms=stream.horizon_ms(now_ms),
        timestamp_ms=token.filter_timestamp_ms,
        after_shard_id=token.after_shard_id,
    )
    limit = request.max_results or model.limits.listing_page_default
    page = shards[:limit]
    next_token = None
    if len(shards) > limit:
        next_token = sealed(
            ListingToken(
                stream.name,
                stream.created_ms,
                page[-1].shard_id,
                now_ms,
                token.filter_kind,
                token.filter_timestamp_ms,
            )
        )
    return answers.ListShardsAnswer(shards=[answers.Shard.of(shard) for shard in page], next_token=next_token)


def _begun(stream: StreamModel, request: requests.ListShards, now_ms: int) -> ListingToken:
    """What the first page of a listing lists."""
    shard_filter = request.shard_filter or requests.ShardFilter(type="FROM_TRIM_HORIZON")
    kind = shard_filter.type
    for is_given, is_needed, member in (
        (shard_filter.shard_id is not None, kind == "AFTER_SHARD_ID", "ShardId"),
        (shard_filter.timestamp is not None, kind.endswith("_TIMESTAMP"), "Timestamp"),
    ):
        if is_given != is_needed:
            verb = "needs" if is_needed else "does not take"
            raise KinesisError("InvalidArgumentException", f"A ShardFilter of type {kind} {verb} a {member}.")
    after = max(request.exclusive_start_shard_id or "", shard_filter.shard_id or "")
    timestamp_ms = None if shard_filter.timestamp is None else round(shard_filter.timestamp * 1_000)
    return ListingToken(stream.name, stream.created_ms, after, now_ms, kind, timestamp_ms)


def _continued(model: KinesisModel, request: requests.ListShards, text: str, now_ms: int) -> ListingToken:
    """What a later page lists. The token names the stream; only an ARN, which KCL always sends, may stand beside it."""
    for member, value in (
        ("StreamName", request.stream_name),
        ("StreamCreationTimestamp", request.stream_creation_timestamp),
        ("ExclusiveStartShardId", request.exclusive_start_shard_id),
        ("ShardFilter", request.shard_filter),
    ):
        if value is not None:
            raise KinesisError("InvalidArgumentException", f"NextToken and {member} cannot be provided together.")
    try:
        token = opened(text, ListingToken)
    except ValueError:
        raise KinesisError("InvalidArgumentException", "Invalid NextToken.") from None
    if request.stream_arn not in (None, model.arn_of(token.stream)):
        raise KinesisError("InvalidArgumentException", "NextToken is of another stream than StreamARN.")
    if now_ms - token.issued_ms > model.limits.listing_token_lifetime_ms:
        raise KinesisError(
            "ExpiredNextTokenException",
            f"NextToken is {(now_ms - token.issued_ms) / 1_000:.0f} s old; list again from the first page.",
        )
    return token


def _check_creation(model: KinesisModel, stream: StreamModel, created_seconds: float | None) -> None:
    if created_seconds is not None and int(created_seconds) != stream.created_ms // 1_000:
        raise KinesisError(
            "ResourceNotFoundException",
            f"Stream {stream.name} under account {model.account_id} was not created at {created_seconds}.",
        )
