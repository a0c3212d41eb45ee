"""What an observer makes of the entries: whom it calls dead, and what it needs to say so."""

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec

from kcl_py.core.checkpoint import TRIM_HORIZON
from kcl_py.core.leadership import LeaderLock
from kcl_py.core.lease import Lease
from kcl_py.core.session import Process, Session
from kcl_py.events import Event, SameWorkerId, SessionRevoked
from kcl_py.local.memory_lease_table import MemoryLeaseTable
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.fleet.observer import DELETIONS_MAX, FORGET_REVOKED_SECONDS, READS_AT_ONCE, Observer
from tests.virtual_time import run

F = 10.0
ME, OTHER, THIRD = "me@00000001", "other@00000002", "third@00000003"
HERE = Process(boot_id="boot", pid_namespace="1", pid=1, started_ticks=1)


class StaleTable(MemoryLeaseTable):
    """Reads of many entries at once may show an earlier state, or leave one out."""

    def __init__(self) -> None:
        super().__init__(exists=True)
        self.stale: dict[str, Session] = {}
        self.left_out: set[str] = set()

    async def sessions(self, keys: Iterable[str]) -> tuple[Session, ...]:
        read = await super().sessions(keys)
        return tuple(self.stale.get(one.key, one) for one in read if one.key not in self.left_out)


class Watcher:
    """An observer, and the sessions that it watches."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.table = StaleTable()
        self.gone: set[Process | None] = set()
        self.events: list[Event] = []
        self.observer = Observer(
            self.table,
            failover_seconds=F,
            is_gone=self.gone.__contains__,
            clock=loop.time,
            emit=Emitter([self.events.append]),
        )

    async def enter(self, *keys: str, **changed: Any) -> None:
        for key in keys:
            await self.table.write_session(None, Session(key=key, **changed))

    async def beat(self, key: str) -> None:
        session = await self.table.session(key)
        assert session is not None
        await self.table.write_session(session, session.beaten(0))

    async def watch(self, seconds: int, *beating: str) -> None:
        """Look at the entries every second, while we and these beat."""
        for _ in range(seconds):
            await asyncio.sleep(1)
            for key in beating:
                await self.beat(key)
            self.observer.own_beat_landed()
            await self.observer.look_at_entries()

    async def is_revoked(self, key: str) -> bool:
        session = await self.table.session(key)
        return session is not None and session.is_revoked


def test_who_is_silent_for_the_failover_time_is_revoked_and_who_beats_is_not():
    async def story() -> None:
        watcher = Watcher()
        await watcher.enter(ME, OTHER, THIRD)
        await watcher.observer.look_at_table()
        await watcher.watch(9, THIRD)
        assert not await watcher.observer.revoke_silent(ME)
        assert not watcher.observer.is_dead(OTHER)
        await watcher.watch(2, THIRD)
        assert watcher.observer.is_dead(OTHER)
        assert watcher.observer.seems_quiet(OTHER, F)
        assert not watcher.observer.seems_quiet(THIRD, 1)
        assert await watcher.observer.revoke_silent(ME)
        assert [await watcher.is_revoked(key) for key in (ME, OTHER, THIRD)] == [False, True, False]
        assert [event.session for event in watcher.events if isinstance(event, SessionRevoked)] == [OTHER]
        assert OTHER not in watcher.observer.living
        assert not await watcher.observer.revoke_silent(ME), "once"
        await watcher.observer.look_at_entries()
        assert watcher.observer.is_dead(OTHER), "for good"

    run(story())


def test_a_beat_that_a_stale_reading_hides_saves_the_session():
    async def story() -> None:
        watcher = Watcher()
        await watcher.enter(ME, OTHER)
        await watcher.observer.look_at_table()
        watcher.table.stale[OTHER] = Session(key=OTHER)
        await watcher.watch(12, OTHER)
        assert watcher.observer.is_dead(OTHER), "as far as these readings tell"
        assert not await watcher.observer.revoke_silent(ME)
        assert not await watcher.is_revoked(OTHER)

    run(story())


def test_a_reading_that_is_older_than_what_is_known_is_no_new_beat():
    async def story() -> None:
        watcher = Watcher()
        await watcher.enter(ME, OTHER)
        await watcher.beat(OTHER)
        await watcher.observer.look_at_table()
        for second in range(11):
            if second % 2:
                watcher.table.stale[OTHER] = Session(key=OTHER)
            else:
                watcher.table.stale.clear()
            await watcher.watch(1)
        assert watcher.observer.sessions[OTHER].beat == 1
        assert watcher.observer.is_dead(OTHER)

    run(story())


def test_an_entry_that_a_reading_leaves_out_is_looked_for_and_one_that_is_gone_is_dead():
    async def story() -> None:
        watcher = Watcher()
        await watcher.enter(ME, OTHER, THIRD)
        await watcher.observer.look_at_table()
        watcher.table.left_out = {OTHER, THIRD}
        watcher.table.erase(THIRD)
        assert await watcher.observer.look_at_entries(), "somebody left"
        assert set(watcher.observer.living) == {ME, OTHER}
        assert [watcher.observer.is_dead(key) for key in (OTHER, THIRD)] == [False, True]
        assert not await watcher.observer.look_at_entries(), "nobody else did"

    run(story())


def test_entries_that_are_left_out_by_the_dozen_are_looked_for_a_few_at_a_time_and_forgotten_never():
    async def story() -> None:
        watcher = Watcher()
        many = {f"w@{number:08d}" for number in range(READS_AT_ONCE + 4)}
        await watcher.enter(*many)
        await watcher.observer.look_at_table()
        watcher.table.left_out = many
        for _ in range(2):
            assert not await watcher.observer.look_at_entries()
        assert watcher.observer.living.keys() == many

    run(story())


def test_who_begins_to_leave_or_is_revoked_by_somebody_else_is_news():
    async def story() -> None:
        watcher = Watcher()
        await watcher.enter(ME, OTHER)
        await watcher.observer.look_at_table()
        assert not await watcher.observer.look_at_entries()
        (other,) = await watcher.table.sessions([OTHER])
        await watcher.table.write_session(other, other.leaving())
        assert await watcher.observer.look_at_entries()
        await watcher.table.write_session(other.leaving(), other.leaving().revoked())
        assert await watcher.observer.look_at_entries()
        assert set(watcher.observer.living) == {ME}

    run(story())


def test_who_is_known_by_nothing_is_not_dead_and_an_owner_without_an_entry_is():
    async def story() -> None:
        watcher = Watcher()
        await watcher.enter(ME)
        watcher.table.put(Lease(key="s1", owner=OTHER, checkpoint=TRIM_HORIZON))
        watcher.table.put(Lease(key="s2", owner=ME, checkpoint_owner=THIRD, checkpoint=TRIM_HORIZON))
        assert not watcher.observer.is_dead(OTHER)
        await watcher.observer.look_at_table()
        assert [watcher.observer.is_dead(key) for key in (ME, OTHER, THIRD)] == [False, True, True]
        assert watcher.observer.is_absent(OTHER)

    run(story())


def test_an_owner_whose_entry_does_not_parse_may_live():
    async def story() -> None:
        watcher = Watcher()
        watcher.table.put(Lease(key="s1", owner=OTHER, checkpoint=TRIM_HORIZON))
        watcher.table.odd_rows[OTHER] = "no number"
        await watcher.observer.look_at_table()
        assert not watcher.observer.is_dead(OTHER)

    run(story())


def test_whoever_is_proven_to_be_gone_is_revoked_by_anybody_but_never_by_itself():
    async def story() -> None:
        watcher = Watcher()
        await watcher.enter(ME, OTHER, process=HERE)
        await watcher.enter(THIRD)
        await watcher.observer.look_at_table()
        assert not await watcher.observer.revoke_gone(ME)
        watcher.gone.add(HERE)
        assert await watcher.observer.revoke_gone(ME)
        assert [await watcher.is_revoked(key) for key in (ME, OTHER, THIRD)] == [False, True, False]

    run(story())


def test_what_is_known_of_a_session_outlasts_a_scan_that_began_before():
    async def story() -> None:
        watcher = Watcher()
        await watcher.enter(ME, OTHER, THIRD)
        await watcher.observer.look_at_table()
        old = await watcher.table.snapshot()
        await watcher.beat(OTHER)
        await watcher.enter("new@00000004")
        (third,) = await watcher.table.sessions([THIRD])
        await watcher.table.write_session(third, third.revoked())
        await watcher.observer.look_at_table()

        async def late() -> Any:
            return old

        watcher.table.snapshot = late  # type: ignore[method-assign]
        await watcher.observer.look_at_table()
        assert watcher.observer.sessions[OTHER].beat == 1
        assert watcher.observer.sessions[THIRD].is_revoked
        assert "new@00000004" in watcher.observer.living

    run(story())


def test_entries_are_forgotten_long_after_their_revocation_and_a_few_at_a_time():
    async def story() -> None:
        watcher = Watcher()
        dead = [f"dead@{number:08d}" for number in range(DELETIONS_MAX + 2)]
        await watcher.enter(ME)
        await watcher.enter(*dead, is_revoked=True)
        await watcher.observer.look_at_table()
        await watcher.observer.forget_revoked()
        await asyncio.sleep(FORGET_REVOKED_SECONDS - 1)
        await watcher.observer.forget_revoked()
        assert len((await watcher.table.snapshot()).sessions) == 1 + len(dead)
        await asyncio.sleep(2)
        await watcher.observer.forget_revoked()
        assert len((await watcher.table.snapshot()).sessions) == 1 + 2
        await watcher.observer.forget_revoked()
        assert [one.key for one in (await watcher.table.snapshot()).sessions] == [ME]

    run(story())


def test_an_entry_that_goes_between_verdict_and_look_is_dead_without_a_write():
    async def story() -> None:
        watcher = Watcher()
        await watcher.enter(ME, OTHER)
        await watcher.observer.look_at_table()
        await watcher.watch(11)
        watcher.table.erase(OTHER)
        assert await watcher.observer.revoke_silent(ME)
        assert OTHER not in watcher.observer.sessions
        assert watcher.observer.is_dead(OTHER)

    run(story())


def test_a_few_entries_alone_can_be_watched():
    async def story() -> None:
        watcher = Watcher()
        await watcher.enter(ME, OTHER, THIRD)
        for _ in range(11):
            watcher.observer.own_beat_landed()
            await watcher.observer.look_at_few((OTHER, None))
            await asyncio.sleep(1)
        assert set(watcher.observer.sessions) == {OTHER}
        assert watcher.observer.is_dead(OTHER)

    run(story())


def test_a_revoked_session_is_not_judged_again_by_its_beat():
    async def story() -> None:
        watcher = Watcher()
        await watcher.enter(ME, OTHER)
        await watcher.observer.look_at_table()
        (other,) = await watcher.table.sessions([OTHER])
        await watcher.watch(11)
        await watcher.table.write_session(other, msgspec.structs.replace(other, is_revoked=True))
        assert await watcher.observer.revoke_silent(ME)
        assert not [event for event in watcher.events if isinstance(event, SessionRevoked)], "somebody else said so"
        assert watcher.observer.sessions[OTHER].is_revoked

    run(story())


def test_silence_while_no_beat_of_our_own_lands_condemns_nobody():
    async def story() -> None:
        watcher = Watcher()
        await watcher.enter(ME, OTHER)
        await watcher.observer.look_at_table()
        watcher.observer.own_beat_landed()
        for _ in range(20):
            await asyncio.sleep(1)
            await watcher.observer.look_at_entries()
        assert not watcher.observer.is_dead(OTHER)
        assert not await watcher.observer.revoke_silent(ME)

    run(story())


def test_the_revoked_and_those_that_are_gone_are_dead_before_they_are_silent():
    async def story() -> None:
        watcher = Watcher()
        await watcher.enter(OTHER, process=HERE)
        await watcher.enter(THIRD, is_revoked=True)
        await watcher.observer.look_at_table()
        assert [watcher.observer.is_dead(key) for key in (OTHER, THIRD)] == [False, True]
        watcher.gone.add(HERE)
        assert watcher.observer.is_dead(OTHER)

    run(story())


def test_the_owner_of_the_lock_is_looked_for_like_the_owners_of_rows():
    async def story() -> None:
        watcher = Watcher()
        watcher.table.put_leader_lock(LeaderLock(owner=OTHER, version="1", duration_ms=10_000))
        await watcher.observer.look_at_table()
        assert watcher.observer.is_dead(OTHER)

    run(story())


def test_an_entry_that_was_written_while_the_table_was_scanned_is_found():
    async def story() -> None:
        watcher = Watcher()
        await watcher.enter(OTHER)
        watcher.table.put(Lease(key="s1", owner=OTHER, checkpoint=TRIM_HORIZON))
        scanned = msgspec.structs.replace(await watcher.table.snapshot(), sessions=())

        async def torn() -> Any:
            return scanned

        watcher.table.snapshot = torn  # type: ignore[method-assign]
        await watcher.observer.look_at_table()
        assert OTHER in watcher.observer.living
        assert not watcher.observer.is_dead(OTHER)
        assert not watcher.observer.is_absent(OTHER)

    run(story())


def test_another_process_with_our_worker_id_is_told_of_once_and_our_own_sessions_are_not():
    async def story() -> None:
        watcher = Watcher()
        other_process = msgspec.structs.replace(HERE, pid=2)
        me = Session(key=ME, process=HERE)
        await watcher.enter(ME, "me@0000000a", process=HERE)
        await watcher.enter("me@0000000b", process=other_process, is_revoked=True)
        await watcher.enter(OTHER, process=other_process)
        gone = msgspec.structs.replace(HERE, pid=3)
        watcher.gone.add(gone)
        await watcher.enter("me@0000000c", process=gone)
        await watcher.observer.look_at_table()
        watcher.observer.note_namesakes(me)
        assert not [event for event in watcher.events if isinstance(event, SameWorkerId)]
        await watcher.enter("me@0000000d", process=other_process)
        await watcher.enter("me@0000000e")
        await watcher.observer.look_at_table()
        for _ in range(2):
            watcher.observer.note_namesakes(me)
        told = [event.session for event in watcher.events if isinstance(event, SameWorkerId)]
        assert told == ["me@0000000d", "me@0000000e"]
        unnamed = Session(key="it@00000001")
        await watcher.enter(unnamed.key)
        await watcher.observer.look_at_table()
        watcher.observer.note_namesakes(unnamed)
        assert len([event for event in watcher.events if isinstance(event, SameWorkerId)]) == 2

    run(story())
