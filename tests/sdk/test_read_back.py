"""What the keeper concludes when the SDK gives it no answer: of a lease, of its session, of the lock (fleet.md, 3)."""

import asyncio
import random
from collections.abc import Callable

import pytest

from kcl_py.core.checkpoint import SHARD_END, Checkpoint
from kcl_py.core.leadership import LeaderLock
from kcl_py.core.lease import Binding, Change, Lease, Settlement, settle
from kcl_py.errors import ConditionFailed, LeaseLost, ServiceUnavailable
from kcl_py.events import Event, LeadershipLost, LeadershipTaken
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.fleet.leadership import Leadership
from kcl_py.runtime.heartbeat import Heartbeat, SessionEnded
from kcl_py.runtime.leases.held_lease import HeldLease
from tests.sdk.furnished_table import ANN, BOB, DONE, LOCK, ROW, FurnishedTable
from tests.sdk.wire import ERROR_OF_KIND, KINDS, UNAPPLIED, Fault, Kind
from tests.virtual_time import run

BINDING = Binding("arn:aws:kinesis:eu-west-1:123456789012:stream/orders@1700000000", "billing", None)
LOST_ANSWERS: tuple[Kind, ...] = tuple(kind for kind in KINDS if ERROR_OF_KIND[kind] is ServiceUnavailable)
APPLIED = tuple(kind for kind in LOST_ANSWERS if kind not in UNAPPLIED)
TYPICAL: tuple[Kind, ...] = ("answer lost", "read timeout", "request lost")
FAILOVER_SECONDS = 10.0
CHANGES: dict[str, Callable[[Lease], Change]] = {
    "pick-up": lambda row: row.picked_up(ANN, BINDING),
    "checkpoint": lambda row: row.checkpointed(Checkpoint("200", 3), 1.5),
    "prepared checkpoint": lambda row: row.prepared(Checkpoint("200"), b"state"),
    "caught up": lambda row: row.caught_up(1_700_000_000_000),
    "end": lambda row: row.ended(["shardId-2", "shardId-3"]),
    "release": lambda row: row.released(),
    "assignment": lambda row: row.assigned(BOB),
    "assignment with a checkpoint": lambda row: row.assigned(BOB).with_checkpoint(Checkpoint("200")),
    "binding": lambda row: row.bound(BINDING),
}


def held(table: FurnishedTable) -> HeldLease:
    return HeldLease(
        table.door, ROW, is_session_live=lambda: True, on_retry=lambda *_: None, on_recreated=lambda _: None
    )


def faulty(table: FurnishedTable, kind: Kind, operation: str, times: int = 1) -> Fault:
    fault = Fault(kind=kind, operations=frozenset({operation}), times=times)
    table.dynamodb.wire.faults.append(fault)
    return fault


@pytest.mark.parametrize(
    ("name", "kind"),
    [("checkpoint", kind) for kind in KINDS] + [(name, kind) for name in CHANGES for kind in TYPICAL],
)
def test_a_change_of_a_lease_lands_once_whatever_becomes_of_its_answer(table: FurnishedTable, name: str, kind: Kind):
    async def story():
        lease = held(table)
        fault = faulty(table, kind, "UpdateItem")
        after = CHANGES[name](ROW).after
        assert await lease.change(CHANGES[name]) == after
        assert await table.door.lease(ROW.key) == after
        assert not lease.is_over
        assert fault.hits == 1
        assert table.dynamodb.wire.sent.count("UpdateItem") == (2 if kind in UNAPPLIED else 1)

    run(story())


@pytest.mark.parametrize("kind", ["answer lost", "request lost"])
@pytest.mark.parametrize("name", CHANGES)
def test_a_consistent_read_tells_what_landed_what_did_not_and_what_a_rival_wrote(
    table: FurnishedTable, name: str, kind: Kind
):
    change = CHANGES[name](ROW)

    async def story():
        faulty(table, kind, "UpdateItem")
        with pytest.raises(ServiceUnavailable):
            await table.door.write(change)
        row = await table.door.lease(ROW.key)
        assert settle([change], row) is (Settlement.NOT_LANDED if kind in UNAPPLIED else Settlement.LANDED)
        assert row is not None
        await table.door.write(row.picked_up(BOB, BINDING))
        assert settle([change], await table.door.lease(ROW.key)) is Settlement.LOST

    run(story())


@pytest.mark.parametrize("kind", ["request lost", "read timeout"])
def test_a_lease_that_a_rival_took_before_the_read_back_is_lost(table: FurnishedTable, kind: Kind):
    async def story():
        lease = held(table)
        faulty(table, kind, "UpdateItem")

        async def rival() -> None:
            await asyncio.sleep(1)  # while we still wait for the answer
            row = await table.door.lease(ROW.key)
            assert row is not None
            await table.door.write(row.assigned(BOB))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(rival())
            with pytest.raises(LeaseLost):
                await lease.change(CHANGES["checkpoint"])
        assert lease.is_over
        row = await table.door.lease(ROW.key)
        assert row is not None
        assert row.owner == BOB
        assert row.checkpoint == (ROW.checkpoint if kind in UNAPPLIED else Checkpoint("200", 3))

    run(story())


@pytest.mark.parametrize("kind", ["request lost", "read timeout"])
def test_a_hand_off_that_is_opened_meanwhile_costs_neither_the_lease_nor_the_checkpoint(
    table: FurnishedTable, kind: Kind
):
    async def story():
        lease = held(table)
        faulty(table, kind, "UpdateItem")

        async def leader() -> None:
            await asyncio.sleep(1)
            row = await table.door.lease(ROW.key)
            assert row is not None
            await table.door.write(row.offered(BOB))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(leader())
            after = await lease.change(CHANGES["checkpoint"])
        assert (after.owner, after.checkpoint_owner, after.counter) == (BOB, ANN, ROW.counter + 1)
        assert await table.door.lease(ROW.key) == after
        assert after.checkpoint == Checkpoint("200", 3)

    run(story())


def test_a_read_back_that_fails_too_is_made_again(table: FurnishedTable):
    async def story():
        lease = held(table)
        faulty(table, "answer lost", "UpdateItem", times=3)
        faulty(table, "request lost", "GetItem", times=3)
        after = CHANGES["checkpoint"](ROW).after
        assert await lease.change(CHANGES["checkpoint"]) == after
        assert not lease.is_over

    run(story())


@pytest.mark.parametrize("kind", LOST_ANSWERS)
def test_a_row_is_created_and_deleted_once_whatever_becomes_of_the_answer(table: FurnishedTable, kind: Kind):
    new = Lease(key="shardId-9", owner=ANN, checkpoint=SHARD_END)

    async def story():
        faulty(table, kind, "PutItem")
        with pytest.raises(ServiceUnavailable):
            await table.door.create(new)
        assert await table.door.create(new) == (kind in UNAPPLIED)
        assert await table.door.lease(new.key) == new
        faulty(table, kind, "DeleteItem")
        with pytest.raises(ServiceUnavailable):
            await table.door.delete(new)
        if kind in UNAPPLIED:
            await table.door.delete(new)
        else:
            with pytest.raises(ConditionFailed):
                await table.door.delete(new)
        assert await table.door.lease(new.key) is None
        assert await table.door.lease(DONE.key) == DONE

    run(story())


def heartbeat_on(table: FurnishedTable) -> Heartbeat:
    return Heartbeat(
        table.door,
        worker_id="cat",
        process=None,
        failover_seconds=FAILOVER_SECONDS,
        clock=asyncio.get_running_loop().time,
        on_deadline=lambda _: None,
        on_trouble=lambda _: None,
        rng=random.Random(1),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_outlives_a_beat_without_an_answer_and_its_deadline_counts_from_the_first_sending(
    table: FurnishedTable, kind: Kind
):
    async def story():
        heartbeat = heartbeat_on(table)
        await heartbeat.join()
        await heartbeat.beat()
        key, beat = heartbeat.key, heartbeat.session.beat
        await asyncio.sleep(3)
        began = asyncio.get_running_loop().time()
        faulty(table, kind, "UpdateItem")
        await heartbeat.beat()
        assert heartbeat.deadline == pytest.approx(began + FAILOVER_SECONDS * 0.95)
        assert (heartbeat.key, heartbeat.session.beat) == (key, beat + 1)
        assert await table.door.session(key) == heartbeat.session
        faulty(table, kind, "UpdateItem")
        await heartbeat.leave()
        assert heartbeat.session.is_leaving
        assert await table.door.session(key) == heartbeat.session
        faulty(table, kind, "DeleteItem")
        await heartbeat.delete()
        assert await table.door.session(key) is None

    run(story())


@pytest.mark.parametrize("kind", APPLIED)
def test_a_revoked_session_does_not_take_the_lost_answer_for_its_own_beat(table: FurnishedTable, kind: Kind):
    async def story():
        heartbeat = heartbeat_on(table)
        await heartbeat.join()
        await heartbeat.beat()
        await table.door.write_session(heartbeat.session, heartbeat.session.revoked())
        faulty(table, kind, "UpdateItem")
        with pytest.raises(SessionEnded, match="revoked"):
            await heartbeat.beat()

    run(story())


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_whose_entry_got_no_answer_is_entered_all_the_same(table: FurnishedTable, kind: Kind):
    async def story():
        heartbeat = heartbeat_on(table)
        faulty(table, kind, "PutItem")
        expected = ERROR_OF_KIND[kind]
        if expected is not None and kind in ("expired credentials", "access denied"):
            with pytest.raises(expected):  # a permission that never was there is a mistake to be told of
                await heartbeat.join()
            return
        began = asyncio.get_running_loop().time()
        await heartbeat.join()
        assert await table.door.session(heartbeat.key) == heartbeat.session
        assert heartbeat.deadline == pytest.approx(began + FAILOVER_SECONDS * 0.95)

    run(story())


@pytest.mark.parametrize("kind", LOST_ANSWERS)
@pytest.mark.parametrize("before", [None, LOCK], ids=["free", "its holder is dead"])
def test_the_lock_is_taken_renewed_and_released_once_whatever_becomes_of_the_answers(
    table: FurnishedTable, before: LeaderLock | None, kind: Kind
):
    async def story():
        loop = asyncio.get_running_loop()
        events: list[Event] = []
        leadership = Leadership(
            table.door,
            failover_seconds=FAILOVER_SECONDS,
            clock=loop.time,
            emit=Emitter([events.append]),
            rng=random.Random(1),
        )
        if before is None:
            await table.door.write_leader_lock(LOCK, None)

        async def poll(operation: str, *, is_lost: bool) -> None:
            fault = faulty(table, kind, operation)
            try:
                await leadership.poll(BOB, lambda owner: owner == ANN)
            except ServiceUnavailable:
                assert is_lost
            assert fault.hits == is_lost
            table.dynamodb.wire.faults.clear()

        await poll("PutItem", is_lost=True)
        await poll("nothing", is_lost=False)
        assert leadership.is_leader
        await asyncio.sleep(FAILOVER_SECONDS / 3)
        await poll("UpdateItem", is_lost=True)
        await poll("nothing", is_lost=False)
        assert leadership.is_leader
        assert [type(event) for event in events] == [LeadershipTaken]
        lock = await table.door.leader_lock()
        assert lock is not None
        assert lock.owner == BOB
        faulty(table, kind, "DeleteItem")
        with pytest.raises(ServiceUnavailable):
            await leadership.release(BOB)
        await leadership.release(BOB)
        assert await table.door.leader_lock() is None
        assert [type(event) for event in events] == [LeadershipTaken, LeadershipLost]

    run(story())
