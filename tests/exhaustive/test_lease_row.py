"""Every life of a lease row within bounds, and no law broken in any of them; see report.py for the bounds."""

import re

import pytest

from tests.exhaustive.report import LIVES, Life, beats, outcome_of, report, tell

BEATS_STATES_MIN = 100_000
HAPPENINGS = {
    "a backup is made",
    "a late request arrives",
    "a late request fails",
    "a leader reads the row",
    "an operator deletes the row",
    "an operator restores the table",
    "assign to #",
    "hand_off to # by an old reading",
    "assigns a missed lease to #",
    "begins a batch",
    "begins to hand over",
    "calls the hand-off off",
    "closes the processor",
    "crashes",
    "cuts everything off, and gives up what it holds",
    "deletes its entry and exits",
    "ends the shard",
    "finishes a batch",
    "hand_off to #",
    "is forced to let go",
    "is revoked",
    "is told to stop",
    "joins again",
    "learns that its session is over",
    "lets go",
    "lets its deadline pass",
    "looks, and asks whose the row is",
    "looks, and sees a hand-off",
    "loses the answer to its write",
    "notes that it is at the tip",
    "passes on what was left behind",
    "readdress to #",
    "reads back: it is lost",
    "reads back: it landed",
    "reads back: the row is gone, and is written anew",
    "reads back: try again",
    "reads that the lease is its own",
    "starts again",
    "takes it as the leader",
    "takes it as the leader by an old reading",
    "the audit makes the row anew",
    "writes: taken_back",
    "writes: bound; it is refused",
    "writes: picked_up; it is refused",
    "writes: ended; the request is lost",
    "writes: let go; the request is late",
}
"""Some of what must happen in one search or another: a model that lost one of these steps would prove less."""


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.name)
def test_no_law_is_broken_in_any_state_and_none_is_a_dead_end(life: Life):
    outcome = outcome_of(life)
    tell(f"\n{life.name}: {outcome}")
    assert outcome.violation is None, outcome.violation
    assert outcome.states >= life.states_min, "a search that sees little proves little"


def test_whenever_a_session_is_revoked_its_deadline_is_past():
    outcome = beats()
    tell(f"\nbeats, deadlines and verdicts: {outcome}")
    assert outcome.violation is None, outcome.violation
    assert outcome.states >= BEATS_STATES_MIN


def test_everything_that_can_happen_to_a_row_happens_in_some_search():
    happened = {re.sub(r"\d+", "#", what) for life in LIVES for what in outcome_of(life).happened}
    assert sorted(HAPPENINGS - happened) == []


def test_the_report_sums_up_all_searches():
    seen = report()
    tell(f"\n{seen}")
    assert seen.violations == ()
    assert seen.states == beats().states + sum(outcome_of(life).states for life in LIVES)
    assert seen.transitions > seen.states
