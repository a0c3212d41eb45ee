"""What fleet.md, section 9, says of the cost, counted."""

import pytest

from tests.simulation.cost import MINUTE_SECONDS, java, native

FAILOVER_SECONDS = 10.0
BEATS = MINUTE_SECONDS / (FAILOVER_SECONDS / 3)


@pytest.mark.parametrize(("leases", "workers"), [(10, 2), (50, 5)])
def test_an_idle_fleet_writes_its_beats_and_the_lock_and_nothing_else(leases, workers):
    minute = native(leases, workers, is_busy=False)
    assert minute.written["leases"] == 0
    assert minute.written["beats"] <= BEATS * workers + workers
    assert minute.written["lock"] <= BEATS + 1


def test_a_busy_fleet_writes_at_most_once_per_lease_and_checkpoint_interval():
    minute = native(20, 2, is_busy=True)
    assert 0 < minute.written["leases"] <= 20 * (MINUTE_SECONDS / 5 + 1)


def test_reads_per_worker_do_not_depend_on_how_many_workers_there_are():
    few, many = native(20, 4, is_busy=False), native(20, 16, is_busy=False)
    for kind in ("lock", "index"):
        assert many.read[kind] / 16 == pytest.approx(few.read[kind] / 4, rel=0.2)


def test_renewals_alone_cost_more_writes_than_all_of_ours():
    assert native(50, 5, is_busy=True).totals[0] < java(50, 5, is_busy=True).totals[0] / 2
