"""The search is awake: whatever is taken out of the shipped code, it finds what that leads to, and the way there."""

import pytest

from tests.exhaustive.report import tell
from tests.exhaustive.sabotage import SABOTAGES, STATES_MAX, Sabotage


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.name)
def test_the_search_finds_where_it_leads_to(sabotage: Sabotage):
    outcome = sabotage.outcome()
    assert outcome.violation is not None, "nothing was noticed"
    law, *path = outcome.violation.splitlines()
    tell(f"\n{sabotage.name}:\n{outcome.violation}")
    assert sabotage.law in law
    assert path, "a violation is told with the shortest way to it"
    assert outcome.states < STATES_MAX
