"""From listings to rows: each condition for itself, with a stream and a table and no worker."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from kcl_py.config import Config
from kcl_py.core.bootstrap import LATEST_MARGIN_MS
from kcl_py.core.checkpoint import AT_TIMESTAMP, LATEST, SHARD_END, TRIM_HORIZON, Checkpoint
from kcl_py.core.lease import Lease
from kcl_py.core.position import StartPosition
from kcl_py.core.session import Session
from kcl_py.core.shard import ChildShard, Shard
from kcl_py.core.shard_end import ShardEnd
from kcl_py.errors import LeaseLost, ServiceUnavailable, StreamNotFound
from kcl_py.events import Event, HashRangeHole, LeaseCreated, LeaseRemoved, ServiceTrouble
from kcl_py.local import requests
from kcl_py.local.doors import LocalStream, loop_clock_ms
from kcl_py.local.faults import AnswerChanged, Fault, FaultyStream, Refused, ShardsMissing
from kcl_py.local.faulty_lease_table import Fault as TableFault
from kcl_py.local.faulty_lease_table import FaultyLeaseTable
from kcl_py.runtime.discovery import Discovery
from kcl_py.runtime.emitter import Emitter
from tests.runtime.bench import SHARD_0, SHARD_1, STREAM, Site
from tests.virtual_time import run

SHARD_2 = "shardId-000000000002"
NUMBER = Checkpoint("77")
MINUTE = 61.0


def is_late() -> bool:
    """The epoch is over a day after the beginning of time: what waits for ever is noticed."""
    return asyncio.get_running_loop().time() > 86_400


class Explorer:
    """A discovery that has looked at its stream."""

    def __init__(self, site: Site, start: StartPosition = StartPosition.TRIM_HORIZON) -> None:
        self.site = site
        self.stream = FaultyStream(LocalStream(site.model, STREAM))
        self.table = FaultyLeaseTable(site.memory)
        self.events: list[Event] = []
        self.discovery = Discovery(
            self.stream,
            self.table,
            Config(stream=STREAM, application="app", start=start),
            clock=asyncio.get_running_loop().time,
            emit=Emitter([self.events.append]),
        )

    @classmethod
    async def begun(cls, site: Site, start: StartPosition = StartPosition.TRIM_HORIZON) -> "Explorer":
        explorer = cls(site, start)
        await explorer.discovery.open()
        explorer.discovery.bind(await site.memory.prepare())
        return explorer

    @classmethod
    async def ready(cls, site: Site, start: StartPosition = StartPosition.TRIM_HORIZON) -> "Explorer":
        explorer = await cls.begun(site, start)
        await explorer.discovery.make_rows(lambda _: False)
        return explorer

    async def audit(self, *held: Lease) -> None:
        await self.discovery.audit(await self.site.memory.snapshot(), held)

    async def rows(self) -> dict[str, Lease]:
        return {row.key: row for row in (await self.site.memory.snapshot()).leases}

    async def put(self, key: str, **changed: Any) -> None:
        """Change a row as its holder would have."""
        row = await self.site.row(key)
        self.site.memory.put(msgspec.structs.replace(row, **changed))

    def list_as(self, change: Callable[[tuple[Shard, ...]], tuple[Shard, ...]], times: int | None = None) -> None:
        self.stream.faults.append(Fault(operation="list_shards", effect=AnswerChanged(change), times=times))

    def seen(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


async def split(site: Site) -> None:
    site.split()
    await asyncio.sleep(5)


# -- at the start -------------------------------------------------------------------------------------------------


def test_the_rows_of_an_empty_table_are_bound_and_know_when_they_were_made():
    async def story() -> None:
        explorer = await Explorer.ready(Site(shards=2))
        rows = await explorer.rows()
        assert list(rows) == [SHARD_0, SHARD_1]
        assert {row.binding for row in rows.values()} == {explorer.discovery.binding}
        assert all(row.checkpoint == TRIM_HORIZON and row.counter == 0 for row in rows.values())
        assert all(abs((row.start_at_ms or 0) - loop_clock_ms()) <= 2_000 for row in rows.values())
        assert len(explorer.seen(LeaseCreated)) == 2

    run(story())


def test_latest_is_pinned_to_when_the_worker_started_also_for_a_row_that_is_made_later():
    async def story() -> None:
        explorer = await Explorer.ready(Site(shards=2), StartPosition.LATEST)
        started_ms = (await explorer.rows())[SHARD_0].start_at_ms
        assert started_ms is not None
        assert loop_clock_ms() - LATEST_MARGIN_MS - 1_000 <= started_ms <= loop_clock_ms() - LATEST_MARGIN_MS
        explorer.site.memory.erase(SHARD_1)
        for _ in range(2):
            await asyncio.sleep(MINUTE)
            await explorer.audit()
        assert (await explorer.rows())[SHARD_1].start_at_ms == started_ms

    run(story())


def test_an_empty_table_gets_no_rows_of_shards_that_were_closed_before_latest():
    async def story() -> None:
        site = Site()
        await split(site)
        explorer = await Explorer.ready(site, StartPosition.LATEST)
        assert list(await explorer.rows()) == [SHARD_1, SHARD_2]

    run(story())


@pytest.mark.parametrize("is_other_alive", [True, False])
def test_beside_a_worker_that_may_live_no_row_is_made_at_once_in_a_table_that_has_some(is_other_alive: bool):
    async def story() -> None:
        site = Site(shards=2)
        await Explorer.ready(site)
        site.memory.erase(SHARD_1)
        await site.memory.write_session(None, Session(key="other@00000002"))
        explorer = await Explorer.begun(site)
        await explorer.discovery.make_rows(lambda _: is_other_alive)
        rows = await explorer.rows()
        assert (SHARD_1 in rows) is not is_other_alive
        assert is_other_alive or rows[SHARD_1].counter > 1_000_000, "its counter fences, and does not start over"

    run(story())


def test_a_listing_with_a_hole_is_asked_for_again_and_then_refused_if_there_are_no_rows():
    async def story() -> None:
        explorer = await Explorer.begun(Site(shards=2))
        explorer.list_as(lambda shards: shards[:1], times=4)
        await explorer.discovery.make_rows(lambda _: False)
        assert list(await explorer.rows()) == [SHARD_0, SHARD_1]
        never_whole = await Explorer.begun(Site(shards=2))
        never_whole.list_as(lambda shards: shards[:1])
        with pytest.raises(ServiceUnavailable, match="stays incomplete"):
            await never_whole.discovery.make_rows(lambda _: False)
        assert await never_whole.rows() == {}

    run(story())


def test_a_listing_with_a_hole_does_not_keep_a_worker_from_a_table_that_has_rows():
    async def story() -> None:
        site = Site(shards=2)
        await Explorer.ready(site)
        explorer = await Explorer.begun(site)
        explorer.list_as(lambda shards: shards[:1])
        await explorer.discovery.make_rows(lambda _: False)
        assert explorer.seen(ServiceTrouble)
        assert list(await explorer.rows()) == [SHARD_0, SHARD_1]

    run(story())


# -- audits -------------------------------------------------------------------------------------------------------


def test_a_row_is_made_when_two_audits_lack_it_and_not_before():
    async def story() -> None:
        explorer = await Explorer.ready(Site(shards=2))
        explorer.site.memory.erase(SHARD_1)
        await explorer.audit()
        assert SHARD_1 not in await explorer.rows()
        await explorer.audit()
        made = (await explorer.rows())[SHARD_1]
        assert made.counter > 1_000_000
        assert made.binding == explorer.discovery.binding

    run(story())


def test_a_row_that_came_back_and_vanished_again_is_waited_for_anew():
    async def story() -> None:
        explorer = await Explorer.ready(Site(shards=2))
        row = (await explorer.rows())[SHARD_1]
        explorer.site.memory.erase(SHARD_1)
        await explorer.audit()
        explorer.site.memory.put(row)
        await explorer.audit()
        explorer.site.memory.erase(SHARD_1)
        await explorer.audit()
        assert SHARD_1 not in await explorer.rows()

    run(story())


def test_a_row_that_we_hold_is_ours_to_write_again_however_long_that_takes():
    async def story() -> None:
        explorer = await Explorer.ready(Site(shards=2))
        held = (await explorer.rows())[SHARD_1]
        explorer.site.memory.erase(SHARD_1)
        for _ in range(3):
            await explorer.audit(held)
        assert SHARD_1 not in await explorer.rows()

    run(story())


def test_the_children_that_are_missing_below_an_ended_shard_are_made_at_its_horizon_whatever_the_start():
    async def story() -> None:
        explorer = await Explorer.ready(Site(), StartPosition.LATEST)
        await split(explorer.site)
        await explorer.put(SHARD_0, checkpoint=SHARD_END, child_shard_ids=(SHARD_1, SHARD_2))
        for _ in range(2):
            await explorer.audit()
        rows = await explorer.rows()
        assert [rows[key].checkpoint for key in (SHARD_1, SHARD_2)] == [TRIM_HORIZON, TRIM_HORIZON]

    run(story())


def test_children_are_made_though_the_listing_shows_too_little_to_make_anything_else():
    async def story() -> None:
        explorer = await Explorer.ready(Site(shards=2))
        explorer.site.split(SHARD_0, 2**126)
        await asyncio.sleep(5)
        await explorer.put(SHARD_0, checkpoint=SHARD_END)
        explorer.site.memory.erase(SHARD_1)
        explorer.list_as(lambda shards: tuple(shard for shard in shards if shard.shard_id != SHARD_1))
        for _ in range(2):
            await explorer.audit()
        assert set(await explorer.rows()) == {SHARD_0, SHARD_2, "shardId-000000000003"}
        assert len(explorer.seen(ServiceTrouble)) == 2

    run(story())


def test_a_hole_in_the_hash_range_is_told_of_when_it_is_seen_twice():
    async def story() -> None:
        explorer = await Explorer.ready(Site(shards=2))
        await explorer.put(SHARD_1, checkpoint=SHARD_END)
        await explorer.audit()
        assert not explorer.seen(HashRangeHole)
        await explorer.audit()
        (hole,) = explorer.seen(HashRangeHole)
        assert isinstance(hole, HashRangeHole)
        assert (hole.start, hole.end) == (2**127, 2**128 - 1)
        await explorer.put(SHARD_1, checkpoint=NUMBER)
        await explorer.audit()
        await explorer.put(SHARD_1, checkpoint=SHARD_END)
        await explorer.audit()
        assert len(explorer.seen(HashRangeHole)) == 1

    run(story())


def test_the_row_of_a_forgotten_shard_goes_unless_somebody_writes_it_at_that_moment():
    async def story() -> None:
        explorer = await Explorer.ready(Site())
        await split(explorer.site)
        await explorer.put(SHARD_0, checkpoint=SHARD_END, child_shard_ids=(SHARD_1, SHARD_2))
        for _ in range(2):
            await explorer.audit()
        for key in (SHARD_1, SHARD_2):
            await explorer.put(key, checkpoint=NUMBER)
        explorer.stream.faults.append(Fault(operation="list_shards", effect=ShardsMissing(frozenset({SHARD_0}))))
        await explorer.audit()
        await explorer.discovery.clean_up(await explorer.site.memory.snapshot())
        assert SHARD_0 in await explorer.rows(), "one listing proves nothing"
        await asyncio.sleep(MINUTE)
        await explorer.audit()
        await asyncio.sleep(MINUTE)
        await explorer.audit()
        before = await explorer.site.memory.snapshot()
        await explorer.put(SHARD_0, counter=9)
        await explorer.discovery.clean_up(before)
        assert SHARD_0 in await explorer.rows()
        await explorer.discovery.clean_up(await explorer.site.memory.snapshot())
        assert SHARD_0 not in await explorer.rows()
        assert len(explorer.seen(LeaseRemoved)) == 1

    run(story())


# -- the end of a shard -------------------------------------------------------------------------------------------


def test_a_shard_that_is_listed_as_open_did_not_end_and_one_that_is_closed_has_its_children():
    async def story() -> None:
        explorer = await Explorer.ready(Site())
        row = (await explorer.rows())[SHARD_0]
        assert await explorer.discovery.confirm_end(row, is_late) is None
        await split(explorer.site)
        children = await explorer.discovery.confirm_end(row, is_late)
        assert children is not None
        assert [child.shard_id for child in children] == [SHARD_1, SHARD_2]
        assert explorer.discovery.siblings(SHARD_0) == {SHARD_1, SHARD_2}

    run(story())


def test_half_a_family_is_listed_again_until_it_is_whole():
    async def story() -> None:
        explorer = await Explorer.ready(Site())
        row = (await explorer.rows())[SHARD_0]
        await split(explorer.site)
        torn = Fault(operation="list_shards", effect=ShardsMissing(frozenset({SHARD_2})), times=3)
        explorer.stream.faults.append(torn)
        children = await explorer.discovery.confirm_end(row, is_late)
        assert children is not None
        assert [child.shard_id for child in children] == [SHARD_1, SHARD_2]
        assert torn.happened == 3
        again = Fault(operation="list_shards", effect=ShardsMissing(frozenset({SHARD_2})), times=3)
        explorer.stream.faults.append(again)
        await explorer.discovery.list_shards()
        named = (ChildShard(shard_id=SHARD_1, hash_range=children[0].hash_range, parent_shard_ids=(SHARD_0,)),)
        end = await explorer.discovery.end_of(row, named, is_late)
        assert isinstance(end, ShardEnd)
        assert end.child_shard_ids == (SHARD_1, SHARD_2)
        assert again.happened == 3
        assert explorer.seen(ServiceTrouble), "that it waits is told"

    run(story())


def test_nobody_waits_for_a_listing_when_the_epoch_is_over():
    async def story() -> None:
        explorer = await Explorer.ready(Site())
        row = (await explorer.rows())[SHARD_0]
        explorer.stream.faults.append(Fault(operation="list_shards", effect=Refused(ServiceUnavailable("down"))))
        loop = asyncio.get_running_loop()
        over_at = loop.time() + 100
        with pytest.raises(LeaseLost):
            await explorer.discovery.confirm_end(row, lambda: loop.time() > over_at)
        assert loop.time() < over_at + 31
        assert 5 < len(explorer.seen(ServiceTrouble)) < 15, "ever less often"

    run(story())


# -- whose stream it is -------------------------------------------------------------------------------------------


def test_a_stream_that_was_made_anew_under_the_same_name_is_another_one():
    async def story() -> None:
        explorer = await Explorer.ready(Site())
        await explorer.discovery.check_stream()
        explorer.site.ask(requests.DeleteStream(stream_name=STREAM))
        await asyncio.sleep(60)
        with pytest.raises(StreamNotFound, match="was deleted while it was read"):
            await explorer.discovery.check_stream()
        explorer.site.ask(requests.CreateStream(stream_name=STREAM, shard_count=1))
        await asyncio.sleep(60)
        with pytest.raises(StreamNotFound, match=r"deleted and created again: .* start over with another application"):
            await explorer.discovery.check_stream()

    run(story())


def test_what_a_java_workers_sentinel_means_is_known_and_a_number_needs_no_instant():
    async def story() -> None:
        explorer = await Explorer.begun(Site(), StartPosition("AT_TIMESTAMP", 5_000))
        discovery = explorer.discovery
        at = {one: discovery.start_at_ms(Lease(key="s", checkpoint=one)) for one in (LATEST, AT_TIMESTAMP, NUMBER)}
        assert at == {LATEST: discovery.service_time_ms - LATEST_MARGIN_MS, AT_TIMESTAMP: 5_000, NUMBER: None}

    run(story())


def test_the_service_time_goes_on_with_our_clock_and_the_horizon_lies_a_retention_behind():
    async def story() -> None:
        explorer = await Explorer.ready(Site())
        await asyncio.sleep(3_600)
        discovery = explorer.discovery
        assert 0 <= loop_clock_ms() - discovery.service_time_ms <= 1_000
        assert discovery.service_time_ms - discovery.horizon_ms == 24 * 3_600_000

    run(story())


def test_a_row_that_cannot_be_made_now_is_made_later():
    async def story() -> None:
        explorer = await Explorer.begun(Site())
        explorer.table.faults.append(TableFault(kind="throttle", operation="create", times=2))
        await explorer.discovery.make_rows(lambda _: False)
        assert list(await explorer.rows()) == [SHARD_0]
        assert len(explorer.seen(ServiceTrouble)) == 2
        explorer.site.memory.erase(SHARD_0)
        explorer.table.faults.append(TableFault(kind="expire", operation="create", times=2))
        for _ in range(2):
            await explorer.audit()
        assert list(await explorer.rows()) == [SHARD_0], "permissions that were there come back"

    run(story())
