"""What every lease table promises: tested alike in memory, on our local endpoint and on AWS's DynamoDBLocal."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from kcl_py.aws.table_life import TableOptions
from kcl_py.core.checkpoint import AT_TIMESTAMP, LATEST, SHARD_END, TRIM_HORIZON, Checkpoint
from kcl_py.core.lease import Binding, Change, Lease, Settlement, settle
from kcl_py.core.session import Process, Session
from kcl_py.core.shard import HASH_KEY_MAX, HashRange
from kcl_py.core.table import TableKind, TableSnapshot
from kcl_py.errors import ConditionFailed, ServiceUnavailable, TableMissing, Throttled
from kcl_py.interfaces import LeaseTable
from kcl_py.local.faulty_lease_table import Fault, FaultyLeaseTable
from tests.dynamodb_services import TableUnderTest

KEY = "shardId-000000000000"
ANN, BOB = "ann@0123abcd", "bob@4567cdef"
BINDING = Binding("arn:aws:kinesis:eu-west-1:123456789012:stream/orders@1700000000", "billing", "table-id")
NEW = Lease(key=KEY, checkpoint=TRIM_HORIZON, hash_range=HashRange(0, HASH_KEY_MAX))
FULL = Lease(
    key="shardId-000000000007",
    owner=BOB,
    checkpoint_owner=ANN,
    counter=9_007_199_254_740_993,
    checkpoint=Checkpoint("49680450583880174408849527292378288784067753799774634066", 3),
    owner_switches=2,
    pending_checkpoint=Checkpoint("49680450583880174408849527292378288784067753799774634067", 1),
    pending_checkpoint_state=b"\x00\xffstate",
    parent_shard_ids=("shardId-000000000001", "shardId-000000000002"),
    child_shard_ids=("shardId-000000000008", "shardId-000000000009"),
    hash_range=HashRange(1, HASH_KEY_MAX - 1),
    held_by=ANN,
    start_at_ms=1_700_000_000_123,
    caught_up_at_ms=1_700_000_060_000,
    binding=BINDING,
    throughput_kbps=0.125,
)
PROCESS = Process(boot_id="2f1c", pid_namespace="4026531836", pid=17, started_ticks=12345)
SESSION = Session(key=ANN, process=PROCESS, updated_at_seconds=1_700_000_000)


@pytest.fixture
async def table(any_table: TableUnderTest) -> LeaseTable:
    door = any_table.door()
    await door.prepare()
    return door


async def held(table: LeaseTable, by: str = ANN) -> Lease:
    """A row that `by` created and picked up."""
    await table.create(NEW)
    change = NEW.picked_up(by, BINDING)
    await table.write(change)
    return change.after


class TestTheTable:
    async def test_reads_as_empty_before_it_exists(self, any_table: TableUnderTest) -> None:
        snapshot = await any_table.door().snapshot()
        assert snapshot == TableSnapshot()
        assert snapshot.kind == TableKind.FRESH

    async def test_refuses_rows_before_it_exists(self, any_table: TableUnderTest) -> None:
        with pytest.raises(TableMissing):
            await any_table.door().create(NEW)
        with pytest.raises(TableMissing):
            await any_table.door().lease(KEY)

    async def test_is_not_created_against_the_wish_of_those_who_provision_it(self, any_table: TableUnderTest) -> None:
        with pytest.raises(TableMissing, match="create_table"):
            await any_table.door(options=TableOptions(create_table=False)).prepare()

    async def test_keeps_its_id_and_rows_when_prepared_again(self, any_table: TableUnderTest) -> None:
        first, second = any_table.door(), any_table.door()
        table_id = await first.prepare()
        await first.create(NEW)
        assert await second.prepare() == table_id
        assert await second.lease(KEY) == NEW

    async def test_is_prepared_by_several_workers_at_once(self, any_table: TableUnderTest) -> None:
        doors = [any_table.door() for _ in range(4)]
        assert len(set(await asyncio.gather(*(door.prepare() for door in doors)))) == 1


class TestARow:
    @pytest.mark.parametrize(
        "lease",
        [
            NEW,
            FULL,
            Lease(key=KEY, checkpoint=LATEST, start_at_ms=1),
            Lease(key=KEY, checkpoint=AT_TIMESTAMP, start_at_ms=0, binding=Binding("arn@1", "billing", None)),
            Lease(key=KEY, checkpoint=SHARD_END, child_shard_ids=("shardId-000000000001",)),
            Lease(key=KEY, checkpoint=TRIM_HORIZON, hash_range=HashRange(5, 5), pending_checkpoint_state=b""),
        ],
    )
    async def test_is_read_as_it_was_created(self, table: LeaseTable, lease: Lease) -> None:
        assert await table.create(lease)
        assert await table.lease(lease.key) == lease
        assert (await table.snapshot()).leases == (lease,)

    async def test_that_is_absent_reads_as_none(self, table: LeaseTable) -> None:
        assert await table.lease(KEY) is None

    async def test_is_created_once(self, table: LeaseTable) -> None:
        assert await table.create(NEW)
        assert not await table.create(msgspec.structs.replace(NEW, checkpoint=SHARD_END))
        assert await table.lease(KEY) == NEW

    async def test_becomes_what_each_transition_says(self, table: LeaseTable) -> None:
        await table.create(NEW)
        transitions: list[Callable[[Lease], Change]] = [
            lambda row: row.picked_up(ANN, BINDING),
            lambda row: row.checkpointed(Checkpoint("100", 2)),
            lambda row: row.prepared(Checkpoint("200"), b"state"),
            lambda row: row.prepared(Checkpoint("300"), None),
            lambda row: row.checkpointed(Checkpoint("300")),
            lambda row: row.caught_up(1_700_000_000_000),
            lambda row: row.released(),
            lambda row: row.picked_up(BOB, BINDING),
            lambda row: row.bound(msgspec.structs.replace(BINDING, table_id=None)),
            lambda row: row.ended(["shardId-000000000002", "shardId-000000000001"]),
        ]
        row: Lease | None = NEW
        for transition in transitions:
            assert row is not None
            change = transition(row)
            await table.write(change)
            row = await table.lease(KEY)
            assert row == change.after

    @pytest.mark.parametrize(
        "seen",
        [
            {"owner": BOB},
            {"owner": None},
            {"checkpoint_owner": BOB},
            {"counter": 0},
            {"counter": 2},
            {"key": "shardId-000000000001"},
        ],
    )
    async def test_is_not_written_unless_it_is_as_seen(self, table: LeaseTable, seen: dict[str, object]) -> None:
        row = await held(table)
        with pytest.raises(ConditionFailed):
            await table.write(msgspec.structs.replace(row, **seen).checkpointed(Checkpoint("100")))
        assert (await table.snapshot()).leases == (row,)

    async def test_that_was_deleted_is_not_written_into_being(
        self, any_table: TableUnderTest, table: LeaseTable
    ) -> None:
        row = await held(table)
        any_table.delete(KEY)
        with pytest.raises(ConditionFailed):
            await table.write(row.checkpointed(Checkpoint("100")))
        assert await table.lease(KEY) is None

    async def test_that_vanished_is_created_again_above_its_old_counter(
        self, any_table: TableUnderTest, table: LeaseTable
    ) -> None:
        row = await held(table)
        any_table.delete(KEY)
        assert await table.create(row.recreated())
        with pytest.raises(ConditionFailed):
            await table.write(row.checkpointed(Checkpoint("100")))
        assert await table.lease(KEY) == row.recreated()

    async def test_keeps_what_others_wrote_beside_the_change(
        self, any_table: TableUnderTest, table: LeaseTable
    ) -> None:
        row = await held(table)
        any_table.backfill(KEY, HashRange(1, 2))
        await table.write(row.checkpointed(Checkpoint("100")))
        found = await table.lease(KEY)
        assert found == msgspec.structs.replace(row.checkpointed(Checkpoint("100")).after, hash_range=HashRange(1, 2))


class TestARace:
    ROUNDS = 20
    WRITERS = 50

    async def test_of_fifty_writers_has_one_winner(self, any_table: TableUnderTest) -> None:
        with ThreadPoolExecutor(self.WRITERS) as executor:
            table = any_table.door(executor=executor)
            await table.prepare()
            await table.create(NEW)
            for _ in range(self.ROUNDS):
                row = await table.lease(KEY)
                assert row is not None
                changes = [row.picked_up(f"worker-{number}@0123abcd", BINDING) for number in range(self.WRITERS)]
                outcomes = await asyncio.gather(*map(table.write, changes), return_exceptions=True)
                winners = [change for change, outcome in zip(changes, outcomes, strict=True) if outcome is None]
                assert len(winners) == 1
                assert sum(isinstance(outcome, ConditionFailed) for outcome in outcomes) == self.WRITERS - 1
                assert await table.lease(KEY) == winners[0].after

    async def test_to_create_a_row_has_one_winner(self, table: LeaseTable) -> None:
        rows = [msgspec.structs.replace(NEW, owner_switches=number) for number in range(self.WRITERS)]
        created = await asyncio.gather(*map(table.create, rows))
        assert created.count(True) == 1
        assert await table.lease(KEY) == rows[created.index(True)]

    async def test_to_beat_one_session_has_one_winner(self, table: LeaseTable) -> None:
        await table.write_session(None, SESSION)
        afters = [SESSION.beaten(number) for number in range(self.WRITERS)]
        outcomes = await asyncio.gather(
            *(table.write_session(SESSION, after) for after in afters), return_exceptions=True
        )
        assert outcomes.count(None) == 1
        assert await table.session(ANN) == afters[outcomes.index(None)]


class TestTheIndex:
    async def test_names_the_rows_of_an_owner(self, table: LeaseTable) -> None:
        for number, owner in enumerate([ANN, BOB, None, ANN]):
            await table.create(Lease(key=f"shardId-{number}", owner=owner, checkpoint=TRIM_HORIZON))
        await table.write_session(None, SESSION)
        assert await table.lease_keys_of(ANN) == ("shardId-0", "shardId-3")
        assert await table.lease_keys_of("nobody@0123abcd") == ()

    async def test_follows_a_change_of_owner(self, table: LeaseTable) -> None:
        row = await held(table)
        await table.write(row.released())
        assert await table.lease_keys_of(ANN) == ()

    async def test_names_the_receiver_of_a_hand_off(self, table: LeaseTable) -> None:
        await table.create(FULL)
        assert await table.lease_keys_of(BOB) == (FULL.key,)
        assert await table.lease_keys_of(ANN) == ()


class TestASession:
    @pytest.mark.parametrize("session", [SESSION, Session(key=ANN), Session(key=ANN, beat=7, is_leaving=True)])
    async def test_is_read_as_it_was_written(self, table: LeaseTable, session: Session) -> None:
        await table.write_session(None, session)
        assert await table.session(ANN) == session
        assert (await table.snapshot()).sessions == (session,)

    async def test_that_is_absent_reads_as_none(self, table: LeaseTable) -> None:
        assert await table.session(ANN) is None

    async def test_is_created_once(self, table: LeaseTable) -> None:
        await table.write_session(None, SESSION)
        with pytest.raises(ConditionFailed):
            await table.write_session(None, SESSION.beaten(1))
        assert await table.session(ANN) == SESSION

    async def test_becomes_what_each_transition_says(self, table: LeaseTable) -> None:
        await table.write_session(None, SESSION)
        beaten = SESSION.beaten(1_700_000_003)
        for before, after in ((SESSION, beaten), (beaten, beaten.leaving()), (beaten.leaving(), beaten.revoked())):
            await table.write_session(before, after)
            assert await table.session(ANN) == after

    async def test_does_not_beat_from_an_old_beat(self, table: LeaseTable) -> None:
        await table.write_session(None, SESSION)
        await table.write_session(SESSION, SESSION.beaten(1))
        with pytest.raises(ConditionFailed):
            await table.write_session(SESSION, SESSION.beaten(2))

    async def test_that_was_revoked_does_not_beat_again(self, table: LeaseTable) -> None:
        await table.write_session(None, SESSION)
        await table.write_session(SESSION, SESSION.revoked())
        with pytest.raises(ConditionFailed):
            await table.write_session(SESSION, SESSION.beaten(1))
        assert await table.session(ANN) == SESSION.revoked()

    async def test_is_not_revoked_when_it_has_beaten_since(self, table: LeaseTable) -> None:
        await table.write_session(None, SESSION)
        await table.write_session(SESSION, SESSION.beaten(1))
        with pytest.raises(ConditionFailed):
            await table.write_session(SESSION, SESSION.revoked())

    async def test_is_written_as_it_stands_if_nothing_differs(self, table: LeaseTable) -> None:
        await table.write_session(None, SESSION)
        await table.write_session(SESSION, SESSION)
        with pytest.raises(ConditionFailed):
            await table.write_session(SESSION.beaten(1), SESSION.beaten(1))
        assert await table.session(ANN) == SESSION

    @pytest.mark.parametrize("stale", [SESSION.beaten(1), SESSION.revoked()])
    async def test_is_deleted_only_as_seen(self, table: LeaseTable, stale: Session) -> None:
        await table.write_session(None, SESSION)
        with pytest.raises(ConditionFailed):
            await table.write_session(stale, None)
        await table.write_session(SESSION, None)
        assert await table.session(ANN) is None

    async def test_that_was_revoked_is_deleted_as_such(self, table: LeaseTable) -> None:
        await table.write_session(None, SESSION)
        await table.write_session(SESSION, SESSION.revoked())
        with pytest.raises(ConditionFailed):
            await table.write_session(SESSION, None)
        await table.write_session(SESSION.revoked(), None)
        assert (await table.snapshot()).sessions == ()

    async def test_is_not_written_into_being_by_a_beat(self, table: LeaseTable) -> None:
        with pytest.raises(ConditionFailed):
            await table.write_session(SESSION, SESSION.beaten(1))
        assert await table.session(ANN) is None

    async def test_does_not_overwrite_a_row_of_the_same_key(self, table: LeaseTable) -> None:
        await table.create(NEW)
        with pytest.raises(ConditionFailed):
            await table.write_session(None, Session(key=KEY))
        assert await table.lease(KEY) == NEW


class TestALostAnswer:
    """An unknown outcome is settled by a consistent read (fleet.md, section 3)."""

    async def attempt(self, table: LeaseTable, change: Change) -> Settlement:
        with pytest.raises(ServiceUnavailable):
            await table.write(change)
        return settle([change], await table.lease(change.before.key))

    async def test_of_a_write_that_was_applied_is_found_in_the_row(self, table: LeaseTable) -> None:
        row = await held(table)
        faulty = FaultyLeaseTable(table, [Fault(kind="lose_answer", operation="write")])
        assert await self.attempt(faulty, row.checkpointed(Checkpoint("100"))) == Settlement.LANDED

    async def test_of_a_write_that_never_arrived_allows_another_try(self, table: LeaseTable) -> None:
        row = await held(table)
        faulty = FaultyLeaseTable(table, [Fault(kind="fail", operation="write", nth=1)])
        change = row.checkpointed(Checkpoint("100"))
        assert await self.attempt(faulty, change) == Settlement.NOT_LANDED
        await faulty.write(change)
        assert await table.lease(KEY) == change.after

    async def test_that_somebody_else_wrote_over_ends_the_epoch(self, table: LeaseTable) -> None:
        row = await held(table)
        faulty = FaultyLeaseTable(table, [Fault(kind="fail", operation="write")])
        await table.write(row.picked_up(BOB, BINDING))
        assert await self.attempt(faulty, row.checkpointed(Checkpoint("100"))) == Settlement.LOST

    async def test_of_a_row_that_vanished_ends_the_epoch(self, any_table: TableUnderTest, table: LeaseTable) -> None:
        row = await held(table)
        any_table.delete(KEY)
        faulty = FaultyLeaseTable(table, [Fault(kind="fail", operation="write")])
        assert await self.attempt(faulty, row.checkpointed(Checkpoint("100"))) == Settlement.LOST

    async def test_of_a_creation_shows_when_it_is_tried_again(self, table: LeaseTable) -> None:
        faulty = FaultyLeaseTable(table, [Fault(kind="lose_answer", operation="create", nth=1)])
        with pytest.raises(ServiceUnavailable):
            await faulty.create(NEW)
        assert not await faulty.create(NEW)
        assert await faulty.lease(KEY) == NEW

    async def test_of_a_beat_is_found_in_the_entry(self, table: LeaseTable) -> None:
        await table.write_session(None, SESSION)
        faulty = FaultyLeaseTable(table, [Fault(kind="lose_answer", operation="write_session", key=ANN)])
        with pytest.raises(ServiceUnavailable):
            await faulty.write_session(SESSION, SESSION.beaten(5))
        assert await table.session(ANN) == SESSION.beaten(5)

    async def test_is_no_throttling_which_leaves_the_row_alone(self, table: LeaseTable) -> None:
        row = await held(table)
        faulty = FaultyLeaseTable(table, [Fault(kind="throttle", operation="write", times=1)])
        with pytest.raises(Throttled):
            await faulty.write(row.checkpointed(Checkpoint("100")))
        assert await table.lease(KEY) == row


async def test_a_silent_foreign_worker_has_the_same_pulse_and_a_living_one_another(table: LeaseTable) -> None:
    row = Lease(key=KEY, owner="java-worker", checkpoint=TRIM_HORIZON, counter=4)
    await table.create(row)
    await held_elsewhere(table)
    silent = await table.foreign_pulse()
    assert len(silent) == 1
    assert await table.foreign_pulse() == silent
    await table.write(row.checkpointed(Checkpoint("100")))
    assert await table.foreign_pulse() != silent


async def held_elsewhere(table: LeaseTable) -> None:
    """A row and a session of ours, which are no part of a foreign pulse."""
    await table.create(Lease(key="shardId-000000000009", owner=BOB, checkpoint=TRIM_HORIZON))
    await table.write_session(None, SESSION)


async def test_one_door_serves_two_event_loops(table: LeaseTable) -> None:
    async def write_rows(first: int) -> None:
        await asyncio.gather(
            *(table.create(Lease(key=f"shardId-{first + number}", checkpoint=TRIM_HORIZON)) for number in range(10))
        )

    other = threading.Thread(target=lambda: asyncio.run(write_rows(100)))
    other.start()
    await write_rows(0)
    await asyncio.to_thread(other.join)
    assert len((await table.snapshot()).leases) == 20
