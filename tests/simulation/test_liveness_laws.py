"""What the laws about time find in logs that are written by hand."""

import pytest

from tests.simulation import facts
from tests.simulation.laws import liveness, stillness
from tests.simulation.tale import Tale

NEVER = 1e9


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
    history = tale.drained(200)
    assert [law(history) for law in (stillness.balanced, stillness.moved_once, stillness.quiet)] == [[], [], []]
    assert stillness.quiet(history).judged == (200 - 2 - 40) // 5


def test_a_late_move_is_not_quiet():
    tale = Tale()
    tale.owned(2, "s", "a")
    tale.owned(2, "t", "b")
    tale.owned(100, "s", "b")
    tale.owned(101, "t", "a")
    assert len(stillness.quiet(tale.drained(200))) == 2


def test_a_lease_that_moves_twice_is_told():
    tale = Tale()
    for at, owner in enumerate("abab"):
        tale.owned(2 + at, "s", owner)
    assert stillness.moved_once(tale.drained(200)) == ["2.000 s moved 3 times"]


def test_uneven_shares_are_not_balanced():
    tale = Tale()
    tale.owned(2, "s", "a")
    tale.owned(2, "t", "a")
    assert stillness.balanced(tale.drained(200)) == ["200.000 shares are {'a': 2, 'b': 0}"]


def test_a_worker_that_fails_is_told():
    tale = Tale()
    tale.log.note("a", facts.Failed(error="odd"), 5)
    assert liveness.nobody_fails(tale.drained(200)) == ["5.000 a failed: odd"]
