"""Whatever stands in the lease table: it is read or it is odd; what is odd stays as it is, and nothing else suffers."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kcl_py.aws import lease_row, lock_row, session_row, table_items
from kcl_py.aws.attributes import RowError
from kcl_py.aws.lease_table import DynamoDBLeaseTable
from kcl_py.core.leadership import LOCK_KEY, LeaderLock
from kcl_py.core.lease import Change, Lease
from kcl_py.core.session import Session
from kcl_py.core.table import TableKind
from kcl_py.errors import RowUnreadable, SequenceRefused, ServiceUnavailable, TableError, TableRefused
from kcl_py.events import HashRangeHole, OddRowFound
from kcl_py.local.memory_lease_table import MemoryLeaseTable
from tests.aws.scripted_dynamodb import ScriptedDynamoDB
from tests.runtime.bench import SHARD_0, SHARD_1, BenchWorker, Site
from tests.security.hostile_items import LEASE, LOCK, SESSION, Item, items
from tests.virtual_time import run

KEY_BYTES_MAX = 2048
NUMBER_DIGITS_MAX = 38


class TestReadingAnItem:
    @given(items(LEASE, SESSION, LOCK))
    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=200)
    @pytest.mark.parametrize("read", [lease_row.lease_of, session_row.session_of, lock_row.lock_of])
    def test_gives_a_value_or_says_why_not(self, read: Callable[[Item], Any], item: Item) -> None:
        with contextlib.suppress(RowError):
            read(item)

    @given(st.lists(items(LEASE, SESSION, LOCK), max_size=5))
    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=120)
    def test_hides_no_other_and_never_fails(self, hostile: list[Item]) -> None:
        good = LEASE | {"leaseKey": {"S": "good"}}
        snapshot = table_items.snapshot_of([*hostile, good], ())
        assert "good" in {lease.key for lease in snapshot.leases}
        assert isinstance(snapshot.kind, TableKind)
        claiming = [item for item in hostile if item.get("entityType") == {"S": "LEASE"}]
        assert len(snapshot.leases) + len(snapshot.odd_rows) > len(claiming)
        table_items.pulse_of([*hostile, good])

    @given(items(LEASE))
    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=120)
    def test_that_parses_can_be_written_again_as_it_was(self, item: Item) -> None:
        try:
            lease = lease_row.lease_of(item)
        except RowError:
            return
        written = lease_row.lease_attributes(lease)
        again = lease_row.lease_of(written)
        assert len(written.get("throughputKBps", {"N": ""})["N"]) <= NUMBER_DIGITS_MAX
        assert again == msgspec.structs.replace(lease, throughput_kbps=again.throughput_kbps)


@pytest.mark.parametrize("owner", ["", "x" * 2049, "\u00e4" * 1025])
async def test_an_owner_that_no_entry_can_be_called_has_none_and_nobody_is_asked(owner: str) -> None:
    scripted = ScriptedDynamoDB()
    table = DynamoDBLeaseTable("orders", session=scripted.session)
    assert await table.session(owner) is None
    assert await table.sessions([owner]) == ()
    assert scripted.requests == []
    await table.close()


@pytest.mark.parametrize("depth", [32, 200, 5_000, 100_000])
async def test_an_answer_without_a_bottom_is_an_answer_of_no_use(depth: int) -> None:
    scripted = ScriptedDynamoDB()
    scripted.answer("GetItem", b'{"Item": {"a":' + b'{"M":{"a":' * depth + b'{"S":"b"}' + b"}}" * depth + b"}}")
    table = DynamoDBLeaseTable("orders", session=scripted.session)
    with pytest.raises((ServiceUnavailable, RowUnreadable)):
        await table.lease("shardId-000000000000")
    await table.close()


class StrictTable(MemoryLeaseTable):
    """Refuses what DynamoDB refuses: keys that are empty or long, and numbers of more than 38 digits."""

    def __init__(self, hostile: Iterable[Item] = ()) -> None:
        super().__init__()
        self.add(hostile)

    def add(self, hostile: Iterable[Item]) -> None:
        """Somebody writes items past us."""
        snapshot = table_items.snapshot_of(hostile, ())
        for lease in snapshot.leases:
            self.put(lease)
        for session in snapshot.sessions:
            self._sessions[session.key] = session
        for row in snapshot.odd_rows:
            self.odd_rows[row.key] = row.reason
            self.erase(row.key)
        for key in snapshot.foreign_entries:
            self.foreign_entries[key] = "still"
        if LOCK_KEY in self.odd_rows:
            self._leader_lock = None
        elif snapshot.lock is not None:
            self.put_leader_lock(snapshot.lock)

    async def session(self, key: str) -> Session | None:
        return await super().session(key) if may_be_a_key(key) else None

    async def sessions(self, keys: Iterable[str]) -> tuple[Session, ...]:
        return await super().sessions(filter(may_be_a_key, keys))

    async def create(self, lease: Lease) -> bool:
        _check_item(lease_row.lease_attributes(lease))
        return await super().create(lease)

    async def write(self, change: Change) -> None:
        _check_item(lease_row.lease_update(change).assigned)
        await super().write(change)
        assert change.before.key not in self.odd_rows, "a row that does not parse was written"

    async def delete(self, lease: Lease) -> None:
        await super().delete(lease)
        assert lease.key not in self.odd_rows, "a row that does not parse was deleted"

    async def write_session(self, before: Session | None, after: Session | None) -> None:
        if after is not None:
            _check_item(session_row.session_attributes(after))
        await super().write_session(before, after)

    async def write_leader_lock(self, before: LeaderLock | None, after: LeaderLock | None) -> None:
        await super().write_leader_lock(before, after)
        assert LOCK_KEY not in self.odd_rows, "a lock that does not parse was written"


def may_be_a_key(key: str) -> bool:
    return 1 <= len(key.encode("utf-8", "surrogatepass")) <= KEY_BYTES_MAX


def _check_item(item: Item) -> None:
    for name, value in item.items():
        if len(value.get("N", "")) > NUMBER_DIGITS_MAX:
            raise TableError("ValidationException: a number has more than 38 digits")
        if name in ("leaseKey", "leaseOwner"):
            assert may_be_a_key(value["S"]), f"{name} is no key"


async def life_beside(hostile: list[Item], *, is_there_first: bool) -> None:
    """A worker's life beside such items; shard 0 is nobody else's, and must be read whatever stands elsewhere."""
    site = Site(shards=2)
    table = site.memory = StrictTable(hostile if is_there_first else ())
    before = dict(table.odd_rows)
    worker = BenchWorker(site)
    await asyncio.sleep(5)
    if not is_there_first:
        table.add(hostile)
    odd = dict(table.odd_rows)
    for _ in range(20):
        site.put_data(b"0", key="1")  # shard 0 and shard 1 in turn
        site.put_data(b"1", key="a")
        await asyncio.sleep(3)
    await asyncio.sleep(120)  # two audits: a hole that is seen twice is told of
    assert worker.failure is None or isinstance(worker.failure, TableRefused), repr(worker.failure)
    refused = worker.failure or worker.data_plane.failure  # a checkpoint may be one of another stream
    assert refused is None or isinstance(refused, TableRefused | SequenceRefused), repr(refused)
    assert odd.items() <= table.odd_rows.items(), "an odd row vanished"
    if worker.failure is None:
        done = [shard for _, shard, _, _ in site.delivered]
        told = {event.key for event in worker.seen(OddRowFound)}
        # behind a lock that does not parse nobody leads; and the row of a shard that is not listed, which nobody can
        # finish, may be newer than the listing, so that no rows are made beside it. Both are said aloud
        assert SHARD_0 in done or LOCK_KEY in told or worker.seen(HashRangeHole)
        assert told >= before.keys(), "an odd row was not told of"
    await worker.drain(fails=refused is not None)


def of_others(item: Item) -> bool:
    """It is not the row of shard 0, which belongs to the worker."""
    return item.get("leaseKey") != {"S": SHARD_0}


@given(st.lists(items(LEASE, SESSION, LOCK).filter(of_others), min_size=1, max_size=4), st.booleans())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=25)
@example([LOCK | {"ownerName": {"S": ""}}], False)
@example([LOCK | {"ownerName": {"S": "x" * 3000}, "isReleased": {"S": "0"}}], False)
@example([LOCK | {"kclPyStandby": {"S": ""}, "isReleased": {"S": "0"}}], False)
@example([LEASE | {"leaseKey": {"S": SHARD_1}, "checkpointOwner": {"S": ""}}], False)
@example([LEASE | {"leaseKey": {"S": SHARD_1}, "checkpointOwner": {"S": "x" * 3000 + "@0123abcd"}}], False)
@example([LEASE | {"leaseKey": {"S": SHARD_1}, "leaseCounter": {"N": "9" * 38}}], False)
@example([LEASE | {"leaseKey": {"S": SHARD_1}, "leaseCounter": {"N": str(2**63 - 1)}}], False)
@example([LEASE | {"leaseKey": {"S": SHARD_1}, "ownerSwitchesSinceCheckpoint": {"N": "9" * 38}}], False)
@example([LEASE | {"throughputKBps": {"N": "1E308"}}, {"leaseKey": {"S": SHARD_1}}], False)
@example([LEASE | {"leaseKey": {"S": "shardId-000000000001\n"}, "checkpoint": {"S": "TRIM_HORIZON"}}], False)
@example([LEASE, SESSION | {"entityType": {"S": "LEASE"}}], True)
@example([LEASE | {"parentShardId": {"SS": [LEASE["leaseKey"]["S"]]}}], False)
@example([SESSION | {"kclPyLeasesMax": {"N": "9" * 38}, "kclPyBeat": {"N": "9" * 38}}], False)
def test_a_worker_lives_beside_anything_that_others_write(hostile: list[Item], is_there_first: bool) -> None:
    run(life_beside(hostile, is_there_first=is_there_first))
