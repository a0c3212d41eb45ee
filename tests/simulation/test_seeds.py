"""Fleets with mixed faults, each from one seed; `python -m tests.simulation` runs more of them."""

from collections import Counter

import pytest

from tests.simulation.incidents import FAN_OUT, KINDS
from tests.simulation.life import ENDINGS, Life
from tests.simulation.verdict import lived, verdict_on_life

SEEDS = range(60)
FAN_OUT_SEEDS = range(24)
LIVED = 30  # here; `python -m tests.prove --fixed` lives more of them, and for hours
FAN_OUT_LIVED = 12


@pytest.mark.parametrize("seed", SEEDS[:LIVED])
def test_every_law_holds_whatever_goes_wrong(seed):
    life = Life.of(seed)
    verdict = verdict_on_life(life, lived(life))
    assert not verdict, verdict


@pytest.mark.parametrize("seed", FAN_OUT_SEEDS[:FAN_OUT_LIVED])
def test_every_law_holds_for_fleets_that_read_by_enhanced_fan_out(seed):
    life = Life.of(seed, "fan-out")
    verdict = verdict_on_life(life, lived(life))
    assert not verdict, verdict


def test_every_incident_of_fan_out_is_met_by_several_seeds():
    met = Counter(one.kind for seed in FAN_OUT_SEEDS for one in Life.of(seed, "fan-out").incidents)
    assert min(met[kind] for kind in FAN_OUT) > 3


def test_every_kind_of_incident_is_met_by_several_seeds():
    met = Counter(one.kind for seed in SEEDS for one in Life.of(seed).incidents)
    assert min(met[kind] for kind in KINDS) > 5


def test_lives_end_in_every_way():
    assert {Life.of(seed).ending for seed in range(200)} == set(ENDINGS)
