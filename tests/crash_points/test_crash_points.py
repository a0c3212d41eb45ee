"""A worker may end at any await: `python -m tests.crash_points --all` cuts it at every step of it."""

import pytest

from tests.crash_points.figures import measured
from tests.crash_points.runs import played
from tests.crash_points.scenarios import SCENARIOS

SEED = 1


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_law_holds_wherever_a_worker_ends(scenario):
    figures = measured(scenario, SEED)
    assert not figures.breaches, "\n".join(map(str, figures.breaches))
    assert not figures.missed, "the victim does not pass there any more, so nothing is cut there"
    assert figures.places > 20


def test_one_seed_is_one_order_of_steps():
    first, second = (played(SCENARIOS[0], SEED) for _ in range(2))
    assert first.places == second.places
    assert first.places != played(SCENARIOS[0], SEED + 1).places
