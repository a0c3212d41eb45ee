"""Who inherits what a leaving worker lets go, and what its last look at the table passes on."""

import asyncio
from collections.abc import Iterable

import msgspec
import pytest

from kcl_py.core.balance import by_weight
from kcl_py.core.checkpoint import SHARD_END, TRIM_HORIZON
from kcl_py.core.lease import Binding, Lease
from kcl_py.core.session import Session
from kcl_py.core.table import TableSnapshot
from kcl_py.errors import Throttled
from kcl_py.events import Event, LeaseGivenUp, LeaseHandedOver, ServiceTrouble
from kcl_py.local.faulty_lease_table import Fault, FaultyLeaseTable
from kcl_py.local.memory_lease_table import MemoryLeaseTable
from kcl_py.runtime.emitter import Emitter
from kcl_py.runtime.leases.succession import Succession
from tests.virtual_time import run

ME, ANN, BEN = "me@00000001", "ann@00000002", "ben@00000003"
GONE = "gone@00000004"
BINDING = Binding("stream@1", "app", None)
TO_NOBODY = [
    pytest.param(lambda entry: entry.leaving(), id="that is leaving"),
    pytest.param(lambda entry: entry.revoked(), id="that was revoked"),
    pytest.param(lambda _: None, id="that has no entry"),
]


def unowned(key: str) -> Lease:
    return Lease(key=key, checkpoint=TRIM_HORIZON)


def held(key: str, owner: str = ME, kbps: float = 0.0) -> Lease:
    return msgspec.structs.replace(unowned(key).picked_up(owner, BINDING).after, throughput_kbps=kbps)


def assigned(key: str, owner: str) -> Lease:
    return unowned(key).assigned(owner).after


def finished(key: str, owner: str) -> Lease:
    return msgspec.structs.replace(held(key, owner), checkpoint=SHARD_END)


class WrittenMeanwhile(MemoryLeaseTable):
    """Whatever is read, its last row is written by somebody else right after."""

    async def snapshot(self) -> TableSnapshot:
        snapshot = await super().snapshot()
        if snapshot.leases:
            await self.write(snapshot.leases[-1].picked_up(ANN, BINDING))
        return snapshot


class Leaving:
    """A worker that leaves, with the rows and entries that it finds; it has an entry itself."""

    def __init__(
        self,
        *leases: Lease,
        others: Iterable[Session] = (Session(key=ANN),),
        silent: str = "",
        memory: MemoryLeaseTable | None = None,
    ) -> None:
        self.memory = memory or MemoryLeaseTable(exists=True)
        self.table = FaultyLeaseTable(self.memory)
        self.events: list[Event] = []
        self._leases = leases
        self._others = tuple(others)
        self.succession = Succession(
            self.table, by_weight, me=ME, seems_dead=lambda key: key == silent, emit=Emitter([self.events.append])
        )

    async def begin(self) -> None:
        for lease in self._leases:
            self.memory.put(lease)
        for entry in (Session(key=ME), *self._others):
            await self.memory.write_session(None, entry)
        await self.succession.read()
        self.succession.open()

    async def becomes(self, before: Session, after: Session | None) -> None:
        await self.memory.write_session(before, after)

    async def heirs(self) -> dict[str, str | None]:
        await self.begin()
        ours = [lease for lease in self._leases if lease.effective_owner == ME and not lease.is_finished]
        return {lease.key: await self.succession.heir_of(lease) for lease in ours}

    async def last_look(self) -> dict[str, str | None]:
        await self.begin()
        self.before = (await self.memory.snapshot()).leases
        await self.succession.last_look()
        return await self.owners()

    async def owners(self) -> dict[str, str | None]:
        return {lease.key: lease.owner for lease in (await self.memory.snapshot()).leases}


def test_heirs_are_those_who_carry_the_least():
    leaving = Leaving(held("1"), held("2"), held("3", ANN), held("4", ANN), others=(Session(key=ANN), Session(key=BEN)))
    assert run(leaving.heirs()) == {"1": BEN, "2": BEN}


def test_what_flows_counts_when_heirs_are_chosen():
    others = (Session(key=ANN), Session(key=BEN))
    heavy, light = held("1", ANN, kbps=2000), [held(key, BEN, kbps=10) for key in "23"]
    assert run(Leaving(heavy, *light, held("4"), others=others).heirs()) == {"4": BEN}


def test_what_flows_from_the_leaver_counts_as_well():
    others = (Session(key=ANN), Session(key=BEN))
    heirs = run(Leaving(held("1", kbps=3000), *[held(key) for key in "234"], others=others).heirs())
    assert heirs["2"] == heirs["3"] == heirs["4"] != heirs["1"]


def test_finished_shards_weigh_nothing():
    others = (Session(key=ANN), Session(key=BEN))
    done = [finished(key, ANN) for key in "123"]
    done_by_us = msgspec.structs.replace(finished("4", ME), throughput_kbps=5000.0)
    assert run(Leaving(*done, done_by_us, held("5", BEN), held("6"), others=others).heirs()) == {"6": ANN}


@pytest.mark.parametrize("change", TO_NOBODY)
def test_nobody_inherits_who_cannot_have_it(change):
    after = change(Session(key=ANN))
    assert run(Leaving(held("1"), others=() if after is None else (after,)).heirs()) == {"1": None}


def test_nobody_inherits_who_was_seen_to_be_silent():
    assert run(Leaving(held("1"), silent=ANN).heirs()) == {"1": None}


def test_nobody_inherits_more_than_it_takes():
    heirs = run(Leaving(held("1"), held("2"), others=(Session(key=ANN, leases_max=1),)).heirs())
    assert sorted(heirs.values(), key=str) == [None, ANN]


@pytest.mark.parametrize("change", TO_NOBODY)
def test_an_heir_that_left_or_died_since_is_replaced(change):
    async def story():
        leaving = Leaving(held("1"), held("2", BEN), others=(Session(key=ANN), Session(key=BEN)))
        await leaving.begin()
        await leaving.becomes(Session(key=ANN), change(Session(key=ANN)))
        assert await leaving.succession.heir_of(held("1")) == BEN
        assert not await leaving.succession.may_receive(ANN)

    run(story())


def test_an_heir_whose_entry_does_not_parse_is_replaced_and_one_that_cannot_be_read_is_not():
    async def story():
        leaving = Leaving(held("1"), held("2", BEN), others=(Session(key=ANN), Session(key=BEN)))
        await leaving.begin()
        leaving.table.faults.append(Fault(kind="throttle", operation="session", key=ANN, times=1))
        assert await leaving.succession.heir_of(held("1")) == ANN
        leaving.memory.odd_rows[ANN] = "overwritten"
        assert await leaving.succession.heir_of(held("1")) == BEN

    run(story())


def test_the_receiver_of_a_hand_off_that_left_is_replaced():
    async def story():
        offered = held("1").offered(ANN).after
        leaving = Leaving(offered, held("2", BEN), others=(Session(key=ANN), Session(key=BEN)))
        await leaving.begin()
        await leaving.becomes(Session(key=ANN), None)
        assert await leaving.succession.heir_of(offered) == BEN

    run(story())


def test_whoever_leaves_receives_nothing_itself():
    async def story():
        leaving = Leaving()
        await leaving.begin()
        assert await leaving.succession.may_receive(ANN)
        assert not await leaving.succession.may_receive(ME)

    run(story())


def test_a_lease_that_came_after_the_reading_has_an_heir_as_well():
    async def story():
        leaving = Leaving(held("1"))
        await leaving.begin()
        assert await leaving.succession.heir_of(held("2")) == ANN

    run(story())


def test_nobody_is_named_before_the_fleet_was_read():
    async def story():
        leaving = Leaving(held("1"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await leaving.succession.heir_of(held("1"))
        await leaving.begin()
        assert await leaving.succession.heir_of(held("1")) == ANN

    run(story())


def test_without_an_answer_nobody_inherits_and_that_is_told():
    async def story():
        leaving = Leaving(held("1"))
        leaving.table.faults.append(Fault(kind="throttle", operation="snapshot"))
        assert await leaving.heirs() == {"1": None}
        assert [type(event) for event in leaving.events] == [ServiceTrouble]
        with pytest.raises(Throttled):
            await leaving.succession.last_look()

    run(story())


@pytest.mark.parametrize("lease", [assigned("1", ME), held("1", ME)], ids=["assigned", "picked up by a lost write"])
def test_the_last_look_passes_on_what_became_ours_meanwhile(lease: Lease):
    leaving = Leaving(lease)
    assert run(leaving.last_look()) == {"1": ANN}
    assert [type(event) for event in leaving.events] == [LeaseHandedOver]


def test_the_last_look_gives_up_what_nobody_is_there_for():
    leaving = Leaving(assigned("1", ME), others=())
    assert run(leaving.last_look()) == {"1": None}
    assert [type(event) for event in leaving.events] == [LeaseGivenUp]


def test_the_last_look_finds_who_joined_since():
    async def story():
        leaving = Leaving(assigned("1", ME), others=())
        await leaving.begin()
        await leaving.memory.write_session(None, Session(key=ANN))
        await leaving.succession.last_look()
        assert await leaving.owners() == {"1": ANN}

    run(story())


@pytest.mark.parametrize("change", TO_NOBODY)
def test_the_last_look_passes_on_what_went_to_a_worker_that_is_gone(change):
    after = change(Session(key=GONE))
    others = (Session(key=ANN), *(() if after is None else (after,)))
    assert run(Leaving(assigned("1", GONE), others=others).last_look()) == {"1": ANN}


@pytest.mark.parametrize(
    "lease",
    [
        pytest.param(assigned("1", ANN), id="assigned to somebody who stays"),
        pytest.param(held("1", GONE), id="held by the dead: its session is to be revoked first"),
        pytest.param(unowned("1"), id="free"),
        pytest.param(finished("1", ME), id="finished"),
        pytest.param(assigned("1", "java-worker"), id="of a Java worker"),
        pytest.param(
            msgspec.structs.replace(assigned("1", GONE), checkpoint_owner=ANN), id="to go to the dead, from the living"
        ),
    ],
)
def test_the_last_look_leaves_alone_what_is_not_left_behind(lease: Lease):
    async def story():
        leaving = Leaving(lease)
        await leaving.last_look()
        assert (await leaving.memory.snapshot()).leases == leaving.before
        assert leaving.events == []

    run(story())


def test_what_somebody_else_writes_during_the_last_look_is_theirs_and_the_rest_is_passed_on():
    memory = WrittenMeanwhile(exists=True)

    async def story():
        leaving = Leaving(others=(Session(key=BEN),), memory=memory)
        await leaving.begin()
        for key in "12":
            memory.put(assigned(key, ME))
        await leaving.succession.last_look()
        ours, theirs = (await memory.snapshot()).leases
        assert (ours.owner, theirs.held_by) == (BEN, ANN)
        assert leaving.events == [LeaseHandedOver(shard_id="1", to=BEN, checkpoint=str(TRIM_HORIZON))]

    run(story())


def test_a_whole_fleet_that_leaves_is_read_at_once_and_not_asked_one_by_one():
    others = tuple(Session(key=f"w{number}@00000000") for number in range(50))
    reads: list[str] = []

    class Counted(MemoryLeaseTable):
        async def session(self, key: str) -> Session | None:
            reads.append(key)
            return await super().session(key)

    async def story():
        leaving = Leaving(held("1"), held("2"), others=others, memory=Counted(exists=True))
        await leaving.begin()
        for other in others:
            await leaving.becomes(other, other.leaving())
        assert await leaving.succession.heir_of(held("1")) is None
        assert await leaving.succession.heir_of(held("2")) is None

    run(story())
    assert len(reads) == 1


def test_heirs_are_excluded_one_by_one_where_they_cannot_be_read_together():
    async def story():
        leaving = Leaving(held("1"), held("2", BEN), others=(Session(key=ANN), Session(key=BEN)))
        await leaving.begin()
        await leaving.becomes(Session(key=ANN), None)
        leaving.table.faults.append(Fault(kind="throttle", operation="sessions"))
        assert await leaving.succession.heir_of(held("1")) == BEN

    run(story())
