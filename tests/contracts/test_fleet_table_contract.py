"""What a fleet needs from every lease table: hand-offs beside the holder, deletions, many entries, the leader lock."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from kcl_py.core.checkpoint import SHARD_END, TRIM_HORIZON, Checkpoint
from kcl_py.core.leadership import LeaderLock
from kcl_py.core.lease import Binding, Change, Lease, Settlement, settle
from kcl_py.core.session import Session
from kcl_py.errors import ConditionFailed, RowUnreadable, ServiceUnavailable, TableMissing
from kcl_py.interfaces import LeaseTable
from kcl_py.local.faulty_lease_table import Fault, FaultyLeaseTable
from tests.dynamodb_services import TableUnderTest

KEY = "shardId-000000000000"
ANN, BOB, CAT = "ann@0123abcd", "bob@4567cdef", "cat@89abef01"
BINDING = Binding("arn:aws:kinesis:eu-west-1:123456789012:stream/orders@1700000000", "billing", "table-id")
NEW = Lease(key=KEY, checkpoint=TRIM_HORIZON)
FINISHED = Lease(
    key=KEY, owner=BOB, checkpoint_owner=ANN, counter=7, checkpoint=SHARD_END, child_shard_ids=("shardId-1",)
)
LOCK = LeaderLock(owner=ANN, version="version-1", duration_ms=10_000, standby=BOB)
WRITERS = 50


@pytest.fixture
async def table(any_table: TableUnderTest) -> LeaseTable:
    door = any_table.door()
    await door.prepare()
    return door


async def held(table: LeaseTable) -> Lease:
    """A row that Ann created and picked up."""
    await table.create(NEW)
    change = NEW.picked_up(ANN, BINDING)
    await table.write(change)
    return change.after


async def found(table: LeaseTable) -> Lease:
    row = await table.lease(KEY)
    assert row is not None
    return row


def taken(by: str, version: str) -> LeaderLock:
    """What a new leader writes, which knows of no standby yet."""
    return LeaderLock(owner=by, version=version, duration_ms=10_000)


class TestAHandOff:
    async def test_becomes_what_each_step_says(self, table: LeaseTable) -> None:
        row = await held(table)
        steps: list[Callable[[Lease], Change]] = [
            lambda row: row.offered(BOB),
            lambda row: row.readdressed(CAT),
            lambda row: row.taken_back(),
            lambda row: row.offered(BOB),
            lambda row: row.handed_over().with_checkpoint(Checkpoint("100")),
            lambda row: row.picked_up(BOB, BINDING),
        ]
        for step in steps:
            change = step(row)
            await table.write(change)
            row = await found(table)
            assert row == change.after
        assert row.owner_switches == 0

    async def test_starts_without_touching_the_holders_counter(self, table: LeaseTable) -> None:
        row = await held(table)
        await table.write(row.offered(BOB))
        assert (await found(table)).counter == row.counter
        assert await table.lease_keys_of(BOB) == (KEY,)
        assert await table.lease_keys_of(ANN) == ()

    async def test_leaves_the_holders_next_checkpoint_valid(self, table: LeaseTable) -> None:
        row = await held(table)
        await table.write(row.offered(BOB))
        checkpoint = row.checkpointed(Checkpoint("100"))
        with pytest.raises(ConditionFailed):  # which is how the holder learns of it
            await table.write(checkpoint)
        await table.write(checkpoint.guarded_by(await found(table)))
        after = await found(table)
        assert (after.owner, after.checkpoint_owner, after.held_by) == (BOB, ANN, ANN)
        assert (after.counter, after.checkpoint) == (row.counter + 1, Checkpoint("100"))

    async def test_starts_though_the_holder_made_progress_since(self, table: LeaseTable) -> None:
        row = await held(table)
        progress = row.checkpointed(Checkpoint("100"))
        await table.write(progress)
        await table.write(row.offered(BOB))
        assert await found(table) == msgspec.structs.replace(progress.after, owner=BOB, checkpoint_owner=ANN)

    async def test_is_readdressed_though_the_holder_made_progress_since(self, table: LeaseTable) -> None:
        row = await held(table)
        offered = row.offered(BOB)
        await table.write(offered)
        progress = offered.after.checkpointed(Checkpoint("100"))
        await table.write(progress)
        await table.write(offered.after.readdressed(CAT))
        assert await found(table) == msgspec.structs.replace(progress.after, owner=CAT)

    @pytest.mark.parametrize(
        "meanwhile",
        [
            lambda row: row.released(),
            lambda row: row.assigned(CAT),
            lambda row: row.assigned(ANN),  # assigned anew and not picked up: only who holds the row tells
            lambda row: row.offered(CAT),
        ],
    )
    async def test_does_not_start_once_the_holder_changed(
        self, table: LeaseTable, meanwhile: Callable[[Lease], Change]
    ) -> None:
        row = await held(table)
        await table.write(meanwhile(row))
        with pytest.raises(ConditionFailed):
            await table.write(row.offered(BOB))
        assert await found(table) == meanwhile(row).after

    async def test_is_not_readdressed_once_it_was_completed(self, table: LeaseTable) -> None:
        row = await held(table)
        offered = row.offered(BOB).after
        await table.write(row.offered(BOB))
        await table.write(offered.handed_over())
        with pytest.raises(ConditionFailed):
            await table.write(offered.readdressed(CAT))

    async def test_of_a_row_that_was_deleted_is_not_written_into_being(
        self, any_table: TableUnderTest, table: LeaseTable
    ) -> None:
        row = await held(table)
        any_table.delete(KEY)
        with pytest.raises(ConditionFailed):
            await table.write(row.offered(BOB))
        assert await table.lease(KEY) is None

    async def test_that_two_leaders_start_at_once_has_one_receiver(self, table: LeaseTable) -> None:
        row = await held(table)
        offers = [row.offered(f"worker-{number}@0123abcd") for number in range(WRITERS)]
        outcomes = await asyncio.gather(*map(table.write, offers), return_exceptions=True)
        assert outcomes.count(None) == 1
        assert await found(table) == offers[outcomes.index(None)].after


class TestThroughput:
    async def test_is_kept_with_progress_and_without_a_reading_left_as_it_was(self, table: LeaseTable) -> None:
        row = await held(table)
        progress = row.checkpointed(Checkpoint("100"), throughput_kbps=1234.567)
        await table.write(progress)
        assert (await found(table)).throughput_kbps == 1234.567
        await table.write(progress.after.checkpointed(Checkpoint("200")))
        assert (await found(table)).throughput_kbps == 1234.567

    async def test_does_not_keep_a_lost_answer_from_being_settled(self, table: LeaseTable) -> None:
        row = await held(table)
        change = row.checkpointed(Checkpoint("100"), throughput_kbps=0.125)
        faulty = FaultyLeaseTable(table, [Fault(kind="lose_answer", operation="write")])
        with pytest.raises(ServiceUnavailable):
            await faulty.write(change)
        assert settle([change], await table.lease(KEY)) == Settlement.LANDED


class TestADeletion:
    async def test_of_a_finished_row_that_is_as_seen_happens_once(self, table: LeaseTable) -> None:
        await table.create(FINISHED)
        await table.delete(FINISHED)
        assert await table.lease(KEY) is None
        with pytest.raises(ConditionFailed):
            await table.delete(FINISHED)

    @pytest.mark.parametrize(
        "seen",
        [
            {"owner": ANN},
            {"owner": None},
            {"checkpoint_owner": None},
            {"checkpoint_owner": CAT},
            {"counter": 6},
            {"counter": 8},
            {"key": "shardId-000000000001"},
        ],
    )
    async def test_of_a_row_that_changed_is_refused(self, table: LeaseTable, seen: dict[str, object]) -> None:
        await table.create(FINISHED)
        with pytest.raises(ConditionFailed):
            await table.delete(msgspec.structs.replace(FINISHED, **seen))
        assert await table.lease(KEY) == FINISHED

    async def test_of_an_unfinished_row_is_refused_whatever_was_seen(self, table: LeaseTable) -> None:
        row = msgspec.structs.replace(FINISHED, checkpoint=Checkpoint("100"))
        await table.create(row)
        for seen in (row, FINISHED):
            with pytest.raises(ConditionFailed):
                await table.delete(seen)
        assert await table.lease(KEY) == row

    async def test_of_an_unowned_row_needs_it_to_be_unowned_still(self, table: LeaseTable) -> None:
        row = Lease(key=KEY, counter=3, checkpoint=SHARD_END)
        await table.create(row)
        with pytest.raises(ConditionFailed):
            await table.delete(msgspec.structs.replace(row, owner=ANN))
        await table.delete(row)
        assert (await table.snapshot()).leases == ()


class TestEntriesReadTogether:
    async def test_are_those_that_exist_sorted_by_key(self, table: LeaseTable) -> None:
        sessions = [Session(key=key, beat=number, leases_max=number) for number, key in enumerate((CAT, ANN, BOB))]
        for session in sessions:
            await table.write_session(None, session)
        assert await table.sessions([BOB, "dan@01234567", CAT, BOB]) == (sessions[2], sessions[0])
        assert await table.sessions(iter([])) == ()

    async def test_are_no_rows_and_nothing_odd(self, any_table: TableUnderTest, table: LeaseTable) -> None:
        await table.create(NEW)
        await table.write_session(None, Session(key=ANN))
        any_table.spoil(BOB)
        assert await table.sessions([KEY, ANN, BOB]) == (Session(key=ANN),)
        with pytest.raises(RowUnreadable, match=BOB):
            await table.session(BOB)

    async def test_may_be_more_than_one_request_takes(self, table: LeaseTable) -> None:
        sessions = tuple(Session(key=f"worker-{number:03}@0123abcd", beat=number) for number in range(230))
        await asyncio.gather(*(table.write_session(None, session) for session in sessions))
        assert await table.sessions([session.key for session in sessions]) == sessions

    async def test_of_a_table_that_does_not_exist_are_refused(self, any_table: TableUnderTest) -> None:
        with pytest.raises(TableMissing):
            await any_table.door().sessions([ANN])

    @pytest.mark.parametrize(
        "session",
        [
            Session(key=ANN, leases_max=0),
            Session(key=ANN, leases_max=12, cpu_percents=(12.5, -1, 100)),
            Session(key=ANN, cpu_percents=(0.125,)),
        ],
    )
    async def test_say_how_much_a_worker_can_take(self, table: LeaseTable, session: Session) -> None:
        await table.write_session(None, session)
        assert await table.sessions([ANN]) == (session,)
        bare = Session(key=ANN, beat=1)
        await table.write_session(session, bare)
        assert await table.session(ANN) == bare


class TestTheLeaderLock:
    async def test_that_is_absent_reads_as_none(self, table: LeaseTable) -> None:
        assert await table.leader_lock() is None
        assert (await table.snapshot()).lock is None

    @pytest.mark.parametrize("lock", [LOCK, taken(BOB, "v"), msgspec.structs.replace(LOCK, is_released=True)])
    async def test_is_read_as_it_was_written(self, table: LeaseTable, lock: LeaderLock) -> None:
        await table.write_leader_lock(None, lock)
        assert await table.leader_lock() == lock
        snapshot = await table.snapshot()
        assert snapshot.lock == lock
        assert (snapshot.leases, snapshot.odd_rows, snapshot.foreign_entries) == ((), (), ())

    async def test_is_created_once(self, table: LeaseTable) -> None:
        await table.write_leader_lock(None, LOCK)
        with pytest.raises(ConditionFailed):
            await table.write_leader_lock(None, taken(BOB, "version-2"))
        assert await table.leader_lock() == LOCK

    async def test_is_renewed_with_its_standby_or_without(self, table: LeaseTable) -> None:
        await table.write_leader_lock(None, LOCK)
        lock = LOCK
        for number, (standby, duration_ms) in enumerate([(BOB, 10_000), (None, 9_000), (CAT, 9_000)]):
            renewed = msgspec.structs.replace(
                lock, version=f"renewed-{number}", standby=standby, duration_ms=duration_ms
            )
            await table.write_leader_lock(lock, renewed)
            assert await table.leader_lock() == renewed
            lock = renewed

    async def test_taken_from_somebody_else_forgets_their_standby(self, table: LeaseTable) -> None:
        await table.write_leader_lock(None, LOCK)
        await table.write_leader_lock(LOCK, taken(CAT, "version-2"))
        assert await table.leader_lock() == taken(CAT, "version-2")

    @pytest.mark.parametrize("seen", [{"version": "version-0"}, {"owner": BOB}])
    @pytest.mark.parametrize("after", [msgspec.structs.replace(LOCK, version="2"), taken(CAT, "2"), taken(BOB, "2")])
    async def test_is_neither_renewed_nor_taken_nor_deleted_unless_it_is_as_seen(
        self, table: LeaseTable, seen: dict[str, str], after: LeaderLock
    ) -> None:
        await table.write_leader_lock(None, LOCK)
        stale = msgspec.structs.replace(LOCK, **seen)
        for wanted in (after, None):
            with pytest.raises(ConditionFailed):
                await table.write_leader_lock(stale, wanted)
        assert await table.leader_lock() == LOCK

    async def test_that_vanished_is_not_renewed_into_being(self, table: LeaseTable) -> None:
        for after in (msgspec.structs.replace(LOCK, version="2"), taken(CAT, "2"), None):
            with pytest.raises(ConditionFailed):
                await table.write_leader_lock(LOCK, after)
        assert await table.leader_lock() is None

    async def test_is_deleted_as_seen(self, table: LeaseTable) -> None:
        await table.write_leader_lock(None, LOCK)
        await table.write_leader_lock(LOCK, None)
        assert await table.leader_lock() is None
        await table.write_leader_lock(None, taken(BOB, "version-2"))

    @pytest.mark.parametrize("by", [ANN, CAT])
    async def test_that_was_released_is_anybodys_even_the_releasers(self, table: LeaseTable, by: str) -> None:
        await table.write_leader_lock(None, LOCK)
        released = msgspec.structs.replace(LOCK, is_released=True)
        await table.write_leader_lock(LOCK, released)
        assert await table.leader_lock() == released
        await table.write_leader_lock(released, taken(by, "version-2"))
        assert await table.leader_lock() == taken(by, "version-2")

    async def test_is_not_taken_as_released_if_it_is_not(self, table: LeaseTable) -> None:
        await table.write_leader_lock(None, LOCK)
        with pytest.raises(ConditionFailed):
            await table.write_leader_lock(msgspec.structs.replace(LOCK, is_released=True), taken(CAT, "version-2"))
        assert await table.leader_lock() == LOCK

    async def test_that_does_not_parse_is_called_that(self, any_table: TableUnderTest, table: LeaseTable) -> None:
        any_table.spoil("Leader")
        with pytest.raises(RowUnreadable, match=r"[Ll]eader"):
            await table.leader_lock()
        with pytest.raises(ConditionFailed):
            await table.write_leader_lock(None, LOCK)
        snapshot = await table.snapshot()
        assert snapshot.lock is None
        assert [row.key for row in snapshot.odd_rows] == ["Leader"]

    async def test_of_a_table_that_does_not_exist_is_refused(self, any_table: TableUnderTest) -> None:
        with pytest.raises(TableMissing):
            await any_table.door().leader_lock()
        with pytest.raises(TableMissing):
            await any_table.door().write_leader_lock(None, LOCK)

    async def test_of_a_java_worker_is_read_and_is_foreign_until_it_is_taken(
        self, any_table: TableUnderTest, table: LeaseTable
    ) -> None:
        java = LeaderLock(owner="java-worker", version="4f7c", duration_ms=120_000)
        any_table.put_leader_lock(java)
        assert await table.leader_lock() == java
        snapshot = await table.snapshot()
        assert (snapshot.lock, snapshot.foreign_entries) == (java, ("Leader",))
        await table.write_leader_lock(java, LOCK)
        snapshot = await table.snapshot()
        assert (snapshot.lock, snapshot.foreign_entries) == (LOCK, ())

    async def test_is_in_the_foreign_pulse_only_while_a_java_worker_has_it(
        self, any_table: TableUnderTest, table: LeaseTable
    ) -> None:
        await table.write_leader_lock(None, LOCK)
        assert await table.foreign_pulse() == {}
        pulses = []
        for version in ("a", "b", "b"):
            any_table.put_leader_lock(LeaderLock(owner="java-worker", version=version, duration_ms=120_000))
            pulses.append(dict(await table.foreign_pulse()))
        assert pulses[0] != pulses[1] == pulses[2] != {}

    async def test_whose_answer_got_lost_is_found_in_the_table(self, table: LeaseTable) -> None:
        faulty = FaultyLeaseTable(table, [Fault(kind="lose_answer", operation="write_leader_lock")])
        with pytest.raises(ServiceUnavailable):
            await faulty.write_leader_lock(None, LOCK)
        assert await table.leader_lock() == LOCK


class TestARaceForTheLock:
    @pytest.mark.parametrize(
        "before",
        [
            None,
            taken("java-worker", "4f7c"),
            taken(CAT, "version-1"),
            msgspec.structs.replace(taken(CAT, "version-1"), is_released=True),
        ],
    )
    async def test_of_fifty_workers_has_one_winner(self, any_table: TableUnderTest, before: LeaderLock | None) -> None:
        with ThreadPoolExecutor(1) as executor:
            tables = [any_table.door(executor=executor) for _ in range(5)]
            await tables[0].prepare()
            if before is not None:
                any_table.put_leader_lock(before)
            locks = [taken(f"worker-{number}@0123abcd", f"version-{number}") for number in range(WRITERS)]
            outcomes = await asyncio.gather(
                *(tables[number % 5].write_leader_lock(before, lock) for number, lock in enumerate(locks)),
                return_exceptions=True,
            )
            assert outcomes.count(None) == 1
            assert sum(isinstance(outcome, ConditionFailed) for outcome in outcomes) == WRITERS - 1
            assert await tables[0].leader_lock() == locks[outcomes.index(None)]

    async def test_between_its_holder_and_its_standby_has_one_winner(self, table: LeaseTable) -> None:
        await table.write_leader_lock(None, LOCK)
        lock = LOCK
        for number in range(20):
            rivals = [
                msgspec.structs.replace(lock, version=f"renewed-{number}"),
                taken(BOB if lock.owner == ANN else ANN, f"taken-{number}"),
                None,
            ]
            outcomes = await asyncio.gather(
                *(table.write_leader_lock(lock, rival) for rival in rivals), return_exceptions=True
            )
            assert outcomes.count(None) == 1
            winner = rivals[outcomes.index(None)]
            assert await table.leader_lock() == winner
            if winner is None:
                winner = taken(ANN, f"anew-{number}")
                await table.write_leader_lock(None, winner)
            lock = winner
