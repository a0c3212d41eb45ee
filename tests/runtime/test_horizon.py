"""What a lease says about records that were trimmed before anybody read them."""

import pytest

from kcl_py.core.checkpoint import AT_TIMESTAMP, LATEST, TRIM_HORIZON, Checkpoint
from kcl_py.core.lease import Lease
from kcl_py.runtime.data.horizon import Horizon

HORIZON_MS = 1_000_000
NUMBER = Checkpoint("7")


def horizon(checkpoint: Checkpoint, start_at_ms: int | None, *, counter: int = 5) -> Horizon:
    return Horizon(Lease(key="shardId-0", checkpoint=checkpoint, start_at_ms=start_at_ms, counter=counter), HORIZON_MS)


@pytest.mark.parametrize("checkpoint", [LATEST, TRIM_HORIZON, AT_TIMESTAMP])
def test_whoever_comes_back_to_a_start_that_the_horizon_has_passed_has_missed_something(checkpoint):
    gap = horizon(checkpoint, HORIZON_MS - 1).gap
    assert gap is not None
    assert gap.after == str(checkpoint)
    assert horizon(checkpoint, HORIZON_MS).gap is None
    assert horizon(checkpoint, None).gap is None


def test_a_time_before_the_horizon_may_be_asked_for_by_whoever_begins():
    assert horizon(AT_TIMESTAMP, HORIZON_MS - 1, counter=1).gap is None
    assert horizon(AT_TIMESTAMP, HORIZON_MS - 1, counter=2).gap is not None
    assert horizon(LATEST, HORIZON_MS - 1, counter=1).gap is not None


def test_who_has_a_checkpoint_looks_for_that_record():
    assert horizon(NUMBER, HORIZON_MS - 1).gap is None


@pytest.mark.parametrize(
    ("caught_up_at_ms", "expected"),
    [(None, True), (HORIZON_MS - 1, True), (HORIZON_MS, False)],
)
def test_who_was_at_the_tip_since_the_horizon_has_no_gap_whatever_became_of_the_last_record(caught_up_at_ms, expected):
    lease = Lease(key="shardId-0", checkpoint=NUMBER, caught_up_at_ms=caught_up_at_ms)
    assert Horizon(lease, HORIZON_MS).may_have_gap is expected
