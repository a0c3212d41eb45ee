"""Whatever a fleet is told to do otherwise, some law notices, or a test where no fleet can show it."""

import pytest

from tests.simulation.sabotage import CATALOGUE
from tests.simulation.sabotage.mutation import Mutation, StaleMutation, mutated
from tests.simulation.sabotage.scenes import SCENES
from tests.simulation.verdict import LAWS, judged


@pytest.mark.parametrize("sabotage", CATALOGUE, ids=lambda sabotage: sabotage.name)
def test_misbehaviour_is_noticed(sabotage):
    assert sabotage.caught_by() == (sabotage.laws or {sabotage.test})


@pytest.mark.parametrize("name", SCENES)
def test_a_scene_that_is_not_sabotaged_breaks_no_law(name):
    assert judged(SCENES[name].history(), LAWS) == {}


def test_the_catalogue_is_long_and_names_nothing_twice():
    names = [sabotage.name for sabotage in CATALOGUE]
    assert len(set(names)) == len(names) >= 36


def test_each_law_alone_notices_something_but_for_one_that_follows_from_others():
    alone = {law for sabotage in CATALOGUE if len(sabotage.laws) == 1 for law in sabotage.laws}
    assert {law.__name__ for law in LAWS} - alone == {"keys_in_order"}


def test_code_that_has_changed_is_told_and_not_mutated():
    stale = Mutation("kcl_py.core.lineage:Lineage.may_start", "what it never said", "nothing")
    with pytest.raises(StaleMutation), mutated(stale):
        pass
