"""A worker's whole life through the SDKs themselves: start, a split, a stop, a start again; and any answer lost."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from kcl_py.events import (
    CheckpointWritten,
    LeaseWasLost,
    SessionLost,
    SessionRevoked,
    SessionStarted,
    ShardFinished,
    WorkerReady,
)
from tests.runtime.bench import SHARD_0, SHARD_1
from tests.sdk.dynamodb_in_process import DynamoDBInProcess
from tests.sdk.furnished_table import FurnishedTable
from tests.sdk.sdk_worker import SdkWorker, ServiceSite
from tests.sdk.wire import Fault, Kind
from tests.virtual_time import run

WRITES = frozenset(("CreateTable", "UpdateTable", "UpdateContinuousBackups", "PutItem", "UpdateItem", "DeleteItem"))
PATIENCE_SECONDS = 180.0
WRITES_MIN, WRITES_MAX = 20, 60  # of one life
SHARD_2 = "shardId-000000000002"


async def delivered(site: ServiceSite, count: int) -> None:
    """Wait until so many records were delivered; a lost answer may cost time."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(site.delivered) < count:
            await asyncio.sleep(0.25)


async def life(dynamodb: DynamoDBInProcess, stream_faults: Sequence[Fault] = ()) -> list[SdkWorker]:
    """Live once; every law that holds whatever was lost is checked. The two workers, gone by now."""
    site = ServiceSite(dynamodb)
    site.kinesis.wire.faults += stream_faults
    first = SdkWorker(site)
    put = site.put(10, key="a") + site.put(10, key="b")
    await delivered(site, 20)
    site.split()
    put += site.put(10, key="a") + site.put(10, key="b")
    await delivered(site, 40)
    await first.drain()
    before = await site.rows()
    put += site.put(10, key="a") + site.put(10, key="b")
    second = SdkWorker(site, worker_id="w2", seed=2)
    await delivered(site, 60)
    await second.drain()
    check_deliveries(site, put)
    for worker in (first, second):
        assert not worker.seen(LeaseWasLost)
        assert not worker.seen(SessionLost)
        # whoever lost the answer to its own entry joins with another; nobody beats the first one
        lived = {event.session for event in worker.seen(SessionStarted)}
        assert lived.isdisjoint(event.session for event in worker.seen(SessionRevoked))
        assert len(worker.seen(WorkerReady)) == 1
        assert "lease_lost" not in worker.calls
    after = await site.rows()
    assert set(after) == {SHARD_0, SHARD_1, SHARD_2}
    assert all(row.owner is None and row.held_by is None for row in after.values())
    assert after[SHARD_0].is_finished
    assert all(row.checkpoint > before[key].checkpoint for key, row in after.items() if key != SHARD_0)
    await site.onlooker.close()
    return [first, second]


def check_deliveries(site: ServiceSite, put: list[str]) -> None:
    """Nothing lost, nothing twice, each key in the order in which it was put, and all of it after the checkpoint."""
    assert sorted(site.payloads(), key=int) == put
    for tens in (0, 1):
        of_key = [int(payload) for payload in site.payloads() if int(payload) // 10 % 2 == tens]
        assert of_key == sorted(of_key)
    assert {shard for worker, shard, _, _ in site.delivered if worker == "w2"} == {SHARD_1, SHARD_2}
    assert site.payloads("w2") == sorted(put[40:], key=site.payloads("w2").index)


def test_a_worker_starts_follows_a_split_stops_and_goes_on_after_its_checkpoint(table: FurnishedTable):
    async def story():
        first, second = await life(table.dynamodb)
        assert [event.shard_id for event in first.seen(ShardFinished)] == [SHARD_0]
        assert {event.shard_id for event in second.seen(CheckpointWritten)} == {SHARD_1, SHARD_2}

    before = set(threading.enumerate())
    run(story())
    assert set(threading.enumerate()) == before
    assert {"CreateTable", "PutItem", "UpdateItem", "DeleteItem"} <= set(table.dynamodb.wire.sent)


@pytest.mark.parametrize(("kind", "stride"), [("answer lost", 1), ("read timeout", 7), ("request lost", 7)])
def test_a_life_with_each_write_of_the_table_lost_in_turn(table: FurnishedTable, kind: Kind, stride: int):
    for nth in range(1, WRITES_MAX, stride):
        table.restore()
        fault = Fault(kind=kind, operations=WRITES, nth=nth)
        table.dynamodb.wire.faults.append(fault)
        run(life(table.dynamodb))
        if not fault.hits:
            assert nth > WRITES_MIN
            return
    raise AssertionError("a life has more writes than were thought of")


@pytest.mark.parametrize("kind", ["throttled", "bad gateway", "answer lost", "dripping", "expired credentials"])
def test_a_life_with_every_call_to_the_stream_failing_now_and_then(table: FurnishedTable, kind: Kind):
    operations = ["GetRecords", "GetShardIterator"]
    if kind != "expired credentials":  # which is a mistake to be told of while a worker starts
        operations.append("ListShards")
    faults = [Fault(kind=kind, operations=frozenset({operation}), nth=3, times=2) for operation in operations]
    run(life(table.dynamodb, faults))
    assert {fault.hits for fault in faults} == {2}
