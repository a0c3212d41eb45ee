"""Answers of Kinesis that cannot be true: all of them are refused and asked for again, and nothing of them is used."""

import asyncio
import datetime
import functools
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from kcl_py.aws import connection, get_records, list_shards
from kcl_py.aws.calls import MalformedAnswer
from kcl_py.core.checkpoint import Checkpoint
from kcl_py.core.record import Record
from kcl_py.core.shard import HASH_KEY_MAX, HashRange, Shard
from kcl_py.errors import ServiceUnavailable
from kcl_py.events import LeaseCreated, ServiceTrouble
from kcl_py.interfaces import Page
from kcl_py.local.faults import AnswerChanged, Fault
from tests.aws.kinesis_answers import ITERATOR, record, shard
from tests.aws.scripted_kinesis import connected, refuses, says, says_text, scripted_kinesis
from tests.runtime.bench import SHARD_0, SHARD_1, BenchWorker, Site
from tests.security.hostile_text import ACTING
from tests.virtual_time import run

WRONG_SHAPE = (MalformedAnswer, *connection._WRONG_SHAPE)
"""What `Connection` takes for an answer that makes no sense."""
ABSURD: st.SearchStrategy[Any] = st.sampled_from([
    None, "", "x", "-1", "1_0", " 7", "\u0667", "9" * 129, "9" * 130, "9" * 5000, str(2**128), "0", "7", "007", 7, -1,
    1.5, True, b"", b"x", [], [1], [[]], ["a"], {}, {"a": 1}, float("nan"), 10**400, *ACTING,
    datetime.datetime.max.replace(tzinfo=datetime.UTC), datetime.datetime.min.replace(tzinfo=datetime.UTC),
])  # fmt: skip
PLAIN_RECORD = {"SequenceNumber": "21", "Data": b"d", "PartitionKey": "k",
                "ApproximateArrivalTimestamp": datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)}  # fmt: skip
RANGE = {"StartingHashKey": "0", "EndingHashKey": "9"}
PLAIN_CHILD = {"ShardId": "b", "HashKeyRange": RANGE, "ParentShards": ["a"]}
PLAIN_SHARD = {"ShardId": "a", "HashKeyRange": RANGE, "ParentShardId": "p", "AdjacentParentShardId": "q",
               "SequenceNumberRange": {"StartingSequenceNumber": "1", "EndingSequenceNumber": "2"}}  # fmt: skip


def near(plain: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """The same with some members absurd or missing, one level down too."""

    def changed(differences: dict[str, Any], deeper: dict[str, Any], at: str) -> dict[str, Any]:
        made = dict(plain) | differences
        if isinstance(made.get(at), dict):
            made[at] = made[at] | deeper
        return {name: value for name, value in made.items() if value is not None}

    inner = sorted({name for value in plain.values() if isinstance(value, dict) for name in value}) or ["x"]
    return st.builds(
        changed,
        st.dictionaries(st.sampled_from(sorted(plain)), ABSURD, max_size=2),
        st.dictionaries(st.sampled_from(inner), ABSURD, max_size=2),
        st.sampled_from(sorted(plain)),
    )


def pages() -> st.SearchStrategy[dict[str, Any]]:
    plain = st.fixed_dictionaries({
        "Records": st.lists(near(PLAIN_RECORD), max_size=3),
        "ChildShards": st.lists(near(PLAIN_CHILD), max_size=2),
        "NextShardIterator": st.just("i") | ABSURD,
        "MillisBehindLatest": st.just(0) | ABSURD,
    })  # fmt: skip
    return plain | st.dictionaries(st.sampled_from(["Records", "ChildShards"]), ABSURD)


class TestAPage:
    @given(pages())
    @settings(deadline=None, max_examples=200)
    @example({"Records": [], "ChildShards": [PLAIN_CHILD | {"ParentShards": "ab"}]})
    @example({"Records": [], "ChildShards": [PLAIN_CHILD | {"ShardId": 7}]})
    @example({"Records": [], "ChildShards": [PLAIN_CHILD | {"ParentShards": [["a"]]}]})
    @example({"Records": [PLAIN_RECORD | {"SequenceNumber": n} for n in ("21", "9" * 5000, "22")]})
    @example({"Records": [], "NextShardIterator": 7})
    def test_has_the_types_that_it_promises_or_is_refused(self, answer: dict[str, Any]) -> None:
        try:
            page = get_records.page(answer, "a")
        except WRONG_SHAPE:
            return
        assert all(Checkpoint.at(one).is_number for one in page.records)
        assert all(isinstance(one.data, bytes) and isinstance(one.partition_key, str) for one in page.records)
        assert page.next_iterator is None or isinstance(page.next_iterator, str)
        assert type(page.millis_behind_latest) in (int, type(None))
        for child in page.child_shards:
            assert isinstance(child.shard_id, str)
            assert all(isinstance(parent, str) and parent for parent in child.parent_shard_ids)
            assert 0 <= child.hash_range.start <= child.hash_range.end <= HASH_KEY_MAX

    @pytest.mark.parametrize("numbers", [("22", "21"), ("21", "21"), ("21", "25", "23", "26"), ("9", "10", "9")])
    def test_that_goes_back_or_repeats_itself_is_refused(self, numbers: tuple[str, ...]) -> None:
        records = [PLAIN_RECORD | {"SequenceNumber": number} for number in numbers]
        with pytest.raises(MalformedAnswer, match="order"):
            get_records.page({"Records": records}, "a")

    def test_in_order_is_taken_also_where_numbers_get_longer(self) -> None:
        records = [PLAIN_RECORD | {"SequenceNumber": number} for number in ("9", "10", "11", "100")]
        assert len(get_records.page({"Records": records}, "a").records) == 4


class TestAListing:
    @given(st.lists(near(PLAIN_SHARD), max_size=4) | ABSURD, st.none() | ABSURD)
    @settings(deadline=None, max_examples=200)
    @example([PLAIN_SHARD | {"HashKeyRange": {"StartingHashKey": "-5", "EndingHashKey": "9"}}], None)
    @example([PLAIN_SHARD | {"HashKeyRange": {"StartingHashKey": "9", "EndingHashKey": "0"}}], None)
    @example([PLAIN_SHARD | {"HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": str(2**128)}}], None)
    @example([PLAIN_SHARD | {"ParentShardId": ["x"]}], None)
    @example([PLAIN_SHARD | {"ShardId": ""}], None)
    @example([PLAIN_SHARD | {"SequenceNumberRange": {"StartingSequenceNumber": "9" * 5000}}], None)
    def test_has_the_types_that_it_promises_or_is_refused(self, shards: Any, token: Any) -> None:
        try:
            found, next_token = list_shards.shards({"Shards": shards, "NextToken": token})
        except WRONG_SHAPE:
            return
        assert next_token is None or isinstance(next_token, str)
        for one in list_shards.listing(found):  # outside of what refuses an answer: nothing may fail here
            assert isinstance(one.shard_id, str)
            assert one.shard_id
            assert all(isinstance(parent, str) for parent in one.parent_shard_ids)
            assert 0 <= one.hash_range.start <= one.hash_range.end <= HASH_KEY_MAX
            assert one.age_order


@pytest.mark.parametrize(
    "body",
    ["[" * 100_000, '{"Records":' * 50_000, "null", "[]", "7", '"x"', "{", "\u0000", '{"Records": {"a": 1}}', "{}",
     '{"Records": [null]}', '{"Records": 7}', '{"Records": [], "MillisBehindLatest": "x"}'],
)  # fmt: skip
async def test_a_body_that_is_no_page_is_an_answer_of_no_use(monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with scripted_kinesis() as service:
        service.will("GetRecords", says_text(body))
        service.will("ListShards", says_text(body))
        stream = connected(service)
        with pytest.raises(ServiceUnavailable):
            await stream.read(ITERATOR, 1)
        with pytest.raises(ServiceUnavailable):
            await stream.list_shards()
        await stream.close()


Listing = tuple[Shard, ...]
LIES: dict[str, Callable[[Listing], Listing]] = {
    "a cycle of parents": lambda shards: tuple(
        msgspec.structs.replace(one, parent_shard_ids=(shards[(at + 1) % len(shards)].shard_id,))
        for at, one in enumerate(shards)
    ),
    "a shard that is its own parent": lambda shards: tuple(
        msgspec.structs.replace(one, parent_shard_ids=(one.shard_id, one.shard_id)) for one in shards
    ),
    "unknown parents": lambda shards: tuple(
        msgspec.structs.replace(one, parent_shard_ids=(f"shardId-9{one.shard_id}", ACTING[0])) for one in shards
    ),
    "overlapping ranges": lambda shards: tuple(
        msgspec.structs.replace(one, hash_range=HashRange(0, HASH_KEY_MAX)) for one in shards
    ),
    "empty ranges": lambda shards: tuple(msgspec.structs.replace(one, hash_range=HashRange(7, 7)) for one in shards),
    "every shard twice": lambda shards: shards + shards,
    "every shard closed": lambda shards: tuple(
        msgspec.structs.replace(one, ending_sequence_number="9" * 129) for one in shards
    ),
    "huge numbers": lambda shards: tuple(
        msgspec.structs.replace(one, starting_sequence_number="9" * 129) for one in shards
    ),
    "a stranger with escapes in its name": lambda shards: (
        *shards,
        Shard(shard_id="".join(ACTING[:6]), hash_range=HashRange(0, 9), parent_shard_ids=(shards[0].shard_id,)),
    ),
    "two thousand strangers": lambda shards: (
        shards
        + tuple(
            Shard(shard_id=f"x{n}", hash_range=HashRange(n, n), parent_shard_ids=(f"x{n + 1}",)) for n in range(2000)
        )
    ),
    "nothing": lambda shards: (),
    "half of it": lambda shards: shards[:1],
}
OLD: Record = Record(data=b"old", partition_key="k", sequence_number="1", arrival_timestamp_seconds=0.0)
FALSE_PAGES: dict[str, Callable[[Page], Page]] = {
    "a null iterator": lambda page: msgspec.structs.replace(page, next_iterator=None),
    "a lag beyond all years": lambda page: msgspec.structs.replace(page, millis_behind_latest=10**30),
    "a negative lag": lambda page: msgspec.structs.replace(page, millis_behind_latest=-5),
    "a size of nothing": lambda page: msgspec.structs.replace(page, size_bytes=0),
    "what was there before, again": lambda page: msgspec.structs.replace(page, records=[OLD, *page.records]),
}


@given(
    st.lists(st.sampled_from(sorted(LIES)), max_size=2, unique=True),
    st.lists(st.sampled_from(sorted(FALSE_PAGES)), max_size=2, unique=True),
    st.booleans(),
)
@settings(deadline=None, max_examples=10)
def test_a_lying_service_ends_no_worker_ends_no_shard_and_costs_no_record(
    lies: list[str], false_pages: list[str], is_so_from_the_start: bool
) -> None:
    # a listing and a page that agree are what the service said, and law S9 takes them at their word
    assume(not ("every shard closed" in lies and "a null iterator" in false_pages))

    async def story() -> None:
        site = Site(shards=2)
        worker = BenchWorker(site)
        await asyncio.sleep(0 if is_so_from_the_start else 10)
        wanted = site.put(10)
        worker.stream.faults += [
            Fault(operation="list_shards", effect=AnswerChanged(functools.partial(_unless_empty, LIES[lie])))
            for lie in lies
        ]
        worker.stream.faults += [
            Fault(operation="read", first=2, every=3, effect=AnswerChanged(FALSE_PAGES[page])) for page in false_pages
        ]
        for _ in range(8):
            await asyncio.sleep(10)
            wanted += site.put(2)
        finished = [lease.key for lease in (await site.memory.snapshot()).leases if lease.is_finished]
        worker.stream.faults.clear()
        if worker.failure is not None:  # it refuses to start, and says so; the next one finds what it needs
            assert isinstance(worker.failure, ServiceUnavailable), repr(worker.failure)
            assert worker.seen(ServiceTrouble)
            await worker.drain()
            worker = BenchWorker(site, worker_id="w2")
        await asyncio.sleep(240)
        assert worker.failure is None, repr(worker.failure)
        assert set(finished) & {SHARD_0, SHARD_1} == set(), "an open shard was finished"
        assert set(wanted) <= set(site.payloads()), "a record was lost"
        assert worker.seen(LeaseCreated) or lies
        await worker.drain()

    run(story())


def _unless_empty(lie: Callable[[Listing], Listing], shards: Listing) -> Listing:
    return lie(shards) if shards else shards


async def test_refusals_with_any_text_are_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with scripted_kinesis() as service:
        stream = connected(service)
        for text in ACTING:
            service.will("GetRecords", refuses("InternalFailure", text, 500))
            with pytest.raises(ServiceUnavailable):
                await stream.read(ITERATOR, 1)
        service.will("ListShards", says({"Shards": [shard(0), shard(0), shard(1)]}))
        assert len(await stream.list_shards()) == 2
        service.will("GetRecords", says({"Records": [record("21"), record("21")], "NextShardIterator": "i"}))
        with pytest.raises(ServiceUnavailable, match="makes no sense"):
            await stream.read(ITERATOR, 1)
        await stream.close()
