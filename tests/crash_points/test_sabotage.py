"""Shipped code that does things in the wrong order is caught, most of it only because a worker was cut."""

import pytest

from tests.crash_points.points import of_each_place
from tests.crash_points.runs import cut_again, played
from tests.crash_points.sabotage import SABOTAGES, sabotaged
from tests.crash_points.scenarios import SCENARIOS


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.name)
def test_code_that_does_things_in_the_wrong_order_is_caught(sabotage):
    (scenario,) = [one for one in SCENARIOS if one.name == sabotage.scenario]
    with sabotaged(sabotage):
        peace = played(scenario, sabotage.seed)
        assert bool(peace.breaches) == sabotage.shows_in_peace
        cuts = of_each_place(scenario, peace.places)
        found = peace.breaches or any(cut_again(scenario, sabotage.seed, peace, cut).breaches for cut in cuts)
    assert found, "nothing was noticed"
