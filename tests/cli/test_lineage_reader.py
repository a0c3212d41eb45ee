"""Reading a whole stream without leases: in order along the lineage, whatever goes wrong on the way."""

import pytest

from kcl_py.cli.lineage_reader import LineageReader
from kcl_py.core.position import ReadFrom, StartPosition
from kcl_py.core.record import Record
from kcl_py.core.shard import HASH_KEY_MAX, ChildShard, HashRange, Shard
from kcl_py.errors import AccessDenied, IteratorExpired, KclError, ServiceUnavailable, Throttled
from kcl_py.interfaces import Page, ShardFilter, StreamDescription

FULL = HashRange(0, HASH_KEY_MAX)


def record(number: int) -> Record:
    return Record(
        data=str(number).encode(), partition_key="key", sequence_number=str(number), arrival_timestamp_seconds=0.0
    )


def page(*numbers: int, is_last: bool = False, children: tuple[ChildShard, ...] = (), lag: int | None = 1) -> Page:
    return Page(
        records=[record(number) for number in numbers],
        next_iterator=None if is_last else "on",
        child_shards=children,
        millis_behind_latest=lag,
    )


def child(shard_id: str, *parents: str) -> ChildShard:
    return ChildShard(shard_id=shard_id, hash_range=FULL, parent_shard_ids=parents)


def shard(shard_id: str, *parents: str) -> Shard:
    return Shard(shard_id=shard_id, hash_range=FULL, parent_shard_ids=parents)


class ScriptedStream:
    """Says of each shard what it was told to, in order."""

    def __init__(self, shards: list[Shard], pages: dict[str, list[Page | KclError]]) -> None:
        self.shards = shards
        self.pages = pages
        self.opened: list[tuple[str, ReadFrom]] = []
        self.filters: list[ShardFilter | None] = []
        self.reading: dict[str, str] = {}

    async def describe(self) -> StreamDescription:
        raise NotImplementedError

    async def list_shards(self, shard_filter: ShardFilter | None = None) -> tuple[Shard, ...]:
        self.filters.append(shard_filter)
        return tuple(self.shards)

    async def open(self, shard_id: str, position: ReadFrom) -> str:
        self.opened.append((shard_id, position))
        return shard_id

    async def read(self, iterator: str, limit: int) -> Page:
        answer = self.pages[iterator].pop(0)
        if isinstance(answer, KclError):
            raise answer
        if answer.next_iterator is None:
            return answer
        return Page(records=answer.records, next_iterator=iterator, millis_behind_latest=answer.millis_behind_latest)

    async def close(self) -> None:
        """Nothing to close."""


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kcl_py.cli.lineage_reader._PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("kcl_py.cli.lineage_reader._PAUSE_AT_TIP_SECONDS", 0.0)


async def numbers_read(
    stream: ScriptedStream, start: StartPosition = StartPosition.TRIM_HORIZON, limit: int = 1_000
) -> list[int]:
    numbers: list[int] = []

    def deliver(_: str, delivered: Record) -> bool:
        numbers.append(int(delivered.data))
        return len(numbers) < limit

    await LineageReader(stream, start, deliver, is_following=False).read()
    return numbers


async def test_a_merged_shard_is_read_after_both_of_its_parents() -> None:
    merged = (child("c", "a", "b"),)
    stream = ScriptedStream(
        [shard("a"), shard("b")],
        {
            "a": [page(1, is_last=True, children=merged)],
            "b": [page(2), page(3), page(4, is_last=True, children=merged)],
            "c": [page(5, lag=0)],
        },
    )

    numbers = await numbers_read(stream)

    assert numbers[-1] == 5
    assert sorted(numbers) == [1, 2, 3, 4, 5]


async def test_children_that_the_last_page_does_not_name_are_looked_up() -> None:
    stream = ScriptedStream([shard("a")], {"a": [page(1, is_last=True)], "b": [page(2, lag=0)]})

    async def list_shards(shard_filter: ShardFilter | None = None) -> tuple[Shard, ...]:
        return (shard("a"),) if shard_filter is not None else (shard("a"), shard("b", "a"))

    stream.list_shards = list_shards  # type: ignore[method-assign]

    assert await numbers_read(stream) == [1, 2]


async def test_an_expired_iterator_goes_on_after_the_last_record() -> None:
    stream = ScriptedStream([shard("a")], {"a": [page(1, 2), IteratorExpired(""), page(3, lag=0)]})

    assert await numbers_read(stream) == [1, 2, 3]
    assert stream.opened[1] == ("a", ReadFrom("AFTER_SEQUENCE_NUMBER", sequence_number="2"))


async def test_transient_errors_are_tried_again() -> None:
    stream = ScriptedStream([shard("a")], {"a": [Throttled(""), ServiceUnavailable(""), page(1, lag=0)]})

    assert await numbers_read(stream) == [1]


async def test_another_error_ends_the_reading() -> None:
    stream = ScriptedStream([shard("a"), shard("b")], {"a": [AccessDenied("no")], "b": [page(1), page(2, lag=0)]})

    with pytest.raises(AccessDenied):
        await numbers_read(stream)


async def test_enough_is_enough_for_every_shard() -> None:
    stream = ScriptedStream([shard("a"), shard("b")], {"a": [page(1, 2, 3)], "b": [page(4, 5, 6)]})

    assert len(await numbers_read(stream, limit=2)) == 2


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (StartPosition.TRIM_HORIZON, ShardFilter("AT_TRIM_HORIZON")),
        (StartPosition.LATEST, ShardFilter("AT_LATEST")),
        (StartPosition("AT_TIMESTAMP", 1_000), ShardFilter("AT_TIMESTAMP", timestamp_ms=1_000)),
    ],
)
async def test_the_first_shards_are_those_that_were_open_at_the_start(
    start: StartPosition, expected: ShardFilter
) -> None:
    stream = ScriptedStream([shard("a")], {"a": [page(lag=0)]})

    await numbers_read(stream, start)

    assert stream.filters == [expected]
    assert stream.opened == [("a", ReadFrom(start.kind, timestamp_ms=start.timestamp_ms))]


async def test_an_endpoint_that_ignores_filters_is_read_in_order_too() -> None:
    stream = ScriptedStream(
        [shard("a"), shard("b", "a"), shard("c", "gone")],
        {"a": [page(1), page(2, is_last=True)], "b": [page(4, lag=0)], "c": [page(3, lag=0)]},
    )

    numbers = await numbers_read(stream)

    assert numbers.index(4) > numbers.index(2)
    assert sorted(numbers) == [1, 2, 3, 4]
