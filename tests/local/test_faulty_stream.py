"""Faults by rule: they happen where and when their rule says, and nowhere else."""

import asyncio

import msgspec
import pytest

from kcl_py.core.position import ReadFrom
from kcl_py.errors import AccessDenied, ServiceUnavailable, Throttled
from kcl_py.interfaces import Page, Stream
from kcl_py.local import faults
from kcl_py.local.doors import LocalStream
from kcl_py.local.faults import Fault, FaultyStream
from tests.local.model_driver import NAME, ModelDriver

ZERO, ONE = "shardId-000000000000", "shardId-000000000001"
TRIM_HORIZON = ReadFrom("TRIM_HORIZON")
BROKEN = faults.Refused(ServiceUnavailable("no answer"))


def faulty(driver: ModelDriver, *rules: Fault, seed: int = 0) -> FaultyStream:
    return FaultyStream(LocalStream(driver.model, NAME, clock_ms=driver.clock), rules, seed=seed)


async def outcomes(stream: Stream, iterator: str, calls: int) -> str:
    """A letter for each of some reads: `.` answered, `x` failed."""
    letters = ""
    for _ in range(calls):
        try:
            await stream.read(iterator, 10)
        except (ServiceUnavailable, Throttled):
            letters += "x"
        else:
            letters += "."
    return letters


async def test_without_rules_nothing_goes_wrong() -> None:
    driver = ModelDriver()
    driver.put(b"x")
    stream = faulty(driver)
    page = await stream.read(await stream.open(ZERO, TRIM_HORIZON), 10)
    assert [record.data for record in page.records] == [b"x"]
    again = await stream.read(page.next_iterator or "", 10)
    assert again.records == []
    assert (await stream.describe()).name == NAME
    assert len(await stream.list_shards()) == 1
    assert stream.calls == {"open": 1, "read": 2, "describe": 1, "list_shards": 1}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Fault(effect=BROKEN, operation="read"), "xxxxxxxx"),
        (Fault(effect=BROKEN, operation="read", first=3), "..xxxxxx"),
        (Fault(effect=BROKEN, operation="read", first=2, times=3), ".xxx...."),
        (Fault(effect=BROKEN, operation="read", first=2, every=3), ".x..x..x"),
        (Fault(effect=BROKEN, operation="read", times=2, every=4), "x...x..."),
        (Fault(effect=BROKEN, operation="describe"), "........"),
        (Fault(effect=BROKEN, operation="read", shard_id=ONE), "........"),
        (Fault(effect=BROKEN, operation="read", shard_id=ZERO, times=1), "x......."),
        (Fault(effect=faults.throttled(), operation="read", times=1), "x......."),
    ],
)
async def test_a_rule_says_at_which_calls_it_happens(rule: Fault, expected: str) -> None:
    stream = faulty(ModelDriver(shard_count=2), rule)
    iterator = await stream.open(ZERO, TRIM_HORIZON)
    assert await outcomes(stream, iterator, 8) == expected
    assert rule.happened == expected.count("x")


async def test_chances_follow_the_seed() -> None:
    async def run(seed: int) -> str:
        stream = faulty(ModelDriver(), Fault(effect=BROKEN, operation="read", chance=0.3), seed=seed)
        return await outcomes(stream, await stream.open(ZERO, TRIM_HORIZON), 100)

    once = await run(1)
    assert once == await run(1)
    assert once != await run(2)
    assert 10 < once.count("x") < 60


async def test_a_refused_call_has_no_effect_and_a_lost_answer_has() -> None:
    driver = ModelDriver()
    seen: list[str] = []

    class Watched(LocalStream):
        async def open(self, shard_id: str, position: ReadFrom) -> str:
            seen.append(shard_id)
            return await super().open(shard_id, position)

    stream = FaultyStream(
        Watched(driver.model, NAME, clock_ms=driver.clock),
        [
            Fault(effect=faults.Refused(AccessDenied("kinesis:GetShardIterator")), operation="open", times=1),
            Fault(effect=faults.AnswerLost(ServiceUnavailable("lost")), operation="open", first=2, times=1),
        ],
    )
    with pytest.raises(AccessDenied):
        await stream.open(ZERO, TRIM_HORIZON)
    assert seen == []
    with pytest.raises(ServiceUnavailable):
        await stream.open(ZERO, TRIM_HORIZON)
    assert seen == [ZERO]


async def test_an_error_is_raised_anew_each_time() -> None:
    stream = faulty(ModelDriver(), Fault(effect=BROKEN))
    errors = []
    for _ in range(2):
        with pytest.raises(ServiceUnavailable, match="no answer") as raised:
            await stream.describe()
        errors.append(raised.value)
    assert errors[0] is not errors[1]


async def test_a_delayed_call_takes_the_loops_time() -> None:
    stream = faulty(ModelDriver(), Fault(effect=faults.Delayed(0.02), operation="describe"))
    began = asyncio.get_running_loop().time()
    await stream.describe()
    assert asyncio.get_running_loop().time() - began >= 0.02


async def test_children_can_be_dropped_from_the_end_of_a_shard() -> None:
    driver = ModelDriver()
    driver.split(ZERO, 2**127)
    rule = Fault(effect=faults.ChildShardsDropped(), operation="read", times=1)
    stream = faulty(driver, rule)
    iterator = await stream.open(ZERO, TRIM_HORIZON)
    pages = [await stream.read(iterator, 10) for _ in range(2)]
    assert [page.next_iterator for page in pages] == [None, None]
    assert [len(page.child_shards) for page in pages] == [0, 2]


async def test_a_stale_listing_shows_what_it_showed_before() -> None:
    driver = ModelDriver()
    stale = Fault(effect=faults.ListingStale(60), operation="list_shards")
    stream = faulty(driver, stale)
    before = await stream.list_shards()
    driver.split(ZERO, 2**127)
    assert await stream.list_shards() == before
    stream.faults.remove(stale)
    assert len(await stream.list_shards()) == 3


async def test_shards_can_be_missing_from_a_listing() -> None:
    stream = faulty(ModelDriver(shard_count=3), Fault(effect=faults.ShardsMissing(frozenset({ONE})), times=1))
    assert [shard.shard_id[-1] for shard in await stream.list_shards()] == ["0", "2"]
    assert len(await stream.list_shards()) == 3


async def test_an_answer_can_be_changed_at_will() -> None:
    def ended(page: Page) -> Page:
        return msgspec.structs.replace(page, next_iterator=None)

    stream = faulty(ModelDriver(), Fault(effect=faults.AnswerChanged(ended), operation="read"))
    page = await stream.read(await stream.open(ZERO, TRIM_HORIZON), 10)
    assert page.next_iterator is None
