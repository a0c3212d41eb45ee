"""A hundred fleets with mixed faults, each from one seed; `python -m tests.simulation` runs more of them."""

from collections import Counter

import pytest

from tests.simulation.swarm import KINDS, Mood
from tests.simulation.verdict import life_of, verdict_on

SEEDS = range(100)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_law_holds_whatever_goes_wrong(seed):
    verdict = verdict_on(seed, life_of(seed))
    assert not verdict, verdict


def test_every_kind_of_trouble_is_met_by_several_seeds():
    met = Counter(kind for seed in SEEDS for kind in Mood.of(seed).kinds)
    assert min(met[kind] for kind in KINDS) > 20
