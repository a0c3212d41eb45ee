"""A fleet told to misbehave is caught by some law, within a bounded number of seeds."""

import pytest

from tests.simulation.sabotage import SABOTAGES, lives_in_a_gullible_table, sabotaged
from tests.simulation.verdict import life_of, verdict_on

SEEDS_MAX = 30


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.name)
def test_misbehaviour_is_caught(sabotage):
    with sabotaged(sabotage):
        assert any(verdict_on(seed, life_of(seed)) for seed in range(SEEDS_MAX)), "no law noticed"


def test_a_table_that_checks_no_condition_is_caught():
    assert any(verdict_on(seed, lives_in_a_gullible_table(seed)) for seed in range(SEEDS_MAX))
