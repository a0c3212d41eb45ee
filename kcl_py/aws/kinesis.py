"""The Stream door on Kinesis."""

import asyncio
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from kcl_py.aws import get_records, list_shards
from kcl_py.aws.calls import MalformedAnswer
from kcl_py.aws.connection import Connection
from kcl_py.core.position import ReadFrom
from kcl_py.core.shard import Shard
from kcl_py.errors import IteratorExpired, ServiceUnavailable, StreamNotFound
from kcl_py.interfaces import Page, ShardFilter, StreamDescription

_CREATION_WAIT_SECONDS = 300.0
_CREATION_POLL_SECONDS = 1.0
_SHARDS_PER_PAGE = 1_000
_PAGES_MAX = 1_000


class KinesisStream:
    """One Kinesis stream, as `interfaces.Stream` describes it.

    The iterators of this door carry their shard's id in front of the service's token, so that a page can be checked
    against the shard that it was asked of.
    """

    def __init__(self, connection: Connection) -> None:
        """Read through `connection`, which is closed with this door."""
        self._connection = connection

    async def describe(self) -> StreamDescription:
        """Describe the stream once it is ACTIVE or UPDATING; wait up to five minutes while it is being created."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + _CREATION_WAIT_SECONDS
        name = self._connection.stream_name
        while True:
            status, description = await self._connection.patiently(
                "DescribeStreamSummary", self._connection.address, _description
            )
            if status == "DELETING":
                raise StreamNotFound(f"stream {name} is being deleted; start again once it was created anew")
            if status != "CREATING":
                return description
            if loop.time() >= give_up_at:
                raise ServiceUnavailable(f"stream {name} is still being created after {_CREATION_WAIT_SECONDS:g} s")
            await asyncio.sleep(_CREATION_POLL_SECONDS)

    async def list_shards(self, shard_filter: ShardFilter | None = None) -> tuple[Shard, ...]:
        """List the shards that the filter lets through: all pages, or an error; each shard once, oldest first."""
        parameters: dict[str, Any] = self._connection.address | {"MaxResults": _SHARDS_PER_PAGE}
        if shard_filter is not None:
            parameters["ShardFilter"] = list_shards.filter_parameter(shard_filter)
        found: list[Shard] = []
        for _ in range(_PAGES_MAX):
            shards, next_token = await self._connection.patiently("ListShards", parameters, list_shards.shards)
            found += shards
            if next_token is None:
                break
            parameters = {"NextToken": next_token}  # alone: the service refuses it beside a stream or a filter
        else:
            raise ServiceUnavailable(f"the listing of stream {self._connection.stream_name} does not end; try again")
        if not found and shard_filter is None:
            raise ServiceUnavailable(f"stream {self._connection.stream_name} lists no shards; try again")
        return list_shards.listing(found)

    async def open(self, shard_id: str, position: ReadFrom) -> str:
        """Ask for a shard iterator. One attempt."""
        parameters: dict[str, Any] = self._connection.address | {
            "ShardId": shard_id,
            "ShardIteratorType": position.kind,
        }
        if position.sequence_number is not None:
            parameters["StartingSequenceNumber"] = position.sequence_number
        if position.timestamp_ms is not None:
            parameters["Timestamp"] = list_shards.moment(position.timestamp_ms)
        token = await self._connection.once("GetShardIterator", parameters, _token)
        return f"{shard_id} {token}"

    async def read(self, iterator: str, limit: int) -> Page:
        """Read one page. One attempt.

        Raises:
            ServiceUnavailable: also for a page that makes no sense, or holds records of another shard; nothing of it
                is delivered, and the same iterator may be read again.
        """
        shard_id, _, token = iterator.partition(" ")
        if not token:
            raise IteratorExpired("the shard iterator is not one of this stream's; open another")
        parameters = {"ShardIterator": token, "Limit": limit}
        if (arn := self._connection.address.get("StreamARN")) is not None:
            parameters["StreamARN"] = arn  # reading in another account is allowed by the stream's own policy
        page = await self._connection.once("GetRecords", parameters, lambda answer: get_records.page(answer, shard_id))
        if page.next_iterator is None:
            return page
        return Page(
            records=page.records,
            next_iterator=f"{shard_id} {page.next_iterator}",
            child_shards=page.child_shards,
            millis_behind_latest=page.millis_behind_latest,
            size_bytes=page.size_bytes,
        )

    async def close(self) -> None:
        """Let go of the connections. May be called again."""
        await self._connection.close()


def _description(answer: Mapping[str, Any]) -> tuple[str, StreamDescription]:
    summary = answer["StreamDescriptionSummary"]
    return summary["StreamStatus"], StreamDescription(
        name=summary["StreamName"],
        arn=summary["StreamARN"],
        created_at_seconds=int(summary["StreamCreationTimestamp"].timestamp()),
        retention_hours=int(summary["RetentionPeriodHours"]),
        service_time_ms=_service_time_ms(answer),
    )


def _service_time_ms(answer: Mapping[str, Any]) -> int:
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    if date is None:  # no endpoint of AWS leaves it out
        return round(time.time() * 1000)
    return round(parsedate_to_datetime(date).timestamp() * 1000)


def _token(answer: Mapping[str, Any]) -> str:
    token = answer.get("ShardIterator")
    if not isinstance(token, str) or not token:
        raise MalformedAnswer("no ShardIterator")
    return token
