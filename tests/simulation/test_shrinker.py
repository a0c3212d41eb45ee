"""A failing life is made as small as its failure allows, and can be lived again from one line."""

import pytest

from tests.simulation.__main__ import _chosen, _parser
from tests.simulation.life import Incident, Life
from tests.simulation.shrinker import shrunk

LIFE = Life.of(2)


def numbers(life: Life) -> set[int]:
    return {one.number for one in life.incidents}


@pytest.mark.parametrize("culprits", [{0}, {3}, {1, 4}, {0, 2, 5}, set()])
def test_only_the_incidents_that_it_takes_are_left(culprits):
    assert max(numbers(LIFE)) > 5
    assert numbers(shrunk(LIFE, lambda life: culprits <= numbers(life))) == culprits


def test_time_is_left_out_as_well():
    small = shrunk(LIFE, lambda life: life.seconds >= 20 and 0 in numbers(life))
    assert 20 <= small.seconds < 30
    assert numbers(small) == {0}


def test_what_is_left_can_be_lived_again_from_its_options():
    small = shrunk(LIFE, lambda life: {1, 4} <= numbers(life))
    assert small.options.startswith("--seed 2 ")
    assert _chosen(_parser().parse_args(small.options.split())) == small
    assert _chosen(_parser().parse_args(LIFE.options.split())) == LIFE


def test_an_incident_is_the_same_whatever_else_is_left_out():
    alone = LIFE.but(only=[3])
    assert alone.incidents == (next(one for one in LIFE.incidents if one.number == 3),)
    assert isinstance(alone.incidents[0], Incident)
