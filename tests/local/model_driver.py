"""The model with the calls that its tests make, one line each."""

from typing import Any, TypeVar

from kcl_py.local import answers, requests
from kcl_py.local.kinesis_error import KinesisError
from kcl_py.local.kinesis_model import KinesisModel
from kcl_py.local.limits import Limits
from kcl_py.local.operations import perform, request_from_members
from kcl_py.local.requests import IteratorType, Request
from tests.local.ticking_clock import TickingClock

_A = TypeVar("_A")
NAME = "orders"


class ModelDriver:
    """One stream of a model, and the clock that both go by."""

    def __init__(self, *, shard_count: int = 1, limits: Limits | None = None) -> None:
        self.clock = TickingClock()
        self.model = KinesisModel(limits=limits or Limits.unthrottled())
        self.create(shard_count)

    def ask(self, request: Request, kind: type[_A]) -> _A:
        answer = perform(self.model, request, self.clock())
        assert isinstance(answer, kind)
        return answer

    def do(self, request: Request) -> None:
        perform(self.model, request, self.clock())

    def refusal(self, operation: str, **members: Any) -> str:
        """The code that an operation is refused with."""
        try:
            perform(self.model, request_from_members(operation, members), self.clock())
        except KinesisError as error:
            return error.code
        return "accepted"

    def create(self, shard_count: int = 1) -> None:
        self.do(requests.CreateStream(stream_name=NAME, shard_count=shard_count))

    @property
    def status(self) -> str:
        summary = self.ask(requests.DescribeStreamSummary(stream_name=NAME), answers.DescribeStreamSummaryAnswer)
        return summary.stream_description_summary.stream_status

    def shards(self, shard_filter: requests.ShardFilter | None = None) -> list[answers.Shard]:
        request = requests.ListShards(stream_name=NAME, shard_filter=shard_filter)
        return self.ask(request, answers.ListShardsAnswer).shards

    def ids(self, kind: requests.FilterType = "FROM_TRIM_HORIZON", timestamp: float | None = None) -> list[int]:
        """The numbers of the listed shards."""
        listed = self.shards(requests.ShardFilter(type=kind, timestamp=timestamp))
        return [int(shard.shard_id.removeprefix("shardId-")) for shard in listed]

    def open_shards(self) -> list[answers.Shard]:
        """Ordered by hash range."""
        shards = self.shards(requests.ShardFilter(type="AT_LATEST"))
        return sorted(shards, key=lambda shard: int(shard.hash_key_range.starting_hash_key))

    def put(self, data: bytes = b"", *, key: str = "key", hash_key: int | None = None) -> answers.PutRecordAnswer:
        explicit = None if hash_key is None else str(hash_key)
        request = requests.PutRecord(stream_name=NAME, data=data, partition_key=key, explicit_hash_key=explicit)
        return self.ask(request, answers.PutRecordAnswer)

    def put_many(self, count: int, size_bytes: int = 1) -> list[str | None]:
        """The error code of each record, None for those that were put."""
        entry = requests.PutRecordsEntry(data=b"x" * size_bytes, partition_key="k")
        request = requests.PutRecords(stream_name=NAME, records=[entry] * count)
        return [result.error_code for result in self.ask(request, answers.PutRecordsAnswer).records]

    def iterator(self, shard_id: str = "shardId-000000000000", kind: IteratorType = "TRIM_HORIZON") -> str:
        request = requests.GetShardIterator(stream_name=NAME, shard_id=shard_id, shard_iterator_type=kind)
        return self.ask(request, answers.GetShardIteratorAnswer).shard_iterator

    def page(self, iterator: str, limit: int | None = None) -> answers.GetRecordsAnswer:
        return self.ask(requests.GetRecords(shard_iterator=iterator, limit=limit), answers.GetRecordsAnswer)

    def read(self, shard_id: str = "shardId-000000000000", limit: int | None = None) -> list[bytes]:
        """The payloads of a shard from its trim horizon to its tip or end."""
        payloads: list[bytes] = []
        iterator: str | None = self.iterator(shard_id)
        while iterator is not None:
            page = self.page(iterator, limit)
            payloads += [record.data for record in page.records]
            iterator = page.next_shard_iterator
            if page.millis_behind_latest == 0:
                break
        return payloads

    def split(self, shard_id: str, at: int) -> None:
        self.do(requests.SplitShard(stream_name=NAME, shard_to_split=shard_id, new_starting_hash_key=str(at)))

    def merge(self, lower: str, upper: str) -> None:
        self.do(requests.MergeShards(stream_name=NAME, shard_to_merge=lower, adjacent_shard_to_merge=upper))

    def scale(self, count: int) -> None:
        request = requests.UpdateShardCount(stream_name=NAME, target_shard_count=count, scaling_type="UNIFORM_SCALING")
        self.ask(request, answers.UpdateShardCountAnswer)
