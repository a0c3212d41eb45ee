"""What the laws about time find in logs that are written by hand."""

import pytest

from kcl_py.events import LeaseAssigned, LeasePickedUp, ProcessorFailed, SessionLost
from tests.simulation import facts
from tests.simulation.laws import liveness, stillness
from tests.simulation.laws.history import History
from tests.simulation.tale import Tale
from tests.simulation.verdict import LAWS, LIVENESS, judged

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


def test_a_shard_whose_end_was_on_its_way_when_its_worker_died_needs_nobody():
    tale = Tale()
    tale.owned(50, "s", "b")
    tale.crashed(100, "b")
    tale.ended(100.01, "s", "b")
    assert not liveness.soon_elsewhere(tale.drained(200))


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


# -- each law on its own ----------------------------------------------------------------------------------------------


def dead_for_long(tale: Tale) -> History:
    tale.owned(50, "s", "b")
    tale.crashed(100, "b")
    tale.revoked(119, "b")
    tale.owned(120, "s", "a")
    return tale.drained(125)


def nobodys_for_long(tale: Tale) -> History:
    tale.owned(5, "s", "b")
    tale.owned(25, "s", None)
    tale.owned(40, "s", "b")
    return tale.drained(200)


def uneven(tale: Tale) -> History:
    tale.owned(2, "s", "a")
    tale.owned(2, "t", "a")
    return tale.drained(200)


def hither_and_thither(tale: Tale) -> History:
    for at, owner in enumerate("aba"):
        tale.owned(2 + at, "s", owner)
    return tale.drained(200)


def moving_late(tale: Tale) -> History:
    tale.owned(2, "s", "a")
    tale.owned(100, "s", "b")
    return tale.drained(200)


def blocked_for_long(tale: Tale) -> History:
    tale.owned(2, "s", "a")
    tale.told(20, "a", facts.Blocked())
    tale.told(100, "a", facts.Unblocked())
    return tale.drained(110, stall_timeout_seconds=30)


def held(tale: Tale, at: float, shard_id: str) -> None:
    """By a, who knows it."""
    tale.created(at, shard_id)
    tale.owned(at, shard_id, "a")
    tale.told(at, "a", LeasePickedUp(shard_id=shard_id, fencing_token=1, checkpoint="TRIM_HORIZON"))


def waiting_for_long(tale: Tale) -> History:
    tale.trouble(1, 2)  # else this were a cold start
    held(tale, 20, "s")
    tale.put(30, "s")
    return tale.drained(100)


def waiting_beside_one_that_fails(tale: Tale) -> History:
    tale.trouble(1, 2)  # else this were a cold start
    held(tale, 20, "s")
    held(tale, 20, "t")
    failed = ProcessorFailed(
        shard_id="s", method="process_records", error="odd", attempt=1, retry_in_seconds=1.0, is_stopped=True
    )
    tale.told(25, "a", failed)
    tale.put(30, "t")
    tale.owned(31, "u", "b")
    return tale.drained(60)


def child_not_found(tale: Tale) -> History:
    tale.owned(2, "s", "a")
    tale.told(10, "", facts.Resharded(parents=("s",), children=("c", "d")))
    tale.told(55, "c", facts.Joined(rate=1.0))
    tale.created(60, "c")
    tale.owned(60, "d", "b")
    tale.ended(60, "s", "a", "c", "d")
    for at in (65, 80, 95, 110, 125, 140):
        tale.told(at, "e", facts.Joined(rate=1.0))
    tale.owned(139, "d", "b")
    return tale.drained(145)


def drained_slowly(tale: Tale) -> History:
    tale.created(2, "s")
    tale.owned(2, "s", "b")
    tale.told(50, "b", facts.Leaving())
    tale.told(51, "b", facts.Left())
    tale.owned(58, "s", "a")
    return tale.drained(80)


def declared_dead(tale: Tale) -> History:
    tale.trouble(100, 140, "throttle all", "b")
    tale.revoked(120, "b")
    return tale.drained(130)


def still_a_dead_ones(tale: Tale) -> History:
    tale.created(2, "s")
    tale.owned(2, "s", "b")
    tale.trouble(40, 100)
    tale.crashed(60, "b")
    tale.told(100, "", facts.Healed())
    return tale.drained(150)


def cold_for_long(tale: Tale) -> History:
    tale.put(1, "s")
    return tale.drained(40)


def lost_for_nothing(tale: Tale) -> History:
    tale.told(50, "b", SessionLost(session="b@00000000", reason="odd"))
    return tale.drained(60)


def planned_by_another(tale: Tale) -> History:
    tale.told(50, "b", LeaseAssigned(shard_id="s", to="b@00000000"))
    return tale.drained(60)


TALES = {
    "sessions_last": lost_for_nothing,
    "only_the_leader_plans": planned_by_another,
    "soon_elsewhere": dead_for_long,
    "no_orphan": nobodys_for_long,
    "balanced": uneven,
    "moved_once": hither_and_thither,
    "quiet": moving_late,
    "progress": waiting_for_long,
    "progress, with a blocked loop": blocked_for_long,
    "others_go_on": waiting_beside_one_that_fails,
    "discovery": child_not_found,
    "drain": drained_slowly,
    "nobody_dies_of_throttling": declared_dead,
    "heal": still_a_dead_ones,
    "cold_start": cold_for_long,
}


@pytest.mark.parametrize("name", TALES)
def test_a_tale_breaks_that_law_alone(name):
    assert set(judged(TALES[name](Tale()), LAWS)) == {name.partition(",")[0]}


def test_every_law_about_time_has_a_tale():
    assert {law.__name__ for law in LIVENESS} == {name.partition(",")[0] for name in TALES}
