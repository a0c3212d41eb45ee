"""What the laws about time find in logs that are written by hand."""

import msgspec
import pytest

from kcl_py.core.checkpoint import TRIM_HORIZON
from kcl_py.core.lease import Lease
from tests.simulation import facts
from tests.simulation.facts import Log
from tests.simulation.laws import liveness
from tests.simulation.laws.history import History

NEVER = 1e9


class Tale:
    """Two workers, a with the leader lock and b as its standby; rows change hands as told."""

    def __init__(self, standby: str | None = "b@00000000") -> None:
        self.log = Log()
        self._rows: dict[str, Lease] = {}
        for at, worker in ((0.0, "a"), (1.0, "b")):
            self.log.note(worker, facts.Joined(rate=1.0), at)
            self.log.note(worker, facts.EntryWritten(key=f"{worker}@00000000", beat=0), at)
        self.log.note("a", facts.LockWritten(owner="a@00000000", standby=standby), 1.0)

    def owned(self, at: float, shard_id: str, by: str | None) -> None:
        """The row changes hands; to nobody for None."""
        stood = self._rows.get(shard_id)
        owner = None if by is None else f"{by}@00000000"
        before = stood or Lease(key=shard_id, checkpoint=TRIM_HORIZON)
        stands = msgspec.structs.replace(before, owner=owner, held_by=owner, counter=before.counter + 1)
        self._rows[shard_id] = stands
        self.log.note(by or "a", facts.RowWritten(key=shard_id, claimed=before, stood=stood, stands=stands), at)

    def revoked(self, at: float, worker: str) -> None:
        self.log.note("a", facts.EntryWritten(key=f"{worker}@00000000", beat=9, is_revoked=True), at)

    def crashed(self, at: float, worker: str) -> None:
        self.log.note(worker, facts.Crashed(), at)

    def trouble(self, at: float, until: float) -> None:
        self.log.note("", facts.Trouble(what="throttle", until=until), at)

    def drained(self, at: float) -> History:
        self.log.note("", facts.Drained(), at)
        return History(self.log)


@pytest.mark.parametrize(("picked_up_at", "is_broken"), [(112.9, False), (113.1, True), (NEVER, True)])
def test_a_dead_workers_lease_is_expected_elsewhere_within_the_failover_time_and_three_seconds(picked_up_at, is_broken):
    tale = Tale()
    tale.owned(50, "s", "b")
    tale.crashed(100, "b")
    if picked_up_at < NEVER:
        tale.owned(picked_up_at, "s", "a")
    assert bool(liveness.soon_elsewhere(tale.drained(200))) == is_broken


@pytest.mark.parametrize(("standby", "is_broken"), [("b@00000000", True), (None, False)])
def test_another_failover_time_is_granted_if_leader_and_standby_are_dead(standby, is_broken):
    tale = Tale(standby)
    tale.owned(50, "s", "a")
    tale.crashed(100, "a")
    tale.owned(120, "s", "b")
    assert bool(liveness.soon_elsewhere(tale.drained(200))) == is_broken


def test_a_takeover_is_not_judged_while_a_door_misbehaves():
    tale = Tale()
    tale.owned(50, "s", "b")
    tale.trouble(95, 130)
    tale.crashed(100, "b")
    assert not liveness.soon_elsewhere(tale.drained(200))


@pytest.mark.parametrize(("owned_again_at", "is_broken"), [(109, False), (111, True), (NEVER, True)])
def test_a_lease_without_an_owner_is_expected_to_have_one_within_two_plans(owned_again_at, is_broken):
    tale = Tale()
    tale.owned(50, "s", "b")
    tale.owned(100, "s", None)
    if owned_again_at < NEVER:
        tale.owned(owned_again_at, "s", "a")
    assert bool(liveness.no_orphan(tale.drained(200))) == is_broken


@pytest.mark.parametrize(("owned_again_at", "is_broken"), [(109, False), (111, True)])
def test_a_lease_of_a_revoked_session_has_no_owner(owned_again_at, is_broken):
    tale = Tale()
    tale.owned(50, "s", "b")
    tale.revoked(100, "b")
    tale.owned(owned_again_at, "s", "a")
    assert bool(liveness.no_orphan(tale.drained(200))) == is_broken


def test_a_fleet_that_has_settled_and_shares_evenly_is_quiet():
    tale = Tale()
    tale.owned(2, "s", "a")
    tale.owned(2, "t", "a")
    tale.owned(10, "t", "b")
    assert liveness.quiet(tale.drained(200)) == []


def test_a_late_move_is_not_quiet():
    tale = Tale()
    tale.owned(2, "s", "a")
    tale.owned(2, "t", "b")
    tale.owned(100, "s", "b")
    tale.owned(101, "t", "a")
    broken = liveness.quiet(tale.drained(200))
    assert [reason for reason in broken if "still moves" in reason]


def test_a_lease_that_moves_twice_is_not_quiet():
    tale = Tale()
    for at, owner in enumerate("abab"):
        tale.owned(2 + at, "s", owner)
    assert "s moved 3 times" in liveness.quiet(tale.drained(200))


def test_uneven_shares_are_not_balanced():
    tale = Tale()
    tale.owned(2, "s", "a")
    tale.owned(2, "t", "a")
    assert liveness.quiet(tale.drained(200)) == ["shares are {'a': 2, 'b': 0}"]


def test_a_worker_that_fails_is_told():
    tale = Tale()
    tale.log.note("a", facts.Failed(error="odd"), 5)
    assert liveness.nobody_fails(tale.drained(200)) == ["5.000 a failed: odd"]
